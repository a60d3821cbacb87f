// Which tenant the next request is for: in turn (fit), uniformly, or by Zipf's law with s = 1. A fixed seed makes every
// arm and every run see the same kind of sequence.

export type Distribution = 'fit' | 'uniform' | 'zipf'

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Indexes from 0 to count - 1. */
export function chooser(distribution: Distribution, count: number, seed: number): () => number {
  const next = random(seed)
  if (distribution === 'uniform') return () => Math.floor(next() * count)
  if (distribution === 'fit') {
    let turn = seed
    return () => turn++ % count
  }
  const cumulative = new Float64Array(count)
  let sum = 0
  for (let rank = 0; rank < count; rank++) {
    sum += 1 / (rank + 1)
    cumulative[rank] = sum
  }
  return () => {
    const wanted = next() * sum
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((cumulative[middle] as number) < wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}
