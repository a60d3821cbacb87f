// `bench move`: how long the writes of a tenant wait at the switch of a move that replicates, against how long a frozen move
// refuses them, and both against a bare parallel pg_dump and pg_restore of the same database. Each round moves it by either way,
// by the command in a process of its own, and copies it bare once more from where it is then. Both instances write durably; nothing else uses them.
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import postgres from 'postgres'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import { makeFolder } from '../../stack/servers/folder.js'
import { type PostgresServer, startPostgres } from '../../stack/servers/postgres.js'
import type { BenchOptions } from '../arms.js'
import {
  anchorOf,
  DATABASE,
  login,
  MIB,
  makeTenant,
  migrationsOf,
  PASSWORD,
  serviceOf,
  sizeOf,
  TABLES,
} from '../move-tenant.js'
import { type Case, type Config, compareNumbers, machine } from '../report.js'
import { paired, rounds } from '../rounds.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const JOBS = 2
/** What the command may take at most. */
const MEMORY_MIB = 150

interface Moved {
  /** For which writers were refused, or statements held, by the central database's clock. */
  readonly ms: number
  readonly whole: number
  readonly memory: number
  /** Milliseconds of the longest write meanwhile, and how many were refused. */
  readonly longest: number
  readonly failed: number
}

const WRITE_EVERY_MS = 5

/** `1 GB` for 1024. */
const labelOf = (megabytes: number): string =>
  megabytes % 1024 === 0 ? `${megabytes / 1024} GB` : `${Math.round(megabytes)} MB`

interface Writer {
  begin(): { end(): Promise<{ readonly longest: number; readonly failed: number }> }
  close(): Promise<void>
}

/** A service with one client that writes the tenant all the while. */
async function startWriter(main: PostgresServer, b: PostgresServer, migrations: string): Promise<Writer> {
  const app = Fastify({ pluginTimeout: 0 })
  await app.register(distributedTenant, serviceOf(main, b, migrations))
  await app.ready()
  let id = 0
  return {
    begin() {
      let going = true
      let longest = 0
      let failed = 0
      const writing = (async () => {
        while (going) {
          const began = performance.now()
          try {
            id--
            await app.tenants.run(
              'large',
              ({ sql }) => sql`insert into rows_0 values (${id}, 'written', 'meanwhile', 1, now())`,
            )
          } catch {
            failed++
          }
          longest = Math.max(longest, performance.now() - began)
          await sleep(WRITE_EVERY_MS)
        }
      })()
      return {
        async end() {
          going = false
          await writing
          return { longest, failed }
        },
      }
    },
    close: () => app.close(),
  }
}

export async function benchMove(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const megabytes = options.megabytes ?? (options.quick ? 16 : 1024)
  const folder = makeFolder()
  const servers: PostgresServer[] = []
  try {
    for (const name of ['main', 'b']) {
      servers.push(
        await startPostgres({
          dir: folder.path,
          name,
          password: PASSWORD,
          durable: true,
          settings: { max_wal_size: '4GB' },
        }),
      )
    }
    const [main, b] = servers as [PostgresServer, PostgresServer]
    const config = await makeTenant(folder.path, main, b, megabytes, options)
    const where = { instance: 'main' }
    const place = () => (where.instance === 'main' ? { here: main, there: b } : { here: b, there: main })
    const writer = await startWriter(main, b, migrationsOf(folder.path))
    const moved = async (frozen: boolean): Promise<Moved> => {
      const to = where.instance === 'main' ? 'b' : 'main'
      const began = performance.now()
      // Beside a freeze a writer would only be refused.
      const written = frozen ? null : writer.begin()
      const { frozenMs, memoryBytes } = await move(config, to, frozen)
      where.instance = to
      const held = written === null ? { longest: 0, failed: 0 } : await written.end()
      return { ms: frozenMs, whole: performance.now() - began, memory: memoryBytes / MIB, ...held }
    }
    const results = await rounds<Moved>({
      what: 'moving',
      rounds: options.rounds,
      progress: options.progress,
      turns: {
        online: () => moved(false),
        frozen: () => moved(true),
        bare: async () => {
          const ms = await copyBare(folder.path, place().here, place().there)
          return { ms, whole: ms, memory: 0, longest: 0, failed: 0 }
        },
      },
    }).finally(() => writer.close())
    const [online, bare] = paired(results, 'online', 'bare')
    const [frozen] = paired(results, 'frozen', 'bare')
    const held = online.map(one => one.longest).sort((a, b) => a - b)
    const bytes = await sizeOf(place().here)
    const failed = online.reduce((sum, one) => sum + one.failed, 0)
    return {
      config: {
        ...machine(),
        tenant: `${(bytes / MIB).toFixed(0)} MiB in ${TABLES} tables with an index each`,
        moves: `${online.length} of each kind`,
        jobs: JOBS,
        bare: `pg_dump -Fd -j ${JOBS}, createdb, pg_restore -j ${JOBS}, as the same role`,
        held: `the longest of the writes of one client, every ${WRITE_EVERY_MS} ms, in each move; rival: what writers of a frozen move are refused for`,
        'held, all': held.map(ms => ms.toFixed(0)).join(' '),
        'held, by the database': online.map(one => one.ms.toFixed(0)).join(' '),
        frozen:
          'by the central database’s clock, from the first refused write to the switch, with the comparison of all rows',
      },
      cases: [
        compareNumbers(
          `hold at the switch, ${labelOf(megabytes)}`,
          online.map(one => one.longest),
          frozen.map(one => one.ms),
          {
            better: 'lower',
            as: 'p50',
            p99: held[Math.min(held.length - 1, Math.ceil(held.length * 0.99) - 1)] ?? 0,
            failed,
          },
        ),
        compareNumbers(
          'whole move vs bare-copy',
          online.map(one => one.whole),
          bare.map(one => one.ms),
          { better: 'lower', as: 'p50' },
        ),
        compareNumbers(
          'frozen move vs bare-copy',
          frozen.map(one => one.ms),
          bare.map(one => one.ms),
          { better: 'lower', as: 'p50' },
        ),
        compareNumbers(
          `memory of the command vs ${MEMORY_MIB} MiB`,
          online.map(one => one.memory),
          online.map(() => MEMORY_MIB),
          { better: 'lower', as: 'note', note: 'MiB resident at most' },
        ),
      ],
    }
  } finally {
    for (const server of servers.reverse()) await server.stop()
    folder.remove()
  }
}

async function move(config: string, to: string, frozen: boolean): Promise<{ frozenMs: number; memoryBytes: number }> {
  const how = [
    ...(frozen ? ['--frozen'] : []),
    '--jobs',
    String(JOBS),
    '--folder',
    dirname(config),
    '--drop-source',
    '--yes',
  ]
  const args = ['--config', config, '--json', 'move', 'large', '--to', to, ...how]
  return JSON.parse(await run(process.execPath, [program, ...args], { INIT_PASSWORD: PASSWORD }))
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

function run(name: string, args: readonly string[], environment: Record<string, string>): Promise<string> {
  const { PATH = '' } = process.env
  return new Promise((resolve, reject) => {
    execFile(name, [...args], { env: { PATH, ...environment }, maxBuffer: 2 ** 24 }, (error, out, err) => {
      if (error) reject(new Error(`${name} failed: ${err || out || error.message}`))
      else resolve(out)
    })
  })
}
