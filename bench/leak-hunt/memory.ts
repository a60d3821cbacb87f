// Whether the hunted process grows: its resident memory, sampled through the hunt, as a slope and as the middle third
// against the last. Growth counts only beyond what a heap that warms up and a collector that waits explain, so a leak of
// a few bytes a request shows only in a long hunt: the slope shows it there.
import { median } from '../statistics.js'

export interface MemoryVerdict {
  /** MiB per 10,000 requests, by least squares over the last two thirds. */
  readonly slope: number
  readonly middle: number
  readonly last: number
  readonly flat: boolean
}

export interface Sample {
  readonly requests: number
  readonly rss: number
}

const MIB = 1_048_576
const ALLOWED_GROWTH = 1.25
const ALLOWED_MIB = 48

export function judgeMemory(samples: readonly Sample[]): MemoryVerdict {
  const third = Math.floor(samples.length / 3)
  const mib = (part: readonly Sample[]) => median(part.map(({ rss }) => rss / MIB))
  const middle = mib(samples.slice(third, 2 * third))
  const last = mib(samples.slice(2 * third))
  const flat = !(last > middle * ALLOWED_GROWTH && last - middle > ALLOWED_MIB)
  return { slope: slopeOf(samples.slice(third)), middle, last, flat }
}

function slopeOf(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) => samples.reduce((sum, one) => sum + of(one), 0) / samples.length
  const requests = mean(one => one.requests / 10_000)
  const rss = mean(one => one.rss / MIB)
  let above = 0
  let below = 0
  for (const one of samples) {
    const apart = one.requests / 10_000 - requests
    above += apart * (one.rss / MIB - rss)
    below += apart * apart
  }
  return below === 0 ? 0 : above / below
}
