// The usage count of each key, halved once an era, an era being so many uses of all keys together. The count of a removed
// key is kept for one era more, so that it need not begin again. Pure; bounded by the length of an era.

export interface Tally {
  uses: number
  era: number
}

export interface Frequency {
  /** The tally of a key that is added, with the count that is kept of it. */
  begin(key: string): Tally
  count(tally: Tally): void
  of(tally: Tally): number
  /** The key is removed. */
  end(key: string, tally: Tally): void
}

/** @param eraLength in uses */
export function createFrequency(eraLength: number): Frequency {
  let era = 0
  let left = eraLength
  let gone = new Map<string, Tally>()
  let goneBefore = new Map<string, Tally>()

  function of(tally: Tally): number {
    if (tally.era !== era) {
      tally.uses *= 0.5 ** (era - tally.era)
      tally.era = era
    }
    return tally.uses
  }

  return {
    of,
    begin(key) {
      const known = gone.get(key) ?? goneBefore.get(key)
      gone.delete(key)
      goneBefore.delete(key)
      return known ?? { uses: 0, era }
    },
    count(tally) {
      if (left-- === 0) {
        left = eraLength - 1
        era++
        goneBefore = gone
        gone = new Map()
      }
      of(tally)
      tally.uses++
    },
    end: (key, tally) => void gone.set(key, tally),
  }
}
