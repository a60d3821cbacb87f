// The time limit of a start. Fastify ends a plugin at its `pluginTimeout` and names neither cause nor cure.
// Invariant: an error of ours comes before Fastify's, also when open connections take long to close.
import { setTimeout as sleep } from 'node:timers/promises'
import { StartTimeout } from '../errors.js'

/** Shares of `pluginTimeout` after which each must be over. The rest is for a plugin that registers ours. */
const WAITING = 0.8
const PREPARING = 0.9
const CLOSING = 0.95

export interface StartProgress {
  /** How long may still be waited for what is not there yet, in milliseconds. */
  readonly patienceMs: number
  /** Called as each step begins, with a sentence that ends an error's "while …". */
  doing(step: string): void
}

interface Parts {
  prepare(progress: StartProgress): Promise<void>
  close(): Promise<void>
}

/**
 * Call it first: its times count from then on, as Fastify's do.
 * @param pluginTimeout Fastify's, in milliseconds; 0 for none
 * @returns a function that prepares, and after a failure closes if there is time for it. It throws START_TIMEOUT, with the step
 * that was under way, and the errors of `prepare`
 */
export function limitStart(pluginTimeout: number | undefined): (parts: Parts) => Promise<void> {
  const limit = pluginTimeout || Number.POSITIVE_INFINITY
  const patient = performance.now() + limit * WAITING
  // Both timers now: of timers set in one turn of the loop, those that are due earlier run earlier, however late they are.
  const late = after(limit * PREPARING)
  const last = after(limit * CLOSING)
  return async ({ prepare, close }) => {
    let step = 'nothing had begun'
    const doing = (next: string): void => {
      step = next
    }
    const tooLate = late.then(() => {
      throw new StartTimeout((limit * PREPARING) / 1000, limit, step)
    })
    const progress: StartProgress = {
      get patienceMs() {
        return Math.max(0, patient - performance.now())
      },
      doing,
    }
    try {
      await Promise.race([prepare(progress), tooLate])
    } catch (error) {
      await Promise.race([close(), last])
      throw error
    }
  }
}

const after = (ms: number): Promise<void> =>
  ms === Number.POSITIVE_INFINITY ? new Promise(() => {}) : sleep(ms, undefined, { ref: false })
