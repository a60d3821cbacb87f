// Two durable instances with the service, its tenants and its process, which is this one; the command and the bare copy run in processes of
// their own. stop() takes everything down and removes the data.
import { execFile } from 'node:child_process'
import { rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import postgres from 'postgres'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import { makeFolder } from '../../stack/servers/folder.js'
import { type PostgresServer, startPostgres } from '../../stack/servers/postgres.js'
import { processWatch } from '../../stack/watch.js'
import { type PacedWork, startPaced } from '../paced-work.js'
import type { Progress } from '../progress.js'
import { DATABASE, LARGE, login, MIB, makeService, OTHERS, OTHERS_ROWS, PASSWORD, serviceOf } from './service.js'

export const JOBS = 2
export const WRITE_EVERY_MS = 5
/** A read or a write of one of the other tenants, in turn. */
export const OTHERS_EVERY_MS = 10

export interface Command {
  /** For which writers were refused, or statements held, by the central database's clock. */
  readonly frozenMs: number
  /** Of the command's own process, at most. */
  readonly memoryBytes: number
}

export interface Stage {
  /** Bytes of the large tenant's database. */
  readonly bytes: number
  /** `distributed-tenant move large`, with these options. @throws with what it printed */
  move(options: readonly string[]): Promise<Command>
  /** The instance that the large tenant is on, as the registry has it. */
  place(): Promise<'main' | 'b'>
  /** The manual steps of an operator with the database closed, to where the tenant is not: dump, make, restore. @returns milliseconds */
  copyBare(): Promise<number>
  /** One client that writes the large tenant. */
  startWriter(): PacedWork
  /** Readers and writers of the other tenants. */
  startOthers(): PacedWork
  /** How many writes were acknowledged, and which of them are not there. */
  checkWrites(): Promise<{ readonly acknowledged: number; readonly missing: number }>
  stop(): Promise<void>
}

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

export async function startStage(megabytes: number, progress: Progress): Promise<Stage> {
  needSpace(megabytes)
  const folder = makeFolder()
  const servers: PostgresServer[] = []
  const closing: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const close of closing.reverse()) await close()
    for (const server of servers.reverse()) await server.stop()
    folder.remove()
  }
  try {
    for (const name of ['main', 'b']) {
      const settings = { max_wal_size: '4GB', maintenance_work_mem: '256MB' }
      servers.push(await startPostgres({ dir: folder.path, name, password: PASSWORD, durable: true, settings }))
    }
    const [main, b] = servers as [PostgresServer, PostgresServer]
    const config = await makeService(folder.path, main, b, megabytes, progress)
    const [superuser, superuserB] = [main, b].map(({ host, port, user, password }) =>
      postgres({ host, port, user, password, database: 'postgres', max: 1, onnotice() {} }),
    ) as [postgres.Sql, postgres.Sql]
    const central = postgres({ ...login(main, 'bench_central'), ssl: false, max: 1 })
    for (const sql of [superuser, superuserB, central]) closing.push(() => sql.end({ timeout: 1 }))
    for (const sql of [superuser, superuserB]) await sql`checkpoint`
    const [size] = await superuser<[{ bytes: number }]>`select pg_database_size(${DATABASE}::name)::float8 as bytes`
    const app = Fastify({ pluginTimeout: 0 })
    await app.register(distributedTenant, serviceOf(main, b, folder.path))
    await app.ready()
    closing.push(() => app.close())
    const acknowledged: number[] = []
    let written = 0

    async function place(): Promise<'main' | 'b'> {
      const [row] = await central<[{ instance: 'main' | 'b' }]>`select instance from tenants where id = ${LARGE}`
      return row.instance
    }

    return {
      bytes: size.bytes,
      place,
      async move(options) {
        const how = ['--jobs', String(JOBS), '--folder', folder.path, '--yes']
        const args = [program, '--config', config, '--json', 'move', LARGE, ...options, ...how]
        return JSON.parse(await run(process.execPath, args, { INIT_PASSWORD: PASSWORD }))
      },
      async copyBare() {
        const here = await place()
        const [from, to, target, anchor] =
          here === 'main'
            ? ([main, b, superuserB, 'bench_instance'] as const)
            : ([b, main, superuser, 'bench_central'] as const)
        return copyBare(join(folder.path, 'bare'), from, to, target, anchor)
      },
      startWriter: () =>
        startPaced(WRITE_EVERY_MS, async () => {
          const id = -++written
          await app.tenants.run(
            LARGE,
            ({ sql }) => sql`insert into rows_0 values (${id}, 'written', 'meanwhile', 1, now())`,
          )
          acknowledged.push(id)
        }),
      startOthers() {
        const ids = [...OTHERS.main, ...OTHERS.b]
        return startPaced(OTHERS_EVERY_MS, n => {
          const row = (n % OTHERS_ROWS) + 1
          const writes = Math.floor(n / ids.length) % 2 === 0
          return app.tenants.run(ids[n % ids.length] as string, ({ sql }) =>
            writes
              ? sql`update rows_0 set amount = amount + 1 where id = ${row}`
              : sql`select * from rows_1 where id = ${row}`,
          )
        })
      },
      async checkWrites() {
        const rows = await app.tenants.run(
          LARGE,
          ({ sql }) => sql<{ id: number }[]>`
          select id::float8 as id from rows_0 where id < 0`,
        )
        const there = new Set(rows.map(({ id }) => id))
        return { acknowledged: acknowledged.length, missing: acknowledged.filter(id => !there.has(id)).length }
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The copy is dropped, unmeasured. */
async function copyBare(
  folder: string,
  from: PostgresServer,
  to: PostgresServer,
  superuser: postgres.Sql,
  anchor: string,
): Promise<number> {
  const environment = ({ host, port }: PostgresServer, database: string) => ({
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: 'bench_service',
    PGPASSWORD: PASSWORD,
    PGDATABASE: database,
  })
  const sql = postgres({ ...login(to, anchor), max: 1, onnotice() {} })
  try {
    const began = performance.now()
    await run('pg_dump', ['-Fd', '-j', String(JOBS), '-f', folder], environment(from, DATABASE))
    await sql`create database bare_copy template template0`
    await run('pg_restore', ['--no-owner', '-j', String(JOBS), '-d', 'bare_copy', folder], environment(to, 'bare_copy'))
    return performance.now() - began
  } finally {
    await sql.end({ timeout: 1 })
    await superuser`drop database if exists bare_copy with (force)`
    rmSync(folder, { recursive: true, force: true })
  }
}

/** It ends with this process, whatever ends that. */
function run(name: string, args: readonly string[], environment: Record<string, string>): Promise<string> {
  const { PATH = '' } = process.env
  return new Promise((resolve, reject) => {
    const child = execFile(
      name,
      [...args],
      { env: { PATH, ...environment }, maxBuffer: 2 ** 24 },
      (error, out, err) => {
        if (child.pid) processWatch().gone(child.pid)
        if (error) reject(new Error(`${name} failed: ${err || out || error.message}`))
        else resolve(out)
      },
    )
    if (child.pid) processWatch().group(child.pid, 'service')
  })
}

/** Source, target and the copy between them, and the log of two servers. */
function needSpace(megabytes: number): void {
  const { bavail, bsize } = statfsSync(tmpdir())
  const needed = 3.5 * megabytes + 12_288
  const free = Math.floor((bavail * bsize) / MIB)
  if (free < needed)
    throw new Error(
      `A tenant of ${megabytes} MiB needs about ${Math.ceil(needed)} MiB in ${tmpdir()}, ${free} MiB are free: set TMPDIR.`,
    )
}
