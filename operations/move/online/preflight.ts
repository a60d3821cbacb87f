// What stands in the way of a move without a freeze, before anything is touched: the administrator's login, the settings and free
// places of both servers, and what logical replication does not carry. Each has its cure. Reads only.

import type { QueryClient } from '../../../plugins/distributed-tenant/types.js'
import { alike } from '../../copying/compare-contents.js'
import { block, type Obstacle, warn } from '../../copying/obstacle.js'
import type { MoveParts } from '../parts.js'
import { instanceAt } from '../reach-instance.js'
import type { Administrator } from './administrator.js'
import { RAISES_WAL_LEVEL, SLOTS_OF_A_MOVE } from './server-settings.js'
import { surveyTables } from './tables.js'
import { tooFull } from './watch-room.js'

export interface Server {
  readonly superuser: boolean
  readonly walLevel: string
  readonly freeSlots: number
  readonly freeSenders: number
  readonly workers: number
  readonly freeWorkers: number
  readonly keepBytes: number
  readonly major: number
}

export interface WhereOnline {
  readonly from: string
  readonly to: string
  readonly database: string
  readonly bytes: number
  readonly follow: boolean
}

/** @returns what blocks stops a move without a freeze, and no other */
export async function onlineObstacles(
  parts: MoveParts,
  admin: Administrator | null,
  { from, to, database, bytes, follow }: WhereOnline,
): Promise<Obstacle[]> {
  const inside = instanceAt(parts, from)
  const carried = await inside.withDirectConnection(
    sql =>
      sql.begin(async tx => {
        await tx.unsafe(alike)
        return surveyTables(tx, database)
      }),
    database,
  )
  if (!admin) {
    return [
      block(
        'administrator',
        'has no login here: a slot and a subscription want one; set INIT_SUPERUSER and INIT_PASSWORD, as for `init`, for this command alone',
      ),
      ...carried.obstacles,
    ]
  }
  const found: Obstacle[] = []
  const ask = async (instance: string): Promise<Server | null> => {
    try {
      return await admin.at(instance, askServer)
    } catch (error) {
      found.push(
        block(
          instance,
          `cannot be used as ${admin.user} (${(error as Error).message}): check INIT_SUPERUSER and INIT_PASSWORD`,
        ),
      )
      return null
    }
  }
  const [source, target] = [await ask(from), await ask(to)]
  for (const [instance, server] of [
    [from, source],
    [to, target],
  ] as const) {
    if (server && !server.superuser) {
      found.push(
        block(
          instance,
          `${admin.user} is no superuser there, which slots and subscriptions want: name one in INIT_SUPERUSER`,
        ),
      )
    }
  }
  const places = [...(source ? [from] : []), ...(target ? [to] : [])].map(at => {
    const { host, port } = instanceAt(parts, at).address
    return { at, label: at, host, port }
  })
  found.push(...(await tooFull(admin, places)))
  if (source) found.push(...ofPublisher(from, source, bytes, block))
  if (target) {
    found.push(...ofSubscriber(to, target))
    // Without the way back it is moved all the same.
    if (follow)
      found.push(
        ...ofPublisher(to, target, bytes, (about, what) =>
          block(about, `${what} (or --no-follow: without a way back)`),
        ),
      )
  }
  return [...found, ...carried.obstacles]
}

/** Of a server that gets a subscription. */
export function ofSubscriber(instance: string, { workers, freeWorkers }: Server): Obstacle[] {
  if (workers > 0 && freeWorkers > 0) return []
  return [
    block(
      instance,
      'has no free worker for a subscription: raise max_logical_replication_workers and max_worker_processes, and restart it',
    ),
  ]
}

/** Of a server that gets slots. */
export function ofPublisher(
  instance: string,
  { walLevel, freeSlots, freeSenders, keepBytes, major }: Server,
  bytes: number,
  blocked: typeof block,
): Obstacle[] {
  const found: Obstacle[] = []
  if (walLevel !== 'logical' && major < RAISES_WAL_LEVEL) {
    found.push(
      blocked(instance, `has wal_level = ${walLevel}: \`alter system set wal_level = logical\`, and restart it`),
    )
  }
  if (freeSlots < SLOTS_OF_A_MOVE) {
    found.push(
      blocked(
        instance,
        `has ${freeSlots} free replication slots of ${SLOTS_OF_A_MOVE}: raise max_replication_slots, and restart it`,
      ),
    )
  }
  if (freeSenders < 1) found.push(blocked(instance, 'has no free walsender: raise max_wal_senders, and restart it'))
  if (keepBytes < 0) {
    found.push(
      warn(
        instance,
        'has no max_slot_wal_keep_size: a slot that no subscription reads fills its disk; set one, and the alert of docs/metrics.md',
      ),
    )
  } else if (keepBytes < bytes) {
    found.push(
      warn(
        instance,
        'has a max_slot_wal_keep_size below the size of the tenant: a slot may be lost while it is copied',
      ),
    )
  }
  return found
}

export async function askServer(sql: QueryClient): Promise<Server> {
  const [row] = await sql<Server[]>`
    select (select rolsuper from pg_roles where rolname = current_user) as superuser,
      current_setting('wal_level') as "walLevel", current_setting('server_version_num')::int / 10000 as major,
      current_setting('max_replication_slots')::int - (select count(*)::int from pg_replication_slots) as "freeSlots",
      current_setting('max_wal_senders')::int - (select count(*)::int from pg_stat_replication) as "freeSenders",
      current_setting('max_logical_replication_workers')::int as workers,
      current_setting('max_logical_replication_workers')::int
        - (select count(*)::int from pg_stat_activity where backend_type ~ '^logical replication (apply |parallel |tablesync )?worker') as "freeWorkers",
      (select case when setting::float8 < 0 then -1 else setting::float8 * 1048576 end from pg_settings where name = 'max_slot_wal_keep_size')::float8 as "keepBytes"`
  return row as Server
}
