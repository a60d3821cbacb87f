// The reconciliation, which makes sure of all that events bring fast: the feed every ten seconds, everything once a minute, by
// one replica of a service at a time. It needs neither NATS nor Redis. Invariant: repeating a pass changes nothing.
// If identity is down: it is reported once and retried less often, the service's own instances are checked all the same, and
// nothing is purged.
// If the database is down: the next pass tries again.

import type { TenantId } from '../../../events/index.js'
import { ifUnlocked, lockNames } from '../../../postgres/advisory-locks.js'
import { backoffMs } from '../../../timing/backoff.js'
import { startLoop } from '../../../timing/loop.js'
import type { ReconcileReport } from '../diagnostics/steps.js'
import { IdentityUnavailable, TenantRetained } from '../errors.js'
import { dueForPurge } from '../provisioning/purge.js'
import type { SessionClient, SqlClient } from '../types.js'
import type { DriftReport } from './drift.js'
import type { Comparison } from './feed-sync.js'
import type { Fleet } from './fleet-check.js'

export interface ReconcilerOptions {
  readonly central: SqlClient
  readonly session: <T>(fn: (sql: SessionClient) => Promise<T>) => Promise<T>
  /** Null where tenants are made, and without an identity service. */
  readonly comparison: Comparison | null
  readonly fleet: Fleet
  readonly drift: DriftReport
  readonly purge: (id: TenantId) => Promise<unknown>
  /** Called before the purge of due tenants; identity completes its own rows here. */
  readonly beforePurge?: () => Promise<void>
  /** Milliseconds between two readings of the feed; everything is compared at every sixth. */
  readonly interval: number
  readonly report: (event: ReconcileReport) => void
}

export interface Reconciler {
  /** One pass now, whatever the clock. @returns false when another replica held the lock */
  pass(everything: boolean): Promise<boolean>
  /** The events do not come: the feed is read now, at most once a second. The next pass by the clock is no later for it. */
  readNow(): void
  /** Begins no more passes, and waits for the running one, at most so long. */
  stop(deadlineMs: number): Promise<void>
}

const EVERYTHING_EACH = 6
const PURGES_AT_ONCE = 20
const LONGEST_BACKOFF_MS = 60_000
const BETWEEN_READS_MS = 1_000

export function startReconciler(options: ReconcilerOptions): Reconciler {
  const { central, session, comparison, fleet, interval, report } = options
  let misses = 0
  let askAgainAt = 0
  let stopped = false
  let turn = 0
  /** By the clock. */
  let dueAt = 0
  let asked = false
  let readAt = 0

  function pass(everything: boolean): Promise<boolean> {
    return session(sql =>
      ifUnlocked(
        sql,
        lockNames.reconcile,
        async () => {
          await reconcile(everything)
          return true
        },
        () => {
          report({ type: 'skipped' })
          return false
        },
      ),
    )
  }

  async function reconcile(everything: boolean): Promise<void> {
    const began = performance.now()
    await readFeed(everything)
    if (everything) {
      await fleet.check()
      options.drift.turn()
    }
    await purgeDue()
    report({ type: 'pass', everything, ms: performance.now() - began })
  }

  async function readFeed(everything: boolean): Promise<void> {
    if (!comparison || performance.now() < askAgainAt) return
    try {
      await comparison.read(everything)
      if (misses > 0) report({ type: 'identity_back' })
      misses = 0
    } catch (error) {
      if (!(error instanceof IdentityUnavailable)) throw error
      if (misses++ === 0) report({ type: 'identity_unreachable', error })
      askAgainAt =
        performance.now() + backoffMs({ firstMs: interval, longestMs: LONGEST_BACKOFF_MS }, misses - 1) * 0.75
    }
  }

  async function purgeDue(): Promise<void> {
    await options.beforePurge?.()
    for (const id of await dueForPurge(central, PURGES_AT_ONCE)) {
      if (stopped) return
      try {
        await options.purge(id)
      } catch (error) {
        // Not confirmed: kept. Identity down: all of them are kept, until it is back.
        if (error instanceof IdentityUnavailable) return
        if (error instanceof TenantRetained) continue
        const { message } = error as Error
        options.drift.report({ type: 'drift', kind: 'purge_failed', id, action: 'reported', detail: message })
      }
    }
  }

  const loop = startLoop(async stopping => {
    const early = asked && performance.now() < dueAt
    asked = false
    try {
      await pass(!early && turn++ % EVERYTHING_EACH === 0)
    } catch (error) {
      if (!stopping.aborted) report({ type: 'pass_failed', error })
    }
    if (!early) dueAt = performance.now() + interval * (0.8 + Math.random() * 0.2)
    return Math.max(0, dueAt - performance.now())
  })
  return {
    pass,
    readNow() {
      const now = performance.now()
      if (!comparison || now < readAt) return
      readAt = now + BETWEEN_READS_MS
      asked = true
      loop.wake()
    },
    stop(deadlineMs) {
      stopped = true
      return loop.stop(deadlineMs)
    },
  }
}
