// The handling of Ctrl-C and SIGTERM for work that must clean up after itself: the signal aborts the work, which
// comes to its own end.

export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupt = (): void => controller.abort(new Error('Interrupted.'))
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  try {
    return await work(controller.signal)
  } catch (error) {
    // A failure caused by the abort says so, with its outcome.
    throw controller.signal.aborted && error !== controller.signal.reason
      ? new Error('Interrupted.', { cause: error })
      : error
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}
