// Work on a timer, repeated or once. Invariant: an error or rejection of such work is reported and never
// ends the process, not even when the report of it fails. Depends on nothing outside the process.

import { inspect } from 'node:util'

/** Default: a warning of the process, on stderr. */
type OnError = (error: unknown) => void

const warn: OnError = error => process.emitWarning(error instanceof Error ? error : inspect(error))

/** Does `work` every `ms` milliseconds and keeps no process alive. @returns how to stop */
export function every(ms: number, work: () => unknown, onError: OnError = warn): () => void {
  const timer = setInterval(() => guarded(work, onError), ms).unref()
  return () => clearInterval(timer)
}

/** Does `work` once, in `ms` milliseconds, and keeps no process alive. @returns how to prevent it */
export function later(ms: number, work: () => unknown, onError: OnError = warn): () => void {
  const timer = setTimeout(() => guarded(work, onError), ms).unref()
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
