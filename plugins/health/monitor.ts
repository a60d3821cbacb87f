// The rate limit of a costly check: one at a time, its answer kept for a while, shared by all requests.
// Invariant: a check that fails or hangs has an answer too, the one given for that case.

import { within } from '../../timing/deadline.js'

export interface Monitor<T> {
  /** An answer no older than `freshMs`. Never rejects. */
  current(): Promise<T>
}

export interface MonitorOptions<T> {
  /** Milliseconds it is given to answer. */
  readonly deadlineMs: number
  /** Milliseconds an answer is good for. */
  readonly freshMs: number
  /** The answer when there is none. */
  readonly failed: T
  readonly onFailure: (error: unknown) => void
}

/** The time beyond its own deadline after which a check is abandoned. */
const GRACE_MS = 500

export function createMonitor<T>(ask: (deadlineMs: number) => Promise<T>, options: MonitorOptions<T>): Monitor<T> {
  const { deadlineMs, freshMs, failed, onFailure } = options
  let running: Promise<T> | undefined
  let last: { at: number; answer: T } | undefined

  async function observe(): Promise<T> {
    const answer = await within(deadlineMs + GRACE_MS, ask(deadlineMs), () => {
      throw new Error(`the check took longer than ${deadlineMs + GRACE_MS} ms`)
    }).catch(error => {
      onFailure(error)
      return failed
    })
    last = { at: performance.now(), answer }
    running = undefined
    return answer
  }

  return {
    current() {
      if (last && performance.now() - last.at < freshMs) return Promise.resolve(last.answer)
      running ??= observe()
      return running
    },
  }
}
