// One attempt at a tenant, after an event or when it is due.
// Invariant: after `attempt` has resolved the tenant is ready, refused for good, or scheduled for another attempt, so its
// event may be acknowledged.
// If the database is down: `attempt` throws.

import type { TenantId } from '../../../events/index.js'
import type { RetryReport } from '../diagnostics/steps.js'
import { DatabaseForeign, InstancesFull } from '../errors.js'
import type { Breaker } from '../instances/breaker.js'
import { deferAttempt, isSettled, needsAttempt } from '../registry/attempts.js'
import type { SqlClient } from '../types.js'
import type { Provisioner } from './provisioner.js'

export interface RetryOptions {
  readonly central: SqlClient
  readonly provisioner: Provisioner
  /** The home instance's: without it not even a row can be read. */
  readonly breaker: Breaker
  /** An instance's own. */
  readonly breakerOf: (instance: string) => Breaker
  readonly report: (event: RetryReport) => void
  /** Whether no event comes at present: then tenants are due without one. Default false. */
  readonly silence?: () => boolean
  /** Milliseconds between checks for due tenants. Default 1,000. */
  readonly pollMs?: number
}

/** Between two looks of a tenant for which no instance is open. */
const UNTIL_ROOM_MS = 10_000

/** @throws TENANT_DATABASE_FOREIGN, and the error that kept the failure from being recorded */
export type Attempt = (id: TenantId) => Promise<void>

export function createAttempt(options: RetryOptions): Attempt {
  const { central, provisioner, report } = options

  // With jitter, so that a hundred tenants do not come back in one instant.
  async function defer(id: TenantId, error: string, delayMs: number): Promise<void> {
    await deferAttempt(central, id, { error, delayMs: delayMs + Math.random() * 1_000 })
    report({ type: 'deferred', id, error })
  }

  return async id => {
    let place: string
    try {
      place = await provisioner.place(id)
    } catch (error) {
      if (!(error instanceof InstancesFull)) throw error
      return defer(id, error.message, UNTIL_ROOM_MS)
    }
    const breaker = options.breakerOf(place)
    // Else a tenant that has long been ready would count as a successful attempt.
    if (breaker.state().open && !(await needsAttempt(central, id))) return
    if (!breaker.admits()) {
      const { reason, retryInMs } = breaker.state()
      return defer(id, `waits for its instance (${reason})`, retryInMs)
    }
    try {
      await breaker.watch(() => provisioner.provision(id))
    } catch (error) {
      if (error instanceof DatabaseForeign || !(await isSettled(central, id))) throw error
    }
  }
}
