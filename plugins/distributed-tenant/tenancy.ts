// The assembly of the plugin: builds every part bottom-up, without Fastify, so that services and the operator's command share
// it. Only this file and `assembly/` construct. Closing goes the other way round and is safe to call twice.

import { fileURLToPath } from 'node:url'
import { statusSubject } from '../../events/index.js'
import type { Figures } from './api.js'
import { assembleInstances } from './assembly/instances.js'
import { assembleLookups } from './assembly/lookups.js'
import { createPools, type Pools } from './assembly/pools.js'
import { assemblePurgers } from './assembly/purgers.js'
import type { StartProgress } from './assembly/start-limit.js'
import { prepareCentral, prepareInstances } from './assembly/startup-checks.js'
import { DEFAULT_INSTANCE } from './config/instances.js'
import type { Settings } from './config/settings.js'
import { assertDriver } from './connections/driver.js'
import { createNotifications, type NotificationsHandle } from './connections/notifications.js'
import { createLogins } from './credentials/logins.js'
import { type Credentials, createCredentials } from './credentials/role-credentials.js'
import { closeToPublic } from './databases/databases.js'
import { type Inventory, inspectFleet } from './databases/inventory.js'
import { type MigrationSet, readMigrations } from './databases/migration-files.js'
import { createRoleRepairQueue, repairTenant } from './databases/repair.js'
import { createSpares, type Spares } from './databases/spares.js'
import { type Template, templateOf } from './databases/template.js'
import { createStepPublisher, type PublishStep } from './diagnostics/channels.js'
import type { ReconcileReport, RetryReport } from './diagnostics/steps.js'
import type { Directory } from './directory/directory.js'
import { createHealth, type HealthQuestions } from './monitoring/health.js'
import { createFigures } from './monitoring/stats.js'
import { tenantDatabaseName } from './names.js'
import type { ApplyOptions } from './provisioning/apply-event.js'
import { createAttempt } from './provisioning/attempt.js'
import { closeConnectionsOfDeleted } from './provisioning/close-deleted.js'
import { createHandler, type Streams, startStreams } from './provisioning/messaging.js'
import { createProvisioner, type Provisioner } from './provisioning/provisioner.js'
import { completeRows, type Purger } from './provisioning/purge.js'
import { startRetries } from './provisioning/retry-loop.js'
import { createSource, type Source } from './provisioning/tenant-source.js'
import { createDriftReport } from './reconciliation/drift.js'
import { createFeed, type Feed } from './reconciliation/feed-client.js'
import { createComparison } from './reconciliation/feed-sync.js'
import { createFleet } from './reconciliation/fleet-check.js'
import { type Reconciler, startReconciler } from './reconciliation/reconciler.js'
import { createDeadLetters, type DeadLetters } from './registry/dead-letters.js'
import type { RegistryRow, TenantId } from './types.js'

export interface Tenancy extends HealthQuestions {
  readonly settings: Settings
  readonly pools: Pools
  readonly directory: Directory
  readonly notifications: NotificationsHandle
  readonly provisioner: Provisioner
  readonly spares: Spares
  readonly credentials: Credentials
  readonly source: Source | null
  readonly purger: Purger
  readonly deadLetters: DeadLetters
  readonly figures: (deadlineMs?: number) => Promise<Figures>
  /** The oldest schema of a tenant that is served; 0 for any. */
  readonly oldestSchema: number
  /** The migrations of the central database and of tenant databases, and the template made of the latter. */
  readonly schemas: {
    readonly central: readonly MigrationSet[]
    /** Our own tables inside a tenant database, then the service's. */
    readonly tenant: readonly MigrationSet[]
    readonly template: Template
  }
  /** Whether every other instance has the template; one that does not answer counts as without it. */
  readonly haveTemplate: () => Promise<boolean>
  /** Drops a tenant's database here at once, without identity's consent: for an import, whose data is still at its origin. */
  readonly removeNow: (id: TenantId) => Promise<RegistryRow>
  /** The origin of this tenancy's steps on the diagnostics channel. */
  readonly origin: object
  readonly publish: PublishStep
  /**
   * Checks and migrates the central database and builds the template. Waits for a database that is not there yet, in a
   * container. @throws the refusal of the start
   */
  prepare(progress?: Partial<StartProgress>): Promise<void>
  /** The faults of each tenant here, from the catalogues alone. */
  inspectFleet(): Promise<Inventory>
  /** Repairs one tenant's rights, role and verifier. @throws TENANT_DATABASE_FOREIGN */
  repairTenant(id: TenantId): Promise<void>
  /** Begins to publish, to consume, to retry failed tenants, to reconcile and to keep spares. */
  consume(): void
  /** Takes no more events; running handlers are finished within the deadline. */
  quiesce(deadlineMs: number): Promise<void>
  close(): Promise<void>
}

const ours = (folder: string): string => fileURLToPath(new URL(`./migrations/${folder}`, import.meta.url))

/** Makes the parts and opens nothing yet but Redis and the listener. */
export function createTenancy(settings: Settings): Tenancy {
  assertDriver()
  const origin = {}
  const publish = createStepPublisher(settings.service, origin)
  const centralSets = [
    readMigrations('registry', ours('registry')),
    readMigrations('central', settings.migrations.central),
  ]
  const tenantSets = [readMigrations('mark', ours('mark')), readMigrations('tenant', settings.migrations.tenant)]
  const schemaVersion = tenantSets.at(-1)?.version ?? 0
  const oldestSchema = settings.outdatedTenants === 'refuse' ? schemaVersion : 0

  const credentials = createCredentials(settings.service, settings.roleKeys)
  const logins = createLogins(settings.service, credentials, id => roleRepairs.schedule(id))
  const pools = createPools(settings, logins, publish)
  const repair = (id: TenantId): Promise<void> =>
    repairTenant(id, {
      service: settings.service,
      credentials,
      session: pools.provisioning.session,
      sessionAt: pools.sessionAt,
      provision: provisioner.provision,
    })
  const roleRepairs = createRoleRepairQueue(repair, event => publish({ area: 'role', event }))
  const central = pools.central.sql
  const notifications = createNotifications({
    open: pools.openListener,
    report: event => publish({ area: 'listener', event }),
  })
  const lookups = assembleLookups(settings, { central, notifications, publish })
  const { directory, remote } = lookups
  const instances = assembleInstances(settings, { pools, sets: tenantSets, publish })
  const { names, breaker, breakerOf, clonerOf } = instances
  const inspect = () =>
    inspectFleet(central, {
      service: settings.service,
      roleKey: credentials.current,
      otherInstances: names.slice(1).map(instance => ({ instance, session: pools.readSessionOn(instance) })),
    })
  const template = templateOf({ service: settings.service, sets: tenantSets })
  const spares = createSpares({
    service: settings.service,
    wanted: settings.spares,
    template,
    credentials,
    clone: clonerOf(DEFAULT_INSTANCE).clone,
    session: pools.provisioning.session,
    central,
    withDirectConnection: pools.withDirectConnection,
    readySubject: statusSubject('ready', settings.service),
    report: event => publish({ area: 'spare', event }),
  })
  const provisioner = createProvisioner({
    service: settings.service,
    credentials,
    spares,
    central,
    session: pools.provisioning.session,
    clone: (sql, name, instance) => clonerOf(instance).clone(sql, name),
    otherInstances: instances.otherInstances,
    sets: tenantSets,
    withDirectConnection: pools.withDirectConnection,
    report: event => publish({ area: 'provision', event }),
  })
  const source = settings.source
    ? createSource({ central, retention: settings.retention, report: event => publish({ area: 'change', event }) })
    : null
  const retry = {
    central,
    provisioner,
    breaker,
    ...(instances.several && { breakerOf }),
    report: (event: RetryReport) => publish({ area: 'retry', event }),
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
  const { purger, remover } = assemblePurgers(settings, { pools, instances: names, feed, publish })
  const letGo = closeConnectionsOfDeleted({
    service: settings.service,
    central,
    notifications,
    tenants: pools.tenants,
  })
  const unheard = pools.placements?.listen(notifications, id => {
    void pools.tenants.evict(tenantDatabaseName(id, settings.service))
  })
  let retries: ReturnType<typeof startRetries> | null = null
  let reconciler: Reconciler | null = null
  let streams: Streams | null = null
  const figures = createFigures({
    central,
    schemaVersion,
    streams: () => streams,
  })
  const health = createHealth({ settings, pools, directory, oldestSchema, remote, breaker, streams: () => streams })
  let closed: Promise<void> | null = null

  function reconcile(): Reconciler {
    return startReconciler({
      central,
      session: pools.provisioning.session,
      comparison,
      fleet: createFleet({
        service: settings.service,
        central,
        inspect,
        repair,
        closeToPublic: (name, instance) => pools.sessionAt(instance)(sql => closeToPublic(sql, name)),
        schemaVersion,
        drift: drift.report,
      }),
      drift,
      purge: purger.purge,
      ...(source ? { beforePurge: () => completeRows(central, settings.retention) } : {}),
      interval: settings.reconcileInterval,
      report: reportReconcile,
    })
  }

  async function quiesce(deadlineMs: number): Promise<void> {
    void spares.close()
    await Promise.all([reconciler?.stop(deadlineMs), streams?.stop(deadlineMs), retries?.stop(deadlineMs)])
  }

  async function closeAll(): Promise<void> {
    await quiesce(5_000)
    await streams?.close()
    letGo()
    unheard?.()
    const kept = spares.close()
    directory.close()
    await notifications.close()
    await pools.close(5_000)
    await kept
    lookups.disconnect()
  }

  return {
    settings,
    pools,
    directory,
    notifications,
    provisioner,
    spares,
    credentials,
    source,
    purger,
    deadLetters,
    oldestSchema,
    schemas: { central: centralSets, tenant: tenantSets, template },
    haveTemplate: () => instances.haveTemplate(template),
    removeNow: remover.purge,
    origin,
    publish,
    ...health,
    figures,
    async prepare({ patienceMs = Number.POSITIVE_INFINITY, doing = () => {} } = {}) {
      const progress = { patienceMs, doing }
      await prepareCentral(settings, pools, centralSets, publish, progress)
      doing('the template of tenants’ databases was made')
      await pools.provisioning.session(clonerOf(DEFAULT_INSTANCE).ensure)
      doing('the other instances were made ready')
      await prepareInstances(settings, pools, name => pools.sessionAt(name)(clonerOf(name).ensure), publish)
    },
    inspectFleet: inspect,
    repairTenant: repair,
    consume() {
      if (!settings.enabled) return
      spares.start()
      retries ??= startRetries(retry, attempt)
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
      })
    },
    quiesce,
    close() {
      closed ??= closeAll()
      return closed
    },
  }
}
