// The quota of each PostgreSQL instance in the budget of a service, so that a frozen or slow instance costs only its own
// tenants: each may have all but a tenth for every other one, and some connects under way. It counts connections and opens
// none. A service with one instance does not create it.
import type { Connection } from '../connections/connection.js'

export interface Shares {
  /** A connection to an instance was begun. */
  opens(instance: string, connection: Connection): void
  /** Connects under way to an instance. */
  opening(instance: string): number
  /** Whether an instance has all it may have. */
  full(instance: string): boolean
}

/** @param options.budget the budget of the moment: it follows the processes of the service */
export function createShares({ budget, instances }: { budget: () => number; instances: number }): Shares {
  const open = new Map<string, number>()
  const opening = new Map<string, number>()
  const add = (to: Map<string, number>, instance: string, by: number): void => {
    to.set(instance, (to.get(instance) ?? 0) + by)
  }

  return {
    opens(instance, connection) {
      let under = true
      const over = (): void => {
        if (under) add(opening, instance, -1)
        under = false
      }
      add(open, instance, 1)
      add(opening, instance, 1)
      connection.watch(over)
      connection.opened.then(over, over)
      void connection.closed.then(() => {
        over()
        add(open, instance, -1)
      })
    },
    opening: instance => opening.get(instance) ?? 0,
    full: instance => (open.get(instance) ?? 0) >= shareOf(budget(), instances),
  }
}

/** At least one, also where the budget is smaller than the number of instances. */
export const shareOf = (budget: number, instances: number): number =>
  Math.max(1, budget - (instances - 1) * Math.max(1, Math.floor(budget / 10)))
