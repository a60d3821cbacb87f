// Waits between tries of something that fails. The random part keeps processes that failed together from trying together.

export interface Backoff {
  readonly firstMs: number
  readonly longestMs: number
}

/** Milliseconds to wait: `firstMs`, doubled for each failure before to at most `longestMs`, and a fifth of it at random either way. */
export const backoffMs = ({ firstMs, longestMs }: Backoff, failuresBefore: number): number =>
  jitteredMs(Math.min(longestMs, firstMs * 2 ** Math.min(failuresBefore, 30)))

/** `ms`, a fifth of it at random either way. */
export const jitteredMs = (ms: number): number => Math.round(ms * (0.8 + Math.random() * 0.4))
