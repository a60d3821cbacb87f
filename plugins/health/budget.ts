// Owns the word "spent": every connection of the budget in use with somebody waiting, at each look over a while.
// One busy moment is what a budget is for; a process that stays so should get no more traffic than it has.
import type { ConnectionInfo } from '../distributed-tenant/index.js'

export type Counters = Pick<ConnectionInfo, 'inUse' | 'budget' | 'waiting'>

/** Long enough for a probe of every 5 s to see it twice. */
export const SPENT_AFTER_MS = 10_000

export interface BudgetWatch {
  /** Whether the budget was found spent at every look for so long. */
  spent(now: number, counters: Counters): boolean
}

export function createBudgetWatch(spentAfterMs = SPENT_AFTER_MS): BudgetWatch {
  let since: number | null = null
  return {
    spent(now, { inUse, budget, waiting }) {
      if (inUse < budget || waiting === 0) {
        since = null
        return false
      }
      since ??= now
      return now - since >= spentAfterMs
    },
  }
}
