// The work beside requests: events are consumed and published, due tenants are attempted again, the registry is compared with identity
// and with the instances, spares are made. Nothing of it runs before `start`.
// Invariant: after `quiesce` no new work begins, and what was running has ended or its deadline is over.

import type { NotificationsHandle } from '../../../postgres/connections/notifications.js'
import type { Settings } from '../config/settings.js'
import { closeToPublic } from '../databases/databases.js'
import type { Spares } from '../databases/spares.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { ApplyOptions } from '../provisioning/apply-event.js'
import type { Attempt, RetryOptions } from '../provisioning/attempt.js'
import { type Streams, startStreams } from '../provisioning/messaging.js'
import type { Purger } from '../provisioning/purge.js'
import { startRetries } from '../provisioning/retry-loop.js'
import type { DriftReport } from '../reconciliation/drift.js'
import type { Comparison } from '../reconciliation/feed-sync.js'
import { createFleet, type FleetOptions } from '../reconciliation/fleet-check.js'
import { type Reconciler, startReconciler } from '../reconciliation/reconciler.js'
import type { DeadLetters } from '../registry/dead-letters.js'
import type { SqlClient } from '../types.js'
import type { Instances } from './instances.js'

export interface BackgroundParts extends Pick<FleetOptions, 'inspect' | 'repair' | 'schemaVersion'> {
  readonly settings: Settings
  readonly central: SqlClient
  readonly notifications: NotificationsHandle
  readonly instances: Instances
  /** Null where tenants are made, and without an identity service. */
  readonly comparison: Comparison | null
  readonly drift: DriftReport
  readonly purger: Purger
  /** Identity's own rows of deleted tenants, before the purge of those that are due; null elsewhere. */
  readonly completeRows: (() => Promise<void>) | null
  readonly apply: ApplyOptions
  readonly deadLetters: DeadLetters
  readonly retry: RetryOptions
  readonly attempt: Attempt
  readonly spares: Spares
  readonly publish: PublishStep
}

export interface Background {
  /** The connection to NATS and its consumers; null before `start` and without NATS. */
  readonly streams: () => Streams | null
  start(): void
  /** Takes no more work; what runs is finished within the deadline. */
  quiesce(deadlineMs: number): Promise<void>
  close(): Promise<void>
}

export function createBackground(parts: BackgroundParts): Background {
  const { settings, central, notifications, instances, apply, deadLetters, spares, publish } = parts
  let retries: ReturnType<typeof startRetries> | null = null
  let reconciler: Reconciler | null = null
  let streams: Streams | null = null

  function reconcile(): Reconciler {
    const { comparison, drift, purger, completeRows, inspect, repair, schemaVersion } = parts
    return startReconciler({
      central,
      session: instances.home.session,
      comparison,
      fleet: createFleet({
        service: settings.service,
        central,
        inspect,
        repair,
        closeToPublic: (name, instance) => instances.at(instance).session(sql => closeToPublic(sql, name)),
        schemaVersion,
        drift: drift.report,
      }),
      drift,
      purge: purger.purge,
      ...(completeRows ? { beforePurge: completeRows } : {}),
      interval: settings.reconcileInterval,
      report: event => publish({ area: 'reconcile', event }),
    })
  }

  return {
    streams: () => streams,
    start() {
      if (!settings.enabled) return
      spares.start()
      retries ??= startRetries({ ...parts.retry, silence: () => streams?.waiting() ?? false }, parts.attempt)
      reconciler ??= reconcile()
      // Not awaited: it ends with the pools at the latest, and reports its own failures.
      void deadLetters.upkeep()
      if (settings.nats === null || streams) return
      streams = startStreams({
        url: settings.nats,
        settings,
        central,
        notifications,
        apply,
        deadLetters,
        publish,
        onWaiting: () => reconciler?.readNow(),
      })
    },
    async quiesce(deadlineMs) {
      void spares.close()
      await Promise.all([reconciler?.stop(deadlineMs), streams?.stop(deadlineMs), retries?.stop(deadlineMs)])
    },
    async close() {
      await streams?.close()
    },
  }
}
