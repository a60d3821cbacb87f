// The service that `bench move` moves a tenant of: two instances, the large tenant in some tables with an index each, and small ones
// on both instances.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type postgres from 'postgres'
import { bootstrap } from '../../operations/init/bootstrap.js'
import { withOperations } from '../../operations/parts.js'
import { settle } from '../../plugins/distributed-tenant/config/settings.js'
import { parseServiceName, parseTenantId } from '../../plugins/distributed-tenant/names.js'
import { insertTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import { createTenancy } from '../../plugins/distributed-tenant/tenancy.js'
import type { PostgresServer } from '../../stack/servers/postgres.js'
import type { Progress } from '../progress.js'

export const LARGE = 'large'
export const DATABASE = 'tenant_large_bench'
/** Each is on the instance of its name. */
export const OTHERS = { b: ['b1', 'b2'], main: ['main1', 'main2'] } as const
/** Of each of the others. */
export const OTHERS_ROWS = 1_000
export const TABLES = 4
export const PASSWORD = 'a-password-of-the-benchmark'
export const MIB = 2 ** 20
const SECRET = `k1:${'a-secret-of-the-benchmark-'.repeat(2)}`
/** A row of the filling, with its share of the index. */
const ROW_BYTES = 235
const CHUNK = 100_000

const migrationsOf = (folder: string): string => join(folder, 'migrations')

/** The options of the service, which has the second server as its instance `b`. */
export const serviceOf = (main: PostgresServer, b: PostgresServer, folder: string) => ({
  service: 'bench',
  database: login(main, 'bench_central'),
  instances: { b: { host: b.host, port: b.port } },
  migrations: { tenant: migrationsOf(folder) },
  nats: null,
  redis: null,
  source: false,
  roleSecret: SECRET,
  spares: 0,
  acquireTimeout: 2_000,
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

/** Makes the service on both servers and fills its tenants. @returns the path of the file for --config */
export async function makeService(
  folder: string,
  main: PostgresServer,
  b: PostgresServer,
  megabytes: number,
  progress: Progress,
): Promise<string> {
  const service = parseServiceName('bench')
  const database = login(main, 'bench_central')
  mkdirSync(migrationsOf(folder))
  const table = (n: number) =>
    `create table rows_${n} (id bigint primary key, customer text not null, note text, amount numeric, at timestamptz not null);
     create index rows_${n}_customer on rows_${n} (customer);`
  writeFileSync(
    join(migrationsOf(folder), '001.do.rows.sql'),
    Array.from({ length: TABLES }, (_, n) => table(n)).join('\n'),
  )
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
  const tenancy = withOperations(createTenancy(settle({ ...serviceOf(main, b, folder), service })))
  try {
    await tenancy.prepare()
    const { central } = tenancy.fleet
    // A new tenant goes to the instance that has the fewest, the first of equal ones: in this order each comes to its own.
    const expected = [
      [LARGE, 'main'],
      ...OTHERS.b.flatMap((id, at) => [
        [id, 'b'],
        [OTHERS.main[at], 'main'],
      ]),
    ] as [string, string][]
    for (const [name, instance] of expected) {
      const id = parseTenantId(name)
      await insertTenant(central, { id, version: 0, name, domain: null, settings: {}, lifecycle: 'active' })
      const made = await tenancy.provisioner.provision(id)
      if (made?.instance !== instance) throw new Error(`${name} is on ${made?.instance}, and must be on ${instance}`)
      if (name !== LARGE)
        await tenancy.pools.withDirectConnection(
          `tenant_${name}_bench`,
          inside => fill(inside, OTHERS_ROWS, () => {}),
          instance,
        )
    }
    const each = Math.ceil((megabytes * MIB) / ROW_BYTES / TABLES)
    progress.begin('filling', TABLES * Math.ceil(each / CHUNK))
    await tenancy.pools.withDirectConnection(DATABASE, inside => fill(inside, each, progress.step))
  } finally {
    await tenancy.close()
  }
  const { host, port, user, password, database: name } = database
  const path = join(folder, 'config.json')
  const text = JSON.stringify({
    services: {
      bench: {
        database: { host, port, user, password, name },
        migrations: { tenant: migrationsOf(folder) },
        instances: `b=${b.host}:${b.port}`,
      },
    },
    tenantRoleSecret: SECRET,
  })
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

/** So many rows in each table, made by the server. The index comes after them, which is several times faster. */
async function fill(sql: postgres.Sql, each: number, step: (detail: string) => void): Promise<void> {
  for (let table = 0; table < TABLES; table++) {
    await sql.unsafe(`drop index rows_${table}_customer`)
    for (let from = 1; from <= each; from += CHUNK) {
      await sql.unsafe(`
        insert into rows_${table} select g, md5((g % 50000)::text), md5(g::text) || ' ' || md5((g * 7)::text) || repeat(' word', 8),
          g / 7.0, '2026-01-01'::timestamptz + g * interval '1 second'
        from generate_series(${from}, ${Math.min(each, from + CHUNK - 1)}) g`)
      step(`table ${table + 1} of ${TABLES}`)
    }
    await sql.unsafe(`create index rows_${table}_customer on rows_${table} (customer)`)
  }
  await sql`vacuum analyze`
}
