// From an event to a ready tenant, and back: spares, the provisioner and its attempts, identity's own changes or the comparison with its
// feed, dead letters, the purge. Nothing of it runs before background.ts starts it.

import { statusSubject } from '../../../events/index.js'
import type { MigrationSet } from '../../../postgres/migrations/migration-files.js'
import type { Settings } from '../config/settings.js'
import type { Credentials } from '../credentials/role-credentials.js'
import { createSpares, type Spares } from '../databases/spares.js'
import { type Template, templateOf } from '../databases/template.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { ReconcileReport } from '../diagnostics/steps.js'
import type { ApplyOptions } from '../provisioning/apply-event.js'
import { type Attempt, createAttempt, type RetryOptions } from '../provisioning/attempt.js'
import { createHandler } from '../provisioning/messaging.js'
import { createProvisioner, type Provisioner } from '../provisioning/provisioner.js'
import { confirmPurge, createPurger, type Purger } from '../provisioning/purge.js'
import { createSource, type Source } from '../provisioning/tenant-source.js'
import { createDriftReport, type DriftReport } from '../reconciliation/drift.js'
import { createFeed, type Feed } from '../reconciliation/feed-client.js'
import { type Comparison, createComparison } from '../reconciliation/feed-sync.js'
import { createDeadLetters, type DeadLetters } from '../registry/dead-letters.js'
import type { SqlClient } from '../types.js'
import type { Instances } from './instances.js'

export interface Provisioning {
  readonly template: Template
  readonly spares: Spares
  readonly provisioner: Provisioner
  /** Null where tenants are not made. */
  readonly source: Source | null
  readonly retry: RetryOptions
  readonly attempt: Attempt
  readonly drift: DriftReport
  /** Null where tenants are made, and without an identity service. */
  readonly comparison: Comparison | null
  readonly apply: ApplyOptions
  readonly deadLetters: DeadLetters
  readonly purger: Purger
}

export interface ProvisioningParts {
  readonly central: SqlClient
  readonly credentials: Credentials
  readonly instances: Instances
  /** Of tenant databases. */
  readonly sets: readonly MigrationSet[]
  readonly publish: PublishStep
}

export function assembleProvisioning(
  settings: Settings,
  { central, credentials, instances, sets, publish }: ProvisioningParts,
): Provisioning {
  const { home, breaker, breakerOf } = instances
  const template = templateOf({ service: settings.service, sets })
  const spares = createSpares({
    service: settings.service,
    wanted: settings.spares,
    template,
    credentials,
    home,
    central,
    readySubject: statusSubject('ready', settings.service),
    report: event => publish({ area: 'spare', event }),
  })
  const provisioner = createProvisioner({
    service: settings.service,
    credentials,
    spares,
    central,
    instances,
    sets,
    report: event => publish({ area: 'provision', event }),
  })
  const source = settings.source
    ? createSource({ central, retention: settings.retention, report: event => publish({ area: 'change', event }) })
    : null
  const retry: RetryOptions = {
    central,
    provisioner,
    breaker,
    breakerOf,
    report: event => publish({ area: 'retry', event }),
  }
  const attempt = createAttempt(retry)
  const feed: Feed | null =
    settings.identity && !settings.source ? createFeed({ ...settings.identity, service: settings.service }) : null
  const reportReconcile = (event: ReconcileReport) => publish({ area: 'reconcile', event })
  const drift = createDriftReport(reportReconcile)
  const comparison =
    feed &&
    createComparison({
      central,
      feed,
      service: settings.service,
      inFlightMs: settings.reconcileInterval,
      report: reportReconcile,
      drift: drift.report,
    })
  const apply: ApplyOptions = { central, attempt, breaker, source, ask: comparison?.ask ?? null }
  const deadLetters = createDeadLetters({
    central,
    handle: createHandler(apply, settings.onStatus ?? undefined),
    report: event => publish({ area: 'dead', event }),
  })
  const purger = createPurger({
    service: settings.service,
    instances,
    confirm: confirmPurge(settings, feed),
    report: event => publish({ area: 'purge', event }),
  })
  return { template, spares, provisioner, source, retry, attempt, drift, comparison, apply, deadLetters, purger }
}
