// The watch over the slots of a move, and the disks of both servers, while a tenant is moved without a freeze. A slot keeps the source's log, and a server whose log
// finds no room ends, with all of its tenants: so the move ends before. How much is free is known where the operator's disk-space check
// knows it; elsewhere `max_slot_wal_keep_size` bounds the log, and the slot that it takes ends the move here. So does one that was dropped.
// If a server is down: it is asked again, as the work of the move fails with that server's own reason.

import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { QueryClient } from '../../../plugins/distributed-tenant/types.js'
import { sizeOf } from '../../copying/byte-sizes.js'
import { block, type Obstacle } from '../../copying/obstacle.js'
import { fullDisk, LEAST_FREE, tooLittle, type WatchedDisk, watchFor } from '../../copying/watch-disk.js'
import type { Administrator } from './administrator.js'
import type { Link, Spot } from './link.js'

export interface Watched {
  readonly at: Spot['instance']
  /** For messages: an instance, or an address. */
  readonly label: string
  readonly host: string
  readonly port: number
}

/** Watches until it is stopped. `end` is called once, with a TRANSFER_FAILED, when the move must end. @returns the stop */
export function watchRoom(
  admin: Administrator,
  { slot, checkSlot }: Link,
  { source, target, end }: { source: Watched; target: Watched; end: (reason: Error) => void },
): () => void {
  const slots = [slot, checkSlot]
  const seen = new Set<string>()

  async function look(): Promise<Error | null> {
    const found = await admin.at(source.at, sql => slotsOf(sql, slots))
    if (found.some(({ lost }) => lost)) {
      return new TransferFailed(
        `The replication slot ${slot} is lost: raise max_slot_wal_keep_size on ${source.label}, and begin again.`,
      )
    }
    for (const { name } of found) seen.add(name)
    const gone = slots.find(name => seen.has(name) && !found.some(one => one.name === name))
    if (gone) return new TransferFailed(`The replication slot ${gone} is gone, and with it changes.`)
    const kept = Math.max(0, ...found.map(({ bytes }) => bytes))
    const here = await tooLittle(diskOf(admin, source))
    if (here !== null) {
      return new TransferFailed(
        `The disk of ${source.label} has ${sizeOf(here)} left, and its log takes ${sizeOf(kept)} for this copy: give it more room, or move at an hour with fewer writes.`,
      )
    }
    return fullDisk(diskOf(admin, target))
  }

  return watchFor(look, end)
}

/** In the plan: servers that have less room already. */
export async function tooFull(admin: Administrator, servers: readonly Watched[]): Promise<Obstacle[]> {
  const found: Obstacle[] = []
  for (const server of servers) {
    const free = await tooLittle(diskOf(admin, server))
    if (free === null) continue
    found.push(
      block(
        server.label,
        `has ${sizeOf(free)} left on its disk, and with less than ${sizeOf(LEAST_FREE)} the copy is ended: give it more room`,
      ),
    )
  }
  return found
}

const diskOf = (admin: Administrator, { at, label, host, port }: Watched): WatchedDisk => ({
  label,
  host,
  port,
  ask: fn => admin.at(at, fn),
})

const slotsOf = (
  sql: QueryClient,
  names: readonly string[],
): Promise<{ readonly name: string; readonly bytes: number; readonly lost: boolean }[]> =>
  sql`
    select slot_name::text as name, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::float8 as bytes,
      wal_status is not distinct from 'lost' as lost
    from pg_replication_slots where slot_name = any(${[...names]})`
