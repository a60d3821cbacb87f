// Shared by tests of connections without Fastify: one PostgreSQL of their own, a pool and clients as the plugin
// builds them, and a superuser's connection. Fails the test if the process has an uncaught error.

import postgres from 'postgres'
import type { Test } from 'tap'
import type { LeaseReport, PoolReport } from '../../plugins/distributed-tenant/diagnostics/steps.js'
import { TenantBusy, TenantDatabaseUnavailable } from '../../plugins/distributed-tenant/errors.js'
import { createArrayTypes } from '../../postgres/connections/array-types.js'
import { createBuilder } from '../../postgres/connections/driver.js'
import { openConnection } from '../../postgres/connections/open-connection.js'
import type { Target } from '../../postgres/connections/target.js'
import { createPool, type Pool, type PoolOptions } from '../../postgres/pool/pool.js'
import { type ClientScope, createClients } from '../../postgres/sql/client.js'
import { type PostgresServer, startPostgres } from '../../stack/servers/postgres.js'

export const APPLICATION = 'stand'

export interface PoolTweaks extends Partial<Omit<PoolOptions, 'open' | 'report' | 'refusal'>> {
  readonly connectTimeout?: number
  readonly queryTimeout?: number
  readonly target?: Partial<Target>
}

export interface Stand {
  readonly server: PostgresServer
  readonly look: postgres.Sql
  /** Makes databases and returns their names. */
  databases(count: number): Promise<string[]>
  pool(tweaks?: PoolTweaks): StandPool
}

export interface StandPool {
  readonly pool: Pool
  readonly reports: (PoolReport | LeaseReport)[]
  client(database?: string): ClientScope
}

/** Records uncaught errors, and fails the test if there are any. */
export function nothingUncaught(t: Pick<Test, 'teardown'>): void {
  const uncaught: unknown[] = []
  const record = (error: unknown) => uncaught.push(error)
  process.on('uncaughtException', record)
  process.on('unhandledRejection', record)
  t.teardown(() => {
    process.off('uncaughtException', record)
    process.off('unhandledRejection', record)
    if (uncaught.length > 0)
      throw new AggregateError(uncaught, `${uncaught.length} left uncaught: ${uncaught.join('; ')}`)
  })
}

/** Blocks its callers until the test opens it. */
export function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open: () => void = () => {}
  const passed = new Promise<void>(resolve => {
    open = resolve
  })
  return { passed, open: () => open() }
}

export async function codeOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise
    return 'no error'
  } catch (error) {
    return (error as { code?: unknown }).code ?? error
  }
}

export async function stand(t: Test, settings?: Record<string, string | number>): Promise<Stand> {
  const server = await startPostgres(settings ? { settings } : {})
  const { host, port, user, password } = server
  const look = postgres({ host, port, user, password, database: 'postgres', max: 1, onnotice() {} })
  const pools: Pool[] = []
  t.teardown(async () => {
    server.thaw()
    await Promise.all(pools.map(pool => pool.close(1_000)))
    await look.end({ timeout: 1 })
    await server.stop()
  })
  nothingUncaught(t)
  return {
    server,
    look,
    async databases(count) {
      const names = Array.from({ length: count }, (_, at) => `db_${at}`)
      for (const name of names) await look`create database ${look(name)} template template0 strategy wal_log`
      return names
    },
    pool({ connectTimeout = 5_000, queryTimeout = 10_000, target, ...tweaks } = {}) {
      const reports: (PoolReport | LeaseReport)[] = []
      const whole: Omit<Target, 'database'> = {
        host,
        port,
        user,
        password,
        tls: false,
        applicationName: APPLICATION,
        statementTimeout: queryTimeout,
        arrayTypes: createArrayTypes(),
        ...target,
      }
      const pool = createPool({
        budget: 10,
        perKey: 10,
        // Longer than a slow machine needs: its speed is not under test.
        acquireTimeout: 180_000,
        idleTimeout: 60_000,
        maxOpening: 4,
        pooling: true,
        ...tweaks,
        open: database => openConnection({ ...whole, database }, connectTimeout),
        refusal: () => new TenantBusy(),
        report: report => reports.push(report),
        reportLease: (type, key, waitedMs) => reports.push({ type, key, waitedMs }),
      })
      pools.push(pool)
      const client = createClients({
        pool,
        builder: createBuilder(),
        queryTimeout,
        unavailable: () => new TenantDatabaseUnavailable(),
      })
      return { pool, reports, client: (key = 'postgres') => client(key) }
    },
  }
}
