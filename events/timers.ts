// Work that a timer does, again and again or once. Invariant: what such work throws, or rejects with, is reported and never
// ends the process. Depends on nothing outside the process.

/** Default: a warning of the process, on stderr. */
type OnError = (error: unknown) => void

const warn: OnError = error => process.emitWarning(error instanceof Error ? error : String(error))

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
  try {
    const result = work()
    if (result instanceof Promise) result.catch(onError)
  } catch (error) {
    onError(error)
  }
}
