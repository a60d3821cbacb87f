// The tenant that `bench move` moves, and the service it belongs to: two instances, one tenant in some tables with an index each.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { bootstrap } from '../operations/init/bootstrap.js'
import { withOperations } from '../operations/parts.js'
import { settle } from '../plugins/distributed-tenant/config/settings.js'
import { parseServiceName, parseTenantId } from '../plugins/distributed-tenant/names.js'
import { insertTenant } from '../plugins/distributed-tenant/registry/tenants-table.js'
import { createTenancy } from '../plugins/distributed-tenant/tenancy.js'
import type { PostgresServer } from '../stack/servers/postgres.js'
import type { BenchOptions } from './arms.js'

export const DATABASE = 'tenant_large_bench'
export const TABLES = 4
export const PASSWORD = 'a-password-of-the-benchmark'
export const MIB = 2 ** 20
const SECRET = `k1:${'a-secret-of-the-benchmark-'.repeat(2)}`
/** A row of the filling, with its share of the index. */
const ROW_BYTES = 235

export const migrationsOf = (folder: string): string => join(folder, 'migrations')

/** The options of the service, which has the second server as its instance `b`. */
export const serviceOf = (main: PostgresServer, b: PostgresServer, migrations: string) => ({
  service: 'bench',
  database: login(main, 'bench_central'),
  instances: { b: { host: b.host, port: b.port } },
  migrations: { tenant: migrations },
  nats: null,
  redis: null,
  source: false,
  roleSecret: SECRET,
  spares: 0,
})

/** The service's login there. */
export const login = (server: PostgresServer, database: string) => ({
  host: server.host,
  port: server.port,
  user: 'bench_service',
  password: PASSWORD,
  database,
  ssl: 'prefer' as const,
  sslRootCert: undefined,
})

/** Makes the service on both servers and fills its one tenant. @returns the path of the file for --config */
export async function makeTenant(
  folder: string,
  main: PostgresServer,
  b: PostgresServer,
  megabytes: number,
  { progress }: BenchOptions,
): Promise<string> {
  const service = parseServiceName('bench')
  const database = login(main, 'bench_central')
  const migrations = migrationsOf(folder)
  mkdirSync(migrations)
  const table = (n: number) =>
    `create table rows_${n} (id bigint primary key, customer text not null, note text, amount numeric, at timestamptz not null);
     create index on rows_${n} (customer);`
  writeFileSync(join(migrations, '001.do.rows.sql'), Array.from({ length: TABLES }, (_, n) => table(n)).join('\n'))
  for (const [server, instance] of [
    [main, undefined],
    [b, 'b'],
  ] as const) {
    const { host, port, user, password } = server
    await bootstrap({
      service,
      database: { ...database, host, port },
      superuser: { user, password },
      onStep: () => {},
      instance,
    })
  }
  const tenancy = withOperations(
    createTenancy(
      settle({
        ...serviceOf(main, b, migrations),
        service,
      }),
    ),
  )
  try {
    await tenancy.prepare()
    const id = parseTenantId('large')
    const named = { id, version: 0, name: 'Large', domain: null, settings: {}, lifecycle: 'active' as const }
    await insertTenant(tenancy.fleet.central, named)
    await tenancy.provisioner.provision(id)
    const each = Math.ceil((megabytes * MIB) / ROW_BYTES / TABLES)
    const CHUNK = 100_000
    progress.begin('filling', TABLES * Math.ceil(each / CHUNK))
    await tenancy.pools.withDirectConnection(DATABASE, async sql => {
      for (let table = 0; table < TABLES; table++) {
        for (let from = 1; from <= each; from += CHUNK) {
          await sql.unsafe(`
            insert into rows_${table} select g, md5((g % 50000)::text), md5(g::text) || ' ' || md5((g * 7)::text) || repeat(' word', 8),
              g / 7.0, '2026-01-01'::timestamptz + g * interval '1 second'
            from generate_series(${from}, ${Math.min(each, from + CHUNK - 1)}) g`)
          progress.step(`table ${table + 1}`)
        }
      }
      await sql`vacuum analyze`
    })
  } finally {
    await tenancy.close()
  }
  const { host, port, user, password, database: name } = database
  const path = join(folder, 'config.json')
  const text = JSON.stringify({
    services: {
      bench: {
        database: { host, port, user, password, name },
        migrations: { tenant: migrations },
        instances: `b=${b.host}:${b.port}`,
      },
    },
    tenantRoleSecret: SECRET,
  })
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

/** The database that the service's role may connect to there: the central one on the default instance, its own elsewhere. */
export async function anchorOf({ host, port, user, password }: PostgresServer): Promise<string> {
  const sql = postgres({ host, port, user, password, database: 'postgres', max: 1 })
  const rows = await sql<{ name: string }[]>`
    select datname as name from pg_database where datname in ('bench_central', 'bench_instance')`
  await sql.end()
  return rows[0]?.name ?? 'bench_central'
}

/** In bytes, of the tenant's database. */
export async function sizeOf({ host, port, user, password }: PostgresServer): Promise<number> {
  const sql = postgres({ host, port, user, password, database: 'postgres', max: 1 })
  const [row] = await sql<{ bytes: number }[]>`select pg_database_size(${DATABASE}::name)::float8 as bytes`
  await sql.end()
  return row?.bytes ?? 0
}
