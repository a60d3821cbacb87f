// The shared server of the old kind that `import` brings tenants out of: one durable instance with a database for each
// tenant and service, all with the same data: the service's own tables, and five more as an application would have.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { serviceNames } from '../../stack/names.js'
import { startPostgres } from '../../stack/servers/postgres.js'
import type { Login } from '../arm.js'
import type { Progress } from '../progress.js'

export interface Source {
  readonly login: Login
  /** The server's first process. */
  readonly pid: number
  readonly tenants: readonly string[]
  /** Of one database. */
  readonly bytes: number
  /** Makes `tenant_<id>_core` with one table of so many MiB, and nothing that compresses it. */
  makeLarge(id: string, mebibytes: number): Promise<void>
  stop(): Promise<void>
}

const TABLES = 5
const ROWS = 2_000

export const databaseOf = (tenant: string, service: string): string => `tenant_${tenant}_${service}`

export async function startSource(count: number, progress: Progress): Promise<Source> {
  const server = await startPostgres({ name: 'source', durable: true })
  const { host, port, user, password } = server
  const tenants = Array.from({ length: count }, (_, at) => `t${String(at + 1).padStart(3, '0')}`)
  const at = (database: string) => postgres({ host, port, user, password, database, max: 1, onnotice() {} })
  const central = at('postgres')
  try {
    await central.unsafe('create table tenants (id text primary key, name text not null)')
    await central`insert into tenants select id, 'Tenant ' || id from unnest(${tenants}::text[]) id`
    progress.begin('filling the shared server', serviceNames.length * (count + 1))
    for (const service of serviceNames) {
      const model = `model_${service}`
      await central`create database ${central(model)}`
      const inside = at(model)
      for (const text of migrationsOf(service)) await inside.unsafe(text)
      for (let table = 1; table <= TABLES; table++) await inside.unsafe(fill(table))
      await inside.unsafe('vacuum analyze')
      await inside.end()
      progress.step(model)
      for (const tenant of tenants) {
        await central`create database ${central(databaseOf(tenant, service))} template ${central(model)}`
        progress.step(tenant)
      }
      await central`drop database ${central(model)}`
    }
    const [size] = await central<{ bytes: number }[]>`
      select pg_database_size(${databaseOf(tenants[0] as string, 'core')})::float8 as bytes`
    return {
      login: { host, port, user, password },
      pid: server.pid,
      tenants,
      bytes: size?.bytes ?? 0,
      async makeLarge(id, mebibytes) {
        await central`create database ${central(databaseOf(id, 'core'))}`
        const inside = at(databaseOf(id, 'core'))
        await inside.unsafe('create table large (n int primary key, text text)')
        await inside.unsafe('alter table large alter text set storage external')
        await inside.unsafe(
          `insert into large select n, repeat(md5(n::text), 128) from generate_series(1, ${mebibytes * 256}) n`,
        )
        await inside.end()
      },
      async stop() {
        await central.end({ timeout: 1 })
        await server.stop()
      },
    }
  } catch (error) {
    await central.end({ timeout: 1 })
    await server.stop()
    throw error
  }
}

const fill = (table: number): string => `
  create table items_${table} (id bigint generated always as identity primary key, owner bigint, name text not null,
    price numeric(12, 2), made timestamptz not null default now(), about jsonb);
  insert into items_${table} (owner, name, price, about)
    select n / 10 + 1, 'item ' || md5(n::text), n / 7.0, jsonb_build_object('n', n, 'text', md5((n + ${table})::text))
    from generate_series(1, ${ROWS}) n;
  create index on items_${table} (name);
  alter table items_${table} add foreign key (owner) references items_${table}`

function migrationsOf(service: string): string[] {
  const folder = fileURLToPath(new URL(`../../../services/${service}/migrations/tenant/`, import.meta.url))
  const files = readdirSync(folder).filter(file => file.includes('.do.'))
  return files.sort().map(file => readFileSync(join(folder, file), 'utf8'))
}
