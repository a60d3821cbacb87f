// Owns how long a start may take. Fastify ends a plugin at its `pluginTimeout` and names neither cause nor cure.
// Invariant: an error of ours comes before Fastify's, also when what was opened takes long to close.
import { setTimeout as sleep } from 'node:timers/promises'
import { StartTimeout } from '../errors.js'

/** Shares of `pluginTimeout` after which each must be over. The rest is for a plugin that registers ours. */
const WAITING = 0.7
const PREPARING = 0.8
const CLOSING = 0.9

export interface StartProgress {
  /** How long to wait for a database that is not there yet, in milliseconds. */
  readonly patienceMs: number
  /** Called as each step begins, with a sentence that ends an error's "while …". */
  doing(step: string): void
}

interface Parts {
  prepare(progress: StartProgress): Promise<void>
  close(): Promise<void>
}

/**
 * @param pluginTimeout Fastify's, in milliseconds; 0 for none
 * @throws START_TIMEOUT, with the step that was under way, and what `prepare` throws; closed then, if there is time for it
 */
export async function startInTime(pluginTimeout: number | undefined, { prepare, close }: Parts): Promise<void> {
  const limit = pluginTimeout || Number.POSITIVE_INFINITY
  const begun = performance.now()
  let step = 'nothing had begun'
  const doing = (next: string): void => {
    step = next
  }
  try {
    await within(limit * PREPARING, prepare({ patienceMs: limit * WAITING, doing }), () => {
      throw new StartTimeout((limit * PREPARING) / 1000, limit, step)
    })
  } catch (error) {
    await within(begun + limit * CLOSING - performance.now(), close(), () => {})
    throw error
  }
}

/** The work goes on when it is late: closing ends it. */
async function within(ms: number, work: Promise<void>, late: () => void): Promise<void> {
  if (ms === Number.POSITIVE_INFINITY) return work
  const timer = new AbortController()
  const { signal } = timer
  try {
    await Promise.race([work, sleep(Math.max(0, ms), undefined, { signal }).then(late)])
  } finally {
    timer.abort()
  }
}
