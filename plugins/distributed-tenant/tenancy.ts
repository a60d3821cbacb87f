// The assembly of the plugin: builds every part bottom-up, without Fastify, so that services and the operator's command share
// it. Only this file and `assembly/` construct. Closing goes the other way round and is safe to call twice.

import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { assertDriver } from '../../postgres/connections/driver.js'
import { createNotifications, type NotificationsHandle } from '../../postgres/connections/notifications.js'
import { type MigrationSet, readMigrations } from '../../postgres/migrations/migration-files.js'
import type { Figures } from './api.js'
import { createBackground } from './assembly/background.js'
import { assembleInstances } from './assembly/instances.js'
import { assembleLookups } from './assembly/lookups.js'
import { createPools, type Pools } from './assembly/pools.js'
import { createProcessShare } from './assembly/process-share.js'
import { assembleProvisioning } from './assembly/provisioning.js'
import type { StartProgress } from './assembly/start-limit.js'
import { BESIDE_BUDGET, prepareCentral, prepareInstances, type Say } from './assembly/startup-checks.js'
import type { Settings } from './config/settings.js'
import { createLogins } from './credentials/logins.js'
import { type Credentials, createCredentials } from './credentials/role-credentials.js'
import type { InstancesAccess } from './databases/instance-access.js'
import { type Inventory, inspectFleet } from './databases/inventory.js'
import { createRoleRepairQueue, repairTenant } from './databases/repair.js'
import type { Spares } from './databases/spares.js'
import type { Template } from './databases/template.js'
import { createStepPublisher, type PublishStep } from './diagnostics/channels.js'
import type { Directory } from './directory/directory.js'
import type { Breaker } from './instances/breaker.js'
import { createHealth, type HealthQuestions } from './monitoring/health.js'
import { createFigures } from './monitoring/stats.js'
import { closeConnectionsOfDeleted } from './provisioning/close-deleted.js'
import type { Provisioner } from './provisioning/provisioner.js'
import { completeRows, type Purger } from './provisioning/purge.js'
import type { Source } from './provisioning/tenant-source.js'
import type { DeadLetters } from './registry/dead-letters.js'
import { proofOfLife } from './registry/process-leases.js'
import type { TenantId } from './types.js'

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
  readonly instances: InstancesAccess
  /** The breaker of an instance; of one that is not configured, home's. */
  readonly breakerOf: (instance: string) => Breaker
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
  /** Takes this process' share of the connections that the service may open; after prepare(). @throws CONFIGURATION_INVALID */
  join(patienceMs?: number): Promise<void>
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
    repairTenant(id, { service: settings.service, credentials, instances, provision: provisioner.provision })
  const roleRepairs = createRoleRepairQueue(repair, event => publish({ area: 'role', event }))
  const central = pools.central.sql
  const processId = randomUUID()
  const notifications = createNotifications({
    first: proofOfLife(processId),
    open: pools.openListener,
    report: event => publish({ area: 'listener', event }),
  })
  const lookups = assembleLookups(settings, { central, notifications, publish })
  const { directory, remote } = lookups
  const instances = assembleInstances(settings, { pools, sets: tenantSets, publish })
  const { home, breaker, breakerOf } = instances
  const inspect = () =>
    inspectFleet(central, {
      service: settings.service,
      roleKey: credentials.current,
      otherInstances: instances.all.slice(1),
    })
  const provisioning = assembleProvisioning(settings, { central, credentials, instances, sets: tenantSets, publish })
  const { template, spares, provisioner, source, deadLetters, purger } = provisioning
  const letGo = closeConnectionsOfDeleted({ central, notifications, tenants: pools.tenants })
  const { tenants } = pools
  const unheard = pools.placements?.listen(notifications, {
    moved(id) {
      void tenants.evict(id)
      tenants.release(id)
    },
    holds: (id, ms) => tenants.hold(id, ms),
    lost: () => tenants.release(),
  })
  const background = createBackground({
    settings,
    central,
    notifications,
    instances,
    inspect,
    repair,
    schemaVersion,
    completeRows: source && (() => completeRows(central, settings.retention)),
    publish,
    ...provisioning,
  })
  const figures = createFigures({
    central,
    schemaVersion,
    streams: background.streams,
    instances: instances.all,
  })
  const health = createHealth({
    settings,
    pools,
    directory,
    oldestSchema,
    remote,
    breaker,
    streams: background.streams,
  })
  const sayAtStart: Say = (type, message) => publish({ area: 'start', event: { type, message } })
  const share = createProcessShare({
    id: processId,
    central,
    notifications,
    tenants: pools.tenants,
    budget: settings.maxConnections,
    beside: BESIDE_BUDGET,
    say: sayAtStart,
  })
  let allowed = Number.POSITIVE_INFINITY
  let closed: Promise<void> | null = null

  async function closeAll(): Promise<void> {
    await background.quiesce(5_000)
    await background.close()
    letGo()
    unheard?.()
    const kept = spares.close()
    directory.close()
    await pools.tenants.close(5_000)
    await notifications.close()
    await pools.closeOthers(5_000)
    // What is open now are some connections to the central database: it gives the share back over one of them.
    await share.leave()
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
    instances,
    breakerOf,
    origin,
    publish,
    ...health,
    figures,
    async prepare({ patienceMs = Number.POSITIVE_INFINITY, doing = () => {} } = {}) {
      const progress = { patienceMs, doing }
      const central = await prepareCentral(settings, pools, centralSets, sayAtStart, progress)
      allowed = Math.min(central.allowed, settings.serviceConnections ?? central.allowed)
      doing('the template of tenants’ databases was made')
      await instances.ensureTemplate(home.name)
      doing('the other instances were made ready')
      await prepareInstances(settings, pools, instances.ensureTemplate, sayAtStart)
    },
    async join(patienceMs = Number.POSITIVE_INFINITY) {
      if (settings.replicas === null && settings.enabled) await share.join(allowed, patienceMs)
    },
    inspectFleet: inspect,
    repairTenant: repair,
    consume: background.start,
    quiesce: background.quiesce,
    close() {
      closed ??= closeAll()
      return closed
    },
  }
}
