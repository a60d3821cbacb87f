// The counters of connection events since the start, in total and per key. Bounded: beyond `MOST_KEYS` keys the oldest is
// dropped from the map, and stays in the sum.

/** Since the start of the process. */
export interface Counters {
  /** Connections opened. */
  readonly opened: number
  /** Idle connections closed to make room for another key. */
  readonly evicted: number
  /** Waits for a connection that ended without one. */
  readonly refused: number
}

export interface Count {
  readonly all: Counters
  readonly perKey: ReadonlyMap<string, Counters>
  one(what: keyof Counters, key: string): void
}

const MOST_KEYS = 10_000

export function createCount(mostKeys = MOST_KEYS): Count {
  const none = { opened: 0, evicted: 0, refused: 0 }
  const all = { ...none }
  const perKey = new Map<string, Record<keyof Counters, number>>()

  return {
    all,
    perKey,
    one(what, key) {
      all[what]++
      let counters = perKey.get(key)
      if (!counters) {
        const [oldest] = perKey.keys()
        if (perKey.size >= mostKeys && oldest !== undefined) perKey.delete(oldest)
        counters = { ...none }
        perKey.set(key, counters)
      }
      counters[what]++
    },
  }
}
