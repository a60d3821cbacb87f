// Owns which pools one service process has, and the stated allowance of each: tenants by the budget, the central
// database 5, provisioning 4 sessions with one visit to a new database each, the listener 1. Poolers are for tenants only.
// Tenants are reached by a login of their own each, everything else by the service's.

import type { PoolName, Tell } from '../channels.js'
import { CentralDatabaseUnavailable, TenantBusy, TenantDatabaseUnavailable } from '../errors.js'
import type { Settings } from '../options.js'
import { type ClientScope, createClients } from '../request/client.js'
import { createFollow } from '../request/follow.js'
import type { SqlClient } from '../types.js'
import { createArrayTypes } from './array-types.js'
import { type Connection, openConnection } from './connection.js'
import { createBuilder } from './driver.js'
import type { Logins } from './logins.js'
import { createPool, type Pool, type PoolReport, type ReportLease } from './pool.js'
import { type Target, tlsOptions } from './target.js'

export const CENTRAL_CONNECTIONS = 5
export const PROVISIONING_SESSIONS = 4
/** A migration may be long; the server's own guard is off for it. */
const PROVISIONING_TIMEOUT_MS = 3_600_000
/** A provisioning waits for its turn rather than fail: its event would only come again. */
const PROVISIONING_WAIT_MS = 600_000

export interface Pools {
  readonly tenants: Pool
  readonly central: ClientScope
  readonly provisioning: ClientScope
  /** A client of a tenant's database, within the budget. */
  clientFor(database: string): ClientScope
  /** A direct client of any database of this instance, outside the budget; closed when the function has settled. */
  visit<T>(database: string, fn: (sql: SqlClient) => Promise<T>): Promise<T>
  /** A connection that hears notifications, always direct. */
  openListener(onNotify: Target['onNotify']): Connection
  close(deadlineMs: number): Promise<void>
}

export function createPools(settings: Settings, logins: Logins, tell: Tell): Pools {
  const { database, service } = settings
  const direct = {
    host: database.host,
    port: database.port,
    user: database.user,
    password: database.password,
    tls: tlsOptions(database),
    applicationName: `${service}-service`,
    statementTimeout: settings.queryTimeout,
    arrayTypes: createArrayTypes(),
  }
  const pooled = settings.tenantDatabase
    ? { ...direct, ...settings.tenantDatabase, pooler: true, applicationName: `${service}-service` }
    : direct
  const builder = createBuilder()
  const provision = { ...direct, statementTimeout: 0, applicationName: `${service}-provisioning` }

  const reports = (pool: PoolName) => ({
    report: (event: PoolReport) => tell({ area: 'connection', pool, event }),
    reportLease: ((type, key, waitedMs) => {
      if (tell.heard('lease')) tell({ area: 'lease', pool, event: { type, key, waitedMs } })
    }) satisfies ReportLease,
  })

  const tenants = createPool({
    budget: settings.maxConnections,
    perKey: settings.maxConnectionsPerTenant,
    acquireTimeout: settings.acquireTimeout,
    idleTimeout: settings.idleTimeout,
    maxOpening: 4,
    pooling: settings.pooling,
    open(name) {
      const login = logins.of(name)
      const { user, password } = login
      const connection = openConnection({ ...pooled, database: name, user, password }, settings.connectTimeout)
      // Before the pool hears of it, which then asks `again`.
      connection.watch(login.lost)
      connection.opened.then(login.accepted, () => {})
      return connection
    },
    again: logins.again,
    refusal: () => new TenantBusy(),
    ...reports('tenant'),
  })
  const small = (
    size: number,
    target: Omit<Target, 'database'>,
    more: { acquireTimeout: number; name: 'central' | 'provisioning' },
  ): Pool =>
    createPool({
      budget: size,
      perKey: size,
      acquireTimeout: more.acquireTimeout,
      idleTimeout: 60_000,
      maxOpening: size,
      pooling: true,
      open: name => openConnection({ ...target, database: name }, Math.min(10_000, settings.connectTimeout)),
      refusal: () => new CentralDatabaseUnavailable(),
      ...reports(more.name),
    })
  const centralPool = small(CENTRAL_CONNECTIONS, direct, { acquireTimeout: settings.acquireTimeout, name: 'central' })
  const sessions = small(PROVISIONING_SESSIONS, provision, {
    acquireTimeout: PROVISIONING_WAIT_MS,
    name: 'provisioning',
  })
  const clients = (pool: Pool, name: PoolName, queryTimeout: number, unavailable: () => Error) =>
    createClients({ pool, builder, queryTimeout, unavailable, follow: createFollow(tell, name) })
  const noCentral = () => new CentralDatabaseUnavailable()
  const noTenant = () => new TenantDatabaseUnavailable()
  const central = clients(centralPool, 'central', settings.queryTimeout, noCentral)(database.database)
  const provisioning = clients(sessions, 'provisioning', PROVISIONING_TIMEOUT_MS, noCentral)(database.database)

  return {
    tenants,
    central,
    provisioning,
    clientFor: clients(tenants, 'tenant', settings.queryTimeout, noTenant),
    async visit(name, fn) {
      // A pool of one, gone with the visit: the database may be a template, which must not keep a session.
      const pool = small(1, provision, { acquireTimeout: PROVISIONING_WAIT_MS, name: 'provisioning' })
      const scope = clients(pool, 'provisioning', PROVISIONING_TIMEOUT_MS, noTenant)(name)
      try {
        return await fn(scope.sql)
      } finally {
        scope.release()
        await pool.close(5_000)
      }
    },
    openListener: onNotify =>
      openConnection(
        {
          ...direct,
          database: database.database,
          applicationName: `${service}-listener`,
          ...(onNotify ? { onNotify } : {}),
        },
        Math.min(5_000, settings.connectTimeout),
      ),
    async close(deadlineMs) {
      await tenants.close(deadlineMs)
      provisioning.release()
      await sessions.close(deadlineMs)
      central.release()
      await centralPool.close(deadlineMs)
    },
  }
}
