// Detects pool exhaustion: for a while every sample found all connections of the budget in use and requests waiting.
// A short peak is normal; a process that stays exhausted should get no more traffic than it has.
import type { ConnectionInfo } from '../distributed-tenant/index.js'

export type Counters = Pick<ConnectionInfo, 'inUse' | 'budget' | 'waiting'>

/** Long enough for a probe of every 5 s to see it twice. */
export const EXHAUSTED_AFTER_MS = 10_000

export interface PoolExhaustion {
  /** True when every sample since `exhaustedAfterMs` found the pool exhausted. */
  exhausted(now: number, counters: Counters): boolean
}

export function createPoolExhaustion(exhaustedAfterMs = EXHAUSTED_AFTER_MS): PoolExhaustion {
  let since: number | null = null
  return {
    exhausted(now, { inUse, budget, waiting }) {
      if (inUse < budget || waiting === 0) {
        since = null
        return false
      }
      since ??= now
      return now - since >= exhaustedAfterMs
    },
  }
}
