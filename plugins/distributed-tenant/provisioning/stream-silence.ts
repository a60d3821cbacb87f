// How long the stream has not answered while the connection to NATS is there: its one node is down, its cluster has no leader, or
// nothing has made it. Invariant: time in which nothing was asked of it counts only after a question without an answer.

export interface Silence {
  readonly ms: number
  /** Of the newest question. */
  readonly error: string
}

export interface SilenceWatch {
  /** The answer as it is, counted. */
  of<T>(answer: Promise<T>): Promise<T>
  silence(): Silence | null
}

export function createSilenceWatch(): SilenceWatch {
  let since = performance.now()
  let error: string | null = null
  return {
    async of(answer) {
      try {
        const answered = await answer
        since = performance.now()
        error = null
        return answered
      } catch (failure) {
        error = failure instanceof Error ? failure.message : String(failure)
        throw failure
      }
    },
    silence: () => (error === null ? null : { ms: performance.now() - since, error }),
  }
}
