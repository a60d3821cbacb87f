// The check of free disk space for incoming data. PostgreSQL does not report the space of its disk: it is known when the
// operator passes it, or when the server's folder is on this machine and is proved to be that server's. Otherwise the plan
// reports it as unknown, with the size of the data. Reads only.
import { readFile, stat, statfs } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'
import { sizeOf } from './byte-sizes.js'
import { block, type Obstacle, warn } from './obstacle.js'

export interface Coming {
  /** The subject of the report, and the name under which its room is passed. */
  readonly about: string
  readonly host: string
  readonly port: number
  readonly ask: <T>(fn: (sql: QueryClient) => Promise<T>) => Promise<T>
  /** At the source. */
  readonly bytes: number
}

/** The operator's cures, as options of the command. */
export interface Cures {
  /** The option that passes how much is free. */
  readonly say: (about: string) => string
  readonly less: string
}

interface Room {
  readonly free: number
  /** Instances of one disk share what is free there. */
  readonly disk: string
  readonly where: string
}

/** @param given the free bytes that the operator passed */
export async function roomInTheWay(
  coming: readonly Coming[],
  given: ReadonlyMap<string, number>,
  cures: Cures,
): Promise<Obstacle[]> {
  const found: Obstacle[] = []
  const disks = new Map<string, { room: Room; those: string[]; bytes: number }>()
  for (const one of coming) {
    const { about, host, port, bytes } = one
    if (bytes === 0) continue
    const needed = bytes + Math.min(bytes, await mostLog(one))
    const free = given.get(about)
    const room = free === undefined ? await roomOf(one) : { free, disk: about, where: '--room' }
    if (room === null) {
      found.push(
        warn(
          about,
          `PostgreSQL does not report how much room the disk of ${host}:${port} has: ${sizeOf(needed)} come, with its log; look there (df), and pass it with ${cures.say(about)}`,
        ),
      )
      continue
    }
    const disk = disks.get(room.disk) ?? { room, those: [], bytes: 0 }
    disks.set(room.disk, { room, those: [...disk.those, about], bytes: disk.bytes + needed })
  }
  for (const { room, those, bytes } of disks.values()) {
    if (bytes <= room.free) continue
    const what = `has ${sizeOf(room.free)} free (${room.where}), and ${sizeOf(bytes)} come, with the log: give it more, or ${cures.less}`
    found.push(block(those.join(', '), what))
  }
  return found
}

/** A folder of this machine, for copies of large databases. It may be less: they are compressed. */
export async function folderInTheWay(folder: string, bytes: number): Promise<Obstacle[]> {
  if (bytes === 0) return []
  const free = await freeIn(folder).catch(() => null)
  if (free === null) return [block(folder, 'cannot be used for copies of large databases: name another with --folder')]
  if (free >= bytes) return []
  return [
    warn(
      folder,
      `has ${sizeOf(free)} free, and copies of large databases may take up to ${sizeOf(bytes)} at a time: name another folder with --folder`,
    ),
  ]
}

/** The size that the server's log may reach beside the data. */
async function mostLog({ ask }: Coming): Promise<number> {
  const [row] = await ask(
    sql => sql<{ bytes: number }[]>`select pg_size_bytes(current_setting('max_wal_size'))::float8 as bytes`,
  )
  return row?.bytes ?? 0
}

/** The free bytes of a server's disk, and of the disk of its log where that is another: the lower one. Null where it is unknown. */
export async function freeOf(server: Pick<Coming, 'ask' | 'host' | 'port'>): Promise<number | null> {
  const room = await roomOf(server)
  if (room === null) return null
  return Math.min(room.free, await freeIn(join(room.where, 'pg_wal')).catch(() => room.free))
}

/** Null where it is unknown. */
async function roomOf({ ask, host, port }: Pick<Coming, 'ask' | 'host' | 'port'>): Promise<Room | null> {
  if (!isHere(host)) return null
  // Only a role that may read all settings sees this row.
  const [server] = await ask(
    sql => sql<{ folder: string; startedAt: number }[]>`
      select setting as folder, floor(extract(epoch from pg_postmaster_start_time()))::float8 as "startedAt"
      from pg_settings where name = 'data_directory'`,
  )
  if (!server) return null
  const { folder, startedAt } = server
  try {
    const lines = (await readFile(join(folder, 'postmaster.pid'), 'utf8')).split('\n')
    // A container's folder may have the name of another one here.
    if (Math.abs(Number(lines[2]) - startedAt) > 1 || Number(lines[3]) !== port) return null
    return { free: await freeIn(folder), disk: String((await stat(folder)).dev), where: folder }
  } catch {
    return null
  }
}

const isHere = (host: string): boolean =>
  host === 'localhost' || host.startsWith('/') || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

async function freeIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
