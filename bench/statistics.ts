// Medians, spreads and intervals. Rounds are paired: ours and a rival's of the same round make one ratio, so that what
// conditions that slowed both cancel out.
import { random } from './distribution.js'

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  if (sorted.length % 2 === 1) return sorted[middle] as number
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

/** The 95 % interval of the median by the percentile bootstrap, 4,000 resamples, the same for the same values. */
export function interval(values: readonly number[]): { low: number; high: number } {
  const next = random(1)
  const medians = Array.from({ length: 4_000 }, () =>
    median(values.map(() => values[Math.floor(next() * values.length)] as number)),
  ).sort((a, b) => a - b)
  return { low: medians[100] as number, high: medians[3_899] as number }
}

export const ratios = (over: readonly number[], under: readonly number[]): number[] =>
  over.map((value, at) => value / (under[at] as number))
