// Work on a timer, repeated or once. Invariant: an error or rejection of such work is reported and never
// ends the process, not even when the report of it fails. Depends on nothing outside the process.

import { inspect } from 'node:util'

/** Default: a warning of the process, on stderr. */
type OnError = (error: unknown) => void

const warn: OnError = error => process.emitWarning(error instanceof Error ? error : inspect(error))

/** Milliseconds, 24.8 days. Node's timers wait one millisecond instead of anything longer, and of Infinity. */
export const LONGEST_MS = 2 ** 31 - 1

/** Does `work` every `ms` milliseconds, at the latest after {@link LONGEST_MS}, and keeps no process alive. @returns how to stop */
export function every(ms: number, work: () => unknown, onError: OnError = warn): () => void {
  const timer = setInterval(() => guarded(work, onError), Math.min(ms, LONGEST_MS)).unref()
  return () => clearInterval(timer)
}

/** Does `work` once, in `ms` milliseconds, at the latest after {@link LONGEST_MS}, and keeps no process alive. @returns how to prevent it */
export function later(ms: number, work: () => unknown, onError: OnError = warn): () => void {
  const timer = setTimeout(() => guarded(work, onError), Math.min(ms, LONGEST_MS)).unref()
  return () => clearTimeout(timer)
}

/** Does `work` now. */
export function guarded(work: () => unknown, onError: OnError = warn): void {
  const failed = (error: unknown): void => {
    try {
      onError(error)
    } catch (another) {
      // A report that fails is replaced by this one, together with the reason.
      warn(error)
      warn(another)
    }
  }
  try {
    const result = work()
    if (isThenable(result)) result.then(undefined, failed)
  } catch (error) {
    failed(error)
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
