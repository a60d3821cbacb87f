// The runner of pg_dump and pg_restore: found, asked for their version, spawned with argument lists and no shell, passwords
// by environment. Invariants: a copy counts only when both programs have ended well; the caller drops the remains of a
// failed one.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import { connected, dumpedOf, restoredOf, type What } from './pg-arguments.js'
import { ended, environmentOf, feed, type Release, releaseOf, stopOn, textOf, throwFirstOrBoth } from './pg-process.js'
import { ownFolder, programPath } from './pg-program-paths.js'

export interface ProgramsOptions {
  /** Where the programs are; default wherever PATH says. */
  readonly folder?: string | undefined
  /** What they inherit: without secrets of ours. */
  readonly environment: NodeJS.ProcessEnv
  /** Where the programs of each version are; default where Debian puts them. */
  readonly versions?: string | undefined
}

export interface Programs {
  /** The major version of both, the lower one. @throws TRANSFER_REFUSED when one cannot be started */
  version(): Promise<number>
  /** The version of both, the lower one. @throws TRANSFER_REFUSED when one cannot be started */
  release(): Promise<Release>
  /**
   * The programs for copying from a server: those of its own version where they are installed and no folder was named, else
   * these.
   */
  suiting(server: Release): Promise<Programs>
  /** The definitions of one database as pg_dump writes them, as a script. */
  definitions(from: DatabaseOptions): Promise<string>
  /** All of one database into another one, which is empty: one stream, one transaction. Nothing touches the disk here. */
  pipe(from: DatabaseOptions, to: DatabaseOptions, how?: CopyHow): Promise<void>
  /** The same for large ones: by a folder, with so many jobs on either side. The folder is removed. */
  parallel(from: DatabaseOptions, to: DatabaseOptions, how: ParallelHow): Promise<void>
  /** One database as pg_dump writes it, chunk by chunk; the next comes when one was taken. */
  dump(from: DatabaseOptions, how: DumpHow, take: (chunk: Uint8Array) => Promise<void>): Promise<void>
  /** Restores the output of {@link Programs.dump}, in its custom format, into a database that is empty: one transaction. */
  restore(dump: Readable, to: DatabaseOptions, how: RestoreHow): Promise<void>
  /** The entries of a dump in its custom format, one line each. */
  list(dump: Readable, signal?: AbortSignal): Promise<string>
}

/** From this size on several jobs are worth a folder on the disk. */
export const LARGE_BYTES = 256 * 1024 * 1024

export interface CopyHow extends What {
  /** Aborted: the programs are ended, and the copy fails. */
  readonly signal?: AbortSignal | undefined
}

export interface ParallelHow extends CopyHow {
  readonly folder: string
  readonly jobs: number
  /** 0 to 9, default 1. Without it the folder takes what the tables do, and the copy is sooner over. */
  readonly compress?: number
}

export interface RestoreHow extends What {
  /** Those of {@link Programs.list} alone. */
  readonly entries?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface DumpHow extends Omit<RestoreHow, 'entries' | 'snapshot'> {
  /** Of a transaction that is kept open. */
  readonly snapshot: string
  /** `sql`: the definitions alone, as a script for people. */
  readonly format: 'custom' | 'sql'
}

export function createPrograms({ folder, environment, versions }: ProgramsOptions): Programs {
  const paths = new Map<string, string>()
  function program(name: string): string {
    const path = paths.get(name) ?? programPath(name, { folder, path: environment.PATH, versions })
    paths.set(name, path)
    return path
  }

  function start(
    name: string,
    args: readonly string[],
    at: DatabaseOptions,
    stdio: ('ignore' | 'pipe' | ChildProcess['stdin'])[],
  ) {
    return spawn(program(name), [...args], { stdio, env: environmentOf(environment, at) })
  }

  async function toItsEnd(
    name: string,
    args: readonly string[],
    at: DatabaseOptions,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const child = start(name, args, at, ['ignore', 'ignore', 'pipe'])
    const stop = stopOn(signal, child)
    await ended(name, child).finally(stop)
  }

  let known: Promise<Release> | undefined

  /** Asked once: two more processes for each database would cost half as much as its dump. */
  function release(): Promise<Release> {
    known ??= Promise.all((['pg_dump', 'pg_restore'] as const).map(name => releaseOf(program(name), environment))).then(
      ([dump, restore]) => older(dump as Release, restore as Release),
    )
    known.catch(() => {
      known = undefined
    })
    return known
  }

  const programs: Programs = {
    version: async () => (await release()).major,
    release,
    async suiting(server) {
      if (folder !== undefined) return programs
      const own = ownFolder(server.major, versions)
      if (own === null) return programs
      const candidate = createPrograms({ folder: own, environment })
      const found = await candidate.release().catch(() => null)
      return found && isOfServer(found, server) ? candidate : programs
    },
    async definitions(from) {
      const child = start('pg_dump', [...dumpedOf({ definitions: true }), connected, '--format=plain'], from, [
        'ignore',
        'pipe',
        'pipe',
      ])
      const text = textOf(child.stdout)
      await ended('pg_dump', child)
      return text()
    },
    async pipe(from, to, { signal, ...what } = {}) {
      const restore = start('pg_restore', [...restoredOf(what), '--single-transaction', connected], to, [
        'pipe',
        'ignore',
        'pipe',
      ])
      const restoring = ended('pg_restore', restore)
      // A failed start shows as `error` on the child; its input then is no descriptor to hand on.
      if (restore.pid === undefined) return restoring
      // The descriptor itself: copied data never passes through this process.
      const dump = start('pg_dump', [...dumpedOf(what), connected, '--format=custom', '--compress=0'], from, [
        'ignore',
        restore.stdin,
        'pipe',
      ])
      restore.stdin?.on('error', () => {})
      restore.stdin?.destroy()
      const stops = [stopOn(signal, dump), stopOn(signal, restore)]
      const outcomes = await Promise.allSettled([ended('pg_dump', dump), restoring])
      for (const stop of stops) stop()
      throwFirstOrBoth(outcomes.flatMap(one => (one.status === 'rejected' ? [one.reason as Error] : [])))
    },
    async parallel(from, to, { folder: place, jobs, compress = 1, signal, ...what }) {
      await rm(place, { recursive: true, force: true })
      await mkdir(place, { recursive: true, mode: 0o700 })
      try {
        const into = [
          connected,
          '--format=directory',
          `--jobs=${jobs}`,
          `--compress=${compress}`,
          `--file=${join(place, 'dump')}`,
        ]
        await toItsEnd('pg_dump', [...dumpedOf(what), ...into], from, signal)
        const out = [connected, `--jobs=${jobs}`, join(place, 'dump')]
        await toItsEnd('pg_restore', [...restoredOf(what), ...out], to, signal)
      } finally {
        await rm(place, { recursive: true, force: true })
      }
    },
    async dump(from, { snapshot, format, signal, ...what }, take) {
      const form = format === 'sql' ? ['--format=plain', '--schema-only'] : ['--format=custom', '--compress=1']
      const args = [...dumpedOf(what), connected, ...form, `--snapshot=${snapshot}`]
      const child = start('pg_dump', args, from, ['ignore', 'pipe', 'pipe'])
      const over = ended('pg_dump', child)
      // Awaited below, also when the consumer fails first.
      over.catch(() => {})
      const stop = stopOn(signal, child)
      try {
        if (child.pid !== undefined) for await (const chunk of child.stdout as AsyncIterable<Buffer>) await take(chunk)
      } catch (error) {
        child.kill()
        await over.catch(() => {})
        throw error
      } finally {
        stop()
      }
      await over
      signal?.throwIfAborted()
    },
    async restore(dump, to, { signal, entries, ...what }) {
      let folder: string | undefined
      try {
        const args = [...restoredOf(what), '--single-transaction', connected]
        if (entries !== undefined) {
          folder = await mkdtemp(join(tmpdir(), 'restore-'))
          await writeFile(join(folder, 'entries'), entries)
          args.push(`--use-list=${join(folder, 'entries')}`)
        }
        const child = start('pg_restore', args, to, ['pipe', 'ignore', 'pipe'])
        // One that wants definitions alone has read enough before the rows come.
        await feed(child, dump, { signal, readsAll: !what.definitions })
      } finally {
        dump.destroy()
        if (folder !== undefined) await rm(folder, { recursive: true, force: true })
      }
    },
    async list(dump, signal) {
      try {
        const child = spawn(program('pg_restore'), ['--list'], { stdio: 'pipe', env: environment })
        const text = textOf(child.stdout)
        // The list stands at the beginning, and no more is read.
        await feed(child, dump, { signal, readsAll: false })
        return text()
      } finally {
        dump.destroy()
      }
    },
  }
  return programs
}

const older = (a: Release, b: Release): Release =>
  a.major < b.major || (a.major === b.major && a.minor < b.minor) ? a : b

/** Programs of the server's own major version that are at least as new as the server. */
export const isOfServer = (programs: Release, server: Release): boolean =>
  programs.major === server.major && programs.minor >= server.minor
