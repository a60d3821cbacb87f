// The pools of one service process, and the stated allowance of each: tenants by the budget, the central database 5,
// provisioning 4 sessions with one visit to a new database each, the listener 1. Poolers are for tenants only. Each tenant has
// a login of its own, all other connections use the service's. Where the service has more instances, tenants of all share the
// budget, and each other instance has provisioning sessions of its own.

import type { Connection } from '../../../postgres/connections/connection.js'
import { createBuilder } from '../../../postgres/connections/driver.js'
import type { Target } from '../../../postgres/connections/target.js'
import { shareOf } from '../../../postgres/pool/instance-quota.js'
import { createPool, type Pool, type ReportLease } from '../../../postgres/pool/pool.js'
import { type Admit, type ClientScope, createClients } from '../../../postgres/sql/client.js'
import { DEFAULT_INSTANCE, instanceDatabaseName } from '../config/instances.js'
import type { DatabaseOptions } from '../config/options.js'
import type { Settings } from '../config/settings.js'
import type { Logins } from '../credentials/logins.js'
import type { Session } from '../databases/instance-access.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { PoolName, PoolReport } from '../diagnostics/steps.js'
import { CentralDatabaseUnavailable, TenantBusy, TenantDatabaseUnavailable, TenantMoving } from '../errors.js'
import { createPlaced } from '../instances/open-where-placed.js'
import { createPlacements, type Placements } from '../instances/placements.js'
import { tenantDatabaseName, tenantOfDatabase } from '../names.js'
import type { SqlClient, TenantId } from '../types.js'
import { createFollow } from './query-reporting.js'
import { createTargets, type Destination } from './targets.js'

export const CENTRAL_CONNECTIONS = 5
export const PROVISIONING_SESSIONS = 4
/** A migration may be long; the server's own guard is off for it. */
const PROVISIONING_TIMEOUT_MS = 3_600_000
/** A provisioning waits for a session rather than fail: its event would only be delivered again. */
const PROVISIONING_WAIT_MS = 600_000
/**
 * The same on another instance than home: shorter than a migration, which has visits of its own, since a frozen instance
 * would else hold up the provisioning of all the others.
 */
const ELSEWHERE_TIMEOUT_MS = 120_000
const ELSEWHERE_WAIT_MS = 10_000
/** Connections for reading another instance: its health, and its catalogues. */
const LOOKS = 2
/** Connects under way at a time to one instance. */
const MAX_OPENING = 4

export interface Pools {
  /** Its keys are ids of tenants. */
  readonly tenants: Pool
  readonly central: ClientScope
  readonly provisioning: ClientScope
  /** A client of a tenant's database, within the budget. */
  clientFor(id: TenantId, admit?: Admit): ClientScope
  /**
   * A direct client of any database, outside the budget; closed when the function has settled. On the named instance, else
   * on the instance of that tenant in the registry, else at home.
   */
  withDirectConnection<T>(database: string, fn: (sql: SqlClient) => Promise<T>, instance?: string): Promise<T>
  /** A session for provisioning on an instance; at home it is one on the central database. */
  sessionAt(instance: string): Session
  /** The same for reading, with short waits and deadlines like a request's; home uses its central database. */
  readSessionOn(instance: string): Session
  /** The address of an instance. @throws TENANT_DATABASE_UNAVAILABLE when it is not configured in this process */
  addressOf(instance: string): Pick<DatabaseOptions, 'host' | 'port' | 'servers'>
  /** The instance of each tenant; null where there is only one. */
  readonly placements: Placements | null
  /** The instance of a tenant with a connection, as last known. */
  instanceOf(id: TenantId): string
  /** The most tenant connections that one instance may have, by the budget of the moment. */
  readonly share: number
  /** A connection for notifications, always direct. */
  openListener(onNotify: Target['onNotify']): Connection
  /** Closes all but those to the central database, through which the last rows are written. */
  closeOthers(deadlineMs: number): Promise<void>
  close(deadlineMs: number): Promise<void>
}

export function createPools(settings: Settings, logins: Logins, publish: PublishStep): Pools {
  const { database, service } = settings
  const notePooler = (message: string) => publish({ area: 'start', event: { type: 'note', message } })
  const { direct, pooled, provision, places, placeOf } = createTargets(settings, notePooler)
  const builder = createBuilder()

  /** Steps name databases; the tenants' pool has ids for keys. */
  const databaseOf = (pool: PoolName, key: string): string =>
    pool === 'tenant' ? tenantDatabaseName(key as TenantId, service) : key
  const reports = (pool: PoolName) => ({
    report: (event: PoolReport) =>
      publish({ area: 'connection', pool, event: { ...event, key: databaseOf(pool, event.key) } }),
    reportLease: ((type, key, waitedMs) => {
      if (!publish.hasSubscribers('lease')) return
      publish({ area: 'lease', pool, event: { type, key: databaseOf(pool, key), waitedMs } })
    }) satisfies ReportLease,
  })
  const follow = (pool: PoolName) => createFollow(publish, pool, key => databaseOf(pool, key))

  const small = (
    size: number,
    { connect, ...target }: Destination,
    more: { acquireTimeout: number; name: 'central' | 'provisioning'; resetLate?: boolean },
  ): Pool =>
    createPool({
      budget: size,
      perKey: size,
      acquireTimeout: more.acquireTimeout,
      idleTimeout: 60_000,
      maxOpening: size,
      pooling: true,
      resetLate: more.resetLate ?? false,
      open: name => connect({ ...target, database: name }, Math.min(10_000, settings.connectTimeout)),
      refusal: () => new CentralDatabaseUnavailable(),
      ...reports(more.name),
    })
  const centralPool = small(CENTRAL_CONNECTIONS, direct, { acquireTimeout: settings.acquireTimeout, name: 'central' })
  const sessions = small(PROVISIONING_SESSIONS, provision, {
    acquireTimeout: PROVISIONING_WAIT_MS,
    name: 'provisioning',
  })
  const clients = (pool: Pool, name: PoolName, queryTimeout: number, unavailable: () => Error) =>
    createClients({ pool, builder, queryTimeout, unavailable, follow: follow(name) })
  const noCentral = () => new CentralDatabaseUnavailable()
  const noTenant = () => new TenantDatabaseUnavailable()
  const central = clients(centralPool, 'central', settings.queryTimeout, noCentral)(database.database)
  const several = settings.instances.length > 1
  const placements = several ? createPlacements({ central: central.sql, patience: settings.acquireTimeout }) : null
  const placed =
    placements &&
    createPlaced({
      placements,
      places,
      budget: () => tenants.budget,
      connectTimeout: settings.connectTimeout,
      unknown: noTenant,
    })

  const tenants: Pool = createPool({
    budget: settings.maxConnections,
    perKey: settings.maxConnectionsPerTenant,
    acquireTimeout: settings.acquireTimeout,
    idleTimeout: settings.idleTimeout,
    maxOpening: MAX_OPENING,
    pooling: settings.pooling,
    alwaysReset: settings.alwaysReset,
    // A pooler takes statements one by one: those of several requests would only wait for each other.
    sharing: settings.tenantDatabase === null,
    open(key) {
      const id = key as TenantId
      const { connect, ...at } = pooled
      const { user, password, lost, accepted } = logins.of(id)
      const target = { ...at, database: tenantDatabaseName(id, service), user, password }
      const connection = placed ? placed.open(id, target, lost) : connect(target, settings.connectTimeout)
      // Before the pool's own listener, which then calls `again`.
      if (!placed) connection.watch(lost)
      connection.opened.then(accepted, () => {})
      return connection
    },
    again: id => logins.again(id as TenantId) || (placed?.again(id as TenantId) ?? false),
    instances: placed?.shares,
    refusal: () => new TenantBusy(),
    ...reports('tenant'),
  })
  const provisioning = clients(sessions, 'provisioning', PROVISIONING_TIMEOUT_MS, noCentral)(database.database)
  const home = { work: { pool: sessions, scope: provisioning }, looks: { pool: centralPool, scope: central } }
  const others = new Map(
    settings.instances.slice(1).map(({ name }) => {
      const at = (size: number, target: Destination, waitMs: number, timeoutMs: number) => {
        const pool = small(size, { ...target, ...placeOf(name) }, { acquireTimeout: waitMs, name: 'provisioning' })
        const scope = clients(pool, 'provisioning', timeoutMs, noTenant)(instanceDatabaseName(service))
        return { pool, scope }
      }
      const work = at(PROVISIONING_SESSIONS, provision, ELSEWHERE_WAIT_MS, ELSEWHERE_TIMEOUT_MS)
      const looks = at(LOOKS, direct, settings.acquireTimeout, settings.queryTimeout)
      return [name, { work, looks }] as const
    }),
  )
  const sessionsOf = (instance: string) => {
    placeOf(instance)
    return instance === DEFAULT_INSTANCE ? home : (others.get(instance) as typeof home)
  }

  async function closeOthers(deadlineMs: number): Promise<void> {
    await tenants.close(deadlineMs)
    const rest = [...others.values()].flatMap(({ work, looks }) => [work, looks])
    for (const { pool, scope } of [home.work, ...rest]) {
      scope.release()
      await pool.close(deadlineMs)
    }
  }

  return {
    tenants,
    central,
    provisioning,
    clientFor: createClients({
      pool: tenants,
      builder,
      queryTimeout: settings.queryTimeout,
      unavailable: noTenant,
      follow: follow('tenant'),
      ...(placements && { refusedWrite: id => movingError(placements, id as TenantId) }),
    }),
    placements,
    addressOf(instance) {
      const { host, port } = placeOf(instance)
      return { host, port, servers: instance === DEFAULT_INSTANCE ? database.servers : undefined }
    },
    instanceOf: id => placements?.known(id) ?? DEFAULT_INSTANCE,
    get share() {
      return shareOf(tenants.budget, settings.instances.length)
    },
    sessionAt: instance => sessionsOf(instance).work.scope.session,
    readSessionOn: instance => sessionsOf(instance).looks.scope.session,
    async withDirectConnection(name, fn, instance) {
      const id = placements && tenantOfDatabase(name, service)
      // One that is not registered yet is being imported or restored here, to the home instance.
      const at = instance ?? (id && placements ? ((await placements.find(id)) ?? DEFAULT_INSTANCE) : DEFAULT_INSTANCE)
      // A pool of one, closed with the visit: the database may be a template, which must not keep a session.
      const pool = small(
        1,
        { ...provision, ...placeOf(at) },
        { acquireTimeout: PROVISIONING_WAIT_MS, name: 'provisioning', resetLate: true },
      )
      const scope = clients(pool, 'provisioning', PROVISIONING_TIMEOUT_MS, noTenant)(name)
      try {
        return await fn(scope.sql)
      } finally {
        scope.release()
        await pool.close(5_000)
      }
    },
    openListener: onNotify =>
      direct.connect(
        {
          ...direct,
          database: database.database,
          applicationName: `${service}-listener`,
          ...(onNotify ? { onNotify } : {}),
        },
        Math.min(5_000, settings.connectTimeout),
      ),
    closeOthers,
    async close(deadlineMs) {
      await closeOthers(deadlineMs)
      central.release()
      await centralPool.close(deadlineMs)
    },
  }
}

/** The error for a refused write of a tenant, when it is refused because the tenant is being moved. */
async function movingError(placements: Placements, id: TenantId): Promise<Error | null> {
  return (await placements.moving(id)) ? new TenantMoving() : null
}
