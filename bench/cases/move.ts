// `bench move`: how long the writers of a tenant are refused while it is moved between two instances, against a bare
// parallel pg_dump and pg_restore of the same database. Each round moves it, by the command in a process of its own, and
// copies it bare once more from where it is then. Both instances write durably; nothing else uses them.
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { bootstrap } from '../../operations/init/bootstrap.js'
import { withOperations } from '../../operations/parts.js'
import { settle } from '../../plugins/distributed-tenant/config/settings.js'
import { parseServiceName, parseTenantId } from '../../plugins/distributed-tenant/names.js'
import { insertTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import { createTenancy } from '../../plugins/distributed-tenant/tenancy.js'
import { makeFolder } from '../../stack/servers/folder.js'
import { type PostgresServer, startPostgres } from '../../stack/servers/postgres.js'
import type { BenchOptions } from '../arms.js'
import { type Case, type Config, compareNumbers, machine } from '../report.js'
import { paired, rounds } from '../rounds.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const DATABASE = 'tenant_large_bench'
const JOBS = 2
const TABLES = 4
const PASSWORD = 'a-password-of-the-benchmark'
const SECRET = `k1:${'a-secret-of-the-benchmark-'.repeat(2)}`
const MIB = 2 ** 20
/** What the command may take at most. */
const MEMORY_MIB = 150
/** A row of the filling, with its share of the index. */
const ROW_BYTES = 235

interface Copied {
  readonly ms: number
  readonly memory: number
}

export async function benchMove(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const megabytes = options.megabytes ?? (options.quick ? 16 : 1024)
  const folder = makeFolder()
  const servers: PostgresServer[] = []
  try {
    for (const name of ['main', 'b']) {
      servers.push(await startPostgres({ dir: folder.path, name, durable: true, settings: { max_wal_size: '4GB' } }))
    }
    const [main, b] = servers as [PostgresServer, PostgresServer]
    const config = await makeTenant(folder.path, main, b, megabytes, options)
    const where = { instance: 'main' }
    const place = () => (where.instance === 'main' ? { here: main, there: b } : { here: b, there: main })
    const results = await rounds<Copied>({
      what: 'moving',
      rounds: options.rounds,
      progress: options.progress,
      turns: {
        ours: async () => {
          const to = where.instance === 'main' ? 'b' : 'main'
          const moved = await move(config, to)
          where.instance = to
          return { ms: moved.frozenMs, memory: moved.memoryBytes / MIB }
        },
        bare: async () => ({ ms: await copyBare(folder.path, place().here, place().there), memory: 0 }),
      },
    })
    const [ours, bare] = paired(results, 'ours', 'bare')
    const bytes = await sizeOf(place().here)
    return {
      config: {
        ...machine(),
        tenant: `${(bytes / MIB).toFixed(0)} MiB in ${TABLES} tables with an index each`,
        jobs: JOBS,
        bare: `pg_dump -Fd -j ${JOBS}, createdb, pg_restore -j ${JOBS}, as the same role`,
        frozen:
          'by the central database’s clock, from the first refused write to the switch, with the comparison of all rows',
      },
      cases: [
        compareNumbers(
          'move vs bare-copy',
          ours.map(one => one.ms),
          bare.map(one => one.ms),
          { better: 'lower', as: 'p50' },
        ),
        compareNumbers(
          `memory of the command vs ${MEMORY_MIB} MiB`,
          ours.map(one => one.memory),
          ours.map(() => MEMORY_MIB),
          { better: 'lower', as: 'note', note: 'MiB resident at most' },
        ),
      ],
    }
  } finally {
    for (const server of servers.reverse()) await server.stop()
    folder.remove()
  }
}

const login = (server: PostgresServer, database: string) => ({
  host: server.host,
  port: server.port,
  user: 'bench_service',
  password: PASSWORD,
  database,
  ssl: 'prefer' as const,
  sslRootCert: undefined,
})

/** @returns the path of the file for --config */
async function makeTenant(
  folder: string,
  main: PostgresServer,
  b: PostgresServer,
  megabytes: number,
  { progress }: BenchOptions,
): Promise<string> {
  const service = parseServiceName('bench')
  const database = login(main, 'bench_central')
  const migrations = join(folder, 'migrations')
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
        service,
        database,
        instances: { b: { host: b.host, port: b.port } },
        migrations: { tenant: migrations },
        nats: null,
        redis: null,
        source: false,
        roleSecret: SECRET,
        spares: 0,
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

async function move(config: string, to: string): Promise<{ frozenMs: number; memoryBytes: number }> {
  const how = ['--jobs', String(JOBS), '--folder', dirname(config), '--drop-source', '--yes']
  const args = ['--config', config, '--json', 'move', 'large', '--to', to, ...how]
  return JSON.parse(await run(process.execPath, [program, ...args], {}))
}

/** The manual steps of an operator with the database closed: dump, make, restore. The copy is dropped, unmeasured. */
async function copyBare(folder: string, from: PostgresServer, to: PostgresServer): Promise<number> {
  const place = join(folder, 'bare')
  const environment = ({ host, port }: PostgresServer, database: string) => ({
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: 'bench_service',
    PGPASSWORD: PASSWORD,
    PGDATABASE: database,
  })
  const sql = postgres({ ...login(to, 'bench_instance'), database: await anchorOf(to), max: 1, onnotice() {} })
  try {
    await sql`drop database if exists bare_copy`
    const began = performance.now()
    await run('pg_dump', ['-Fd', '-j', String(JOBS), '-f', place], environment(from, DATABASE))
    await sql`create database bare_copy template template0`
    await run('pg_restore', ['--no-owner', '-j', String(JOBS), '-d', 'bare_copy', place], environment(to, 'bare_copy'))
    const ms = performance.now() - began
    await sql`drop database bare_copy`
    return ms
  } finally {
    await sql.end()
    rmSync(place, { recursive: true, force: true })
  }
}

/** The database that the service's role may connect to there: the central one on the default instance, its own elsewhere. */
async function anchorOf({ host, port, user, password }: PostgresServer): Promise<string> {
  const sql = postgres({ host, port, user, password, database: 'postgres', max: 1 })
  const rows = await sql<{ name: string }[]>`
    select datname as name from pg_database where datname in ('bench_central', 'bench_instance')`
  await sql.end()
  return rows[0]?.name ?? 'bench_central'
}

async function sizeOf({ host, port, user, password }: PostgresServer): Promise<number> {
  const sql = postgres({ host, port, user, password, database: 'postgres', max: 1 })
  const [row] = await sql<{ bytes: number }[]>`select pg_database_size(${DATABASE}::name)::float8 as bytes`
  await sql.end()
  return row?.bytes ?? 0
}

function run(name: string, args: readonly string[], environment: Record<string, string>): Promise<string> {
  const { PATH = '' } = process.env
  return new Promise((resolve, reject) => {
    execFile(name, [...args], { env: { PATH, ...environment }, maxBuffer: 2 ** 24 }, (error, out, err) => {
      if (error) reject(new Error(`${name} failed: ${err || out || error.message}`))
      else resolve(out)
    })
  })
}
