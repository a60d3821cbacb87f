// Owns the question whether there is room for what comes. PostgreSQL tells nobody how full its disk is: it is known when the
// operator says it, or when the server's folder is on this machine and is proved to be that server's. Else it is said that
// it is not known, with what comes. It asks and changes nothing.
import { readFile, stat, statfs } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { block, type Obstacle, tell } from './obstacles.js'
import type { TransferParts } from './parts.js'
import { sizeOf } from './sizes.js'

export interface Coming {
  readonly parts: TransferParts
  /** At the source, for this service. */
  readonly bytes: number
}

interface Room {
  readonly free: number
  /** Instances of one disk share what is free there. */
  readonly disk: string
  readonly where: string
}

/** @param given what the operator says is free, in bytes, by service */
export async function roomInTheWay(coming: readonly Coming[], given: ReadonlyMap<string, number>): Promise<Obstacle[]> {
  const found: Obstacle[] = []
  const disks = new Map<string, { room: Room; services: string[]; bytes: number }>()
  for (const { parts, bytes } of coming) {
    if (bytes === 0) continue
    const { service, database } = parts
    const needed = bytes + Math.min(bytes, await mostLog(parts))
    const free = given.get(service)
    const room = free === undefined ? await roomOf(parts) : { free, disk: service, where: '--room' }
    if (room === null) {
      found.push(
        tell(
          service,
          `PostgreSQL does not tell how much room the disk of ${database.host}:${database.port} has: ${sizeOf(needed)} come, with its log; look there (df), and say it with --room ${service}=<size>`,
        ),
      )
      continue
    }
    const disk = disks.get(room.disk) ?? { room, services: [], bytes: 0 }
    disks.set(room.disk, { room, services: [...disk.services, service], bytes: disk.bytes + needed })
  }
  for (const { room, services, bytes } of disks.values()) {
    if (bytes <= room.free) continue
    const what = `has ${sizeOf(room.free)} free (${room.where}), and ${sizeOf(bytes)} come, with the log: give it more, or import fewer tenants at a time with --tenant`
    found.push(block(services.join(', '), what))
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
    tell(
      folder,
      `has ${sizeOf(free)} free, and copies of large databases may take up to ${sizeOf(bytes)} at a time: name another folder with --folder`,
    ),
  ]
}

/** What the server may keep of its log beside the data. */
async function mostLog({ central }: TransferParts): Promise<number> {
  const [row] = await central<{ bytes: number }[]>`
    select pg_size_bytes(current_setting('max_wal_size'))::float8 as bytes`
  return row?.bytes ?? 0
}

/** Null where it cannot be known. */
async function roomOf({ central, database }: TransferParts): Promise<Room | null> {
  if (!isHere(database.host)) return null
  // Only who may read all settings sees this row.
  const [server] = await central<{ folder: string; startedAt: number }[]>`
    select setting as folder, floor(extract(epoch from pg_postmaster_start_time()))::float8 as "startedAt"
    from pg_settings where name = 'data_directory'`
  if (!server) return null
  const { folder, startedAt } = server
  try {
    const lines = (await readFile(join(folder, 'postmaster.pid'), 'utf8')).split('\n')
    // A container's folder may have the name of another one here.
    if (Math.abs(Number(lines[2]) - startedAt) > 1 || Number(lines[3]) !== database.port) return null
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
