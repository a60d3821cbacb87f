// Owns running pg_dump and pg_restore: found, asked for their version, spawned with argument lists and no shell, passwords
// by environment. Invariants: a copy counts only when both programs have ended well; what a failed one has begun in the
// target is the caller's to drop. A program that cannot be started is told with the package that brings it.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { TransferFailed, TransferRefused } from '../errors.js'
import type { DatabaseOptions } from '../options.js'
import { APPLICATION } from './instance.js'

export interface ProgramsOptions {
  /** Where the programs are; default wherever PATH says. */
  readonly folder?: string | undefined
  /** What they inherit: without secrets of ours. */
  readonly environment: NodeJS.ProcessEnv
}

export interface Programs {
  /** The major version of both, the lower one. @throws TRANSFER_REFUSED when one cannot be started */
  version(): Promise<number>
  /** All of one database into another one, which is empty: one stream, one transaction. Nothing touches the disk here. */
  pipe(from: DatabaseOptions, to: DatabaseOptions, how?: Whole): Promise<void>
  /** The same for large ones: by a folder, with so many jobs on either side. The folder is removed. */
  parallel(from: DatabaseOptions, to: DatabaseOptions, how: { folder: string; jobs: number } & Whole): Promise<void>
}

const always = [
  '--no-owner',
  '--no-tablespaces',
  '--no-publications',
  '--no-subscriptions',
  '--lock-wait-timeout=60000',
]
/** Owners and rights are the target's own; our schema's rows belong to the database they are in. */
const foreign = ['--no-privileges', '--exclude-schema=distributed_tenant']
const dumpedOf = (whole: boolean): string[] => [...always, ...(whole ? [] : foreign)]
const restoredOf = (whole: boolean): string[] => [
  '--no-owner',
  '--exit-on-error',
  ...(whole ? [] : ['--no-privileges']),
]

export interface Whole {
  /** With rights and our own schema, for another instance of the same service, which has the same roles. */
  readonly whole?: boolean
}

export function createPrograms({ folder, environment }: ProgramsOptions): Programs {
  const program = (name: string): string => (folder ? join(folder, name) : name)

  function start(
    name: string,
    args: readonly string[],
    at: DatabaseOptions,
    stdio: ('ignore' | 'pipe' | ChildProcess['stdin'])[],
  ) {
    return spawn(program(name), [...args], { stdio, env: environmentOf(environment, at) })
  }

  return {
    async version() {
      const [dump, restore] = await Promise.all(
        ['pg_dump', 'pg_restore'].map(name => versionOf(program(name), environment)),
      )
      return Math.min(dump as number, restore as number)
    },
    async pipe(from, to, { whole = false } = {}) {
      const restore = start('pg_restore', [...restoredOf(whole), '--single-transaction', '--dbname', to.database], to, [
        'pipe',
        'ignore',
        'pipe',
      ])
      const restoring = ended('pg_restore', restore)
      // A failed start shows as `error` on the child; its input then is no descriptor to hand on.
      if (restore.pid === undefined) return restoring
      // The descriptor itself: what is copied never passes through this process.
      const dump = start('pg_dump', [...dumpedOf(whole), '--format=custom', '--compress=0'], from, [
        'ignore',
        restore.stdin,
        'pipe',
      ])
      restore.stdin?.on('error', () => {})
      restore.stdin?.destroy()
      const outcomes = await Promise.allSettled([ended('pg_dump', dump), restoring])
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    },
    async parallel(from, to, { folder: place, jobs, whole = false }) {
      await rm(place, { recursive: true, force: true })
      await mkdir(place, { recursive: true, mode: 0o700 })
      try {
        const into = ['--format=directory', `--jobs=${jobs}`, '--compress=1', `--file=${join(place, 'dump')}`]
        await ended('pg_dump', start('pg_dump', [...dumpedOf(whole), ...into], from, ['ignore', 'ignore', 'pipe']))
        const out = [`--jobs=${jobs}`, '--dbname', to.database, join(place, 'dump')]
        await ended('pg_restore', start('pg_restore', [...restoredOf(whole), ...out], to, ['ignore', 'ignore', 'pipe']))
      } finally {
        await rm(place, { recursive: true, force: true })
      }
    },
  }
}

/** PGDATABASE is a name and nothing else, where an argument of pg_dump might be read as a connection string. */
function environmentOf(environment: NodeJS.ProcessEnv, at: DatabaseOptions): NodeJS.ProcessEnv {
  const { host, port, user, password, database, ssl, sslRootCert } = at
  const kept = Object.entries(environment).filter(([name]) => !name.startsWith('PG'))
  return {
    ...Object.fromEntries(kept),
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database,
    PGAPPNAME: APPLICATION,
    PGCONNECT_TIMEOUT: '10',
    PGSSLMODE: ssl,
    // Else a file in the home of whoever runs this decides.
    PGPASSFILE: '/dev/null',
    ...(password === undefined ? {} : { PGPASSWORD: password }),
    ...(sslRootCert === undefined ? {} : { PGSSLROOTCERT: sslRootCert }),
  }
}

const LAST_WORDS = 2_000

function ended(name: string, child: ChildProcess): Promise<void> {
  let words = ''
  child.stderr?.setEncoding('utf8')
  child.stderr?.on('data', (chunk: string) => {
    words = (words + chunk).slice(-LAST_WORDS)
  })
  return new Promise((resolve, reject) => {
    child.once('error', error => reject(missing(name, error)))
    child.once('close', (code, signal) => {
      if (code === 0) return resolve()
      const why = printable(words.trim()) || (signal ? `ended by ${signal}` : `exit code ${code}`)
      reject(new TransferFailed(`${name} failed: ${why}`))
    })
  })
}

/** Names of objects may hold anything, also what speaks to a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out.
const printable = (text: string): string => text.replace(/\s+/g, ' ').replace(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd')

const missing = (name: string, error: Error): Error =>
  new TransferRefused(
    `${name} cannot be started (${(error as NodeJS.ErrnoException).code ?? error.message}): install PostgreSQL’s client programs (Debian: postgresql-client), or name their folder with --programs.`,
  )

function versionOf(program: string, environment: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(program, ['--version'], { stdio: ['ignore', 'pipe', 'pipe'], env: environment })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk
  })
  const name = program.slice(program.lastIndexOf('/') + 1)
  return ended(name, child).then(() => {
    const major = /\(PostgreSQL\) (\d+)/.exec(said)?.[1]
    if (major === undefined)
      throw new TransferRefused(`${name} does not say its version: check the folder in --programs.`)
    return Number(major)
  })
}
