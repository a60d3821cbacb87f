// Owns what Ctrl-C and SIGTERM mean for work that must clean up after itself: the signal is heard, the work is told, and
// comes to its own end.

export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupt = (): void => controller.abort(new Error('Interrupted.'))
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  try {
    return await work(controller.signal)
  } catch (error) {
    // What fails because it was told to stop says so, and what it came to.
    throw controller.signal.aborted && error !== controller.signal.reason
      ? new Error('Interrupted.', { cause: error })
      : error
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}
