// What stands in the way of an import without a freeze, before anything is touched: logins, settings and free places of the shared
// server and of each target, and what logical replication does not carry. Each has its cure. Reads only.

import type { ServiceName } from '../../../plugins/distributed-tenant/types.js'
import { alike } from '../../copying/compare-contents.js'
import type { Instance } from '../../copying/external-instance.js'
import { block, type Obstacle } from '../../copying/obstacle.js'
import type { Administrator } from '../../move/online/administrator.js'
import { askServer, ofPublisher, ofSubscriber, type Server } from '../../move/online/preflight.js'
import { SLOTS_OF_A_MOVE } from '../../move/online/server-settings.js'
import { surveyTables } from '../../move/online/tables.js'
import { tooFull } from '../../move/online/watch-room.js'
import { SOURCE, TARGET } from './places.js'

/** Older ones cannot be asked what the comparison needs. */
const OLDEST = 14
/** The kept connections of an instance (16) carry so many databases at a time. */
const MOST_DATABASES = 8

/** One tenant of one service. */
export interface OnlineDatabase {
  readonly id: string
  readonly service: ServiceName
  readonly name: string
  readonly bytes: number
}

export type Administrators = ReadonlyMap<ServiceName, Administrator>

/** @param admins null: no login is given */
export async function onlineInTheWay(
  source: Instance,
  admins: Administrators | null,
  databases: readonly OnlineDatabase[],
  together: boolean,
): Promise<Obstacle[]> {
  const found: Obstacle[] = []
  for (const { name } of databases) {
    const survey = await source.withDirectConnection(
      sql =>
        sql.begin(async tx => {
          await tx.unsafe(alike)
          return surveyTables(tx, name)
        }),
      name,
    )
    found.push(...survey.obstacles)
  }
  if (!admins) {
    return [
      block(
        'administrator',
        'has no login here: a subscription wants one; set INIT_SUPERUSER and INIT_PASSWORD, as for `init`, for this command alone',
      ),
      ...found,
    ]
  }
  const services = [...new Set(databases.map(({ service }) => service))]
  const [first] = services.map(service => admins.get(service) as Administrator)
  if (first) found.unshift(...(await ofSource(source, first, databases, together)))
  for (const service of services) {
    const atOnce = together ? databases.filter(one => one.service === service).length : 1
    found.push(...(await ofTarget(service, admins.get(service) as Administrator, atOnce)))
  }
  return found
}

async function ofSource(
  source: Instance,
  admin: Administrator,
  databases: readonly OnlineDatabase[],
  together: boolean,
): Promise<Obstacle[]> {
  const { label, address } = source
  const server = await admin.at(SOURCE, askServer)
  const largest = Math.max(0, ...databases.map(({ bytes }) => bytes))
  const { host, port } = address
  const found = [
    ...(await tooFull(admin, [{ at: SOURCE, label, host, port }])),
    ...ofPublisher(label, server, largest, block),
  ]
  if (server.major < OLDEST) found.push(block(label, `is PostgreSQL ${server.major}: it wants ${OLDEST} or later`))
  if (!server.superuser) {
    found.push(block(label, `${address.user} is no superuser there, which slots want: name one in --from`))
  }
  const most = together ? databases.length : mostOf(databases)
  const whose = together ? `a group of ${most} databases` : `a tenant of ${most} services`
  if (together && most > MOST_DATABASES) {
    found.push(
      block(
        label,
        `has ${most} databases of these tenants, and ${MOST_DATABASES} are switched together at most: leave some out`,
      ),
    )
  }
  const enough = most * SLOTS_OF_A_MOVE
  if (server.freeSlots >= SLOTS_OF_A_MOVE && server.freeSlots < enough) {
    found.push(
      block(
        label,
        `has ${server.freeSlots} free replication slots, and ${whose} takes ${enough}: raise max_replication_slots, and restart it`,
      ),
    )
  }
  if (server.freeSenders >= 1 && server.freeSenders < most) {
    found.push(
      block(
        label,
        `has ${server.freeSenders} free walsenders, and ${whose} takes ${most}: raise max_wal_senders, and restart it`,
      ),
    )
  }
  return found
}

async function ofTarget(service: ServiceName, admin: Administrator, atOnce: number): Promise<Obstacle[]> {
  let server: Server
  try {
    server = await admin.at(TARGET, askServer)
  } catch (error) {
    const why = (error as Error).message
    return [block(service, `cannot be used as ${admin.user} (${why}): check INIT_SUPERUSER and INIT_PASSWORD`)]
  }
  const found = ofSubscriber(service, server)
  if (server.freeWorkers > 0 && server.freeWorkers < atOnce) {
    found.push(
      block(
        service,
        `has ${server.freeWorkers} free workers for subscriptions, and the group takes ${atOnce}: raise max_logical_replication_workers and max_worker_processes, and restart it`,
      ),
    )
  }
  if (!server.superuser) {
    found.push(
      block(service, `${admin.user} is no superuser there, which subscriptions want: name one in INIT_SUPERUSER`),
    )
  }
  return found
}

/** The most services that one tenant is in. */
function mostOf(databases: readonly OnlineDatabase[]): number {
  const counts = new Map<string, number>()
  for (const { id } of databases) counts.set(id, (counts.get(id) ?? 0) + 1)
  return Math.max(1, ...counts.values())
}

/** How many tenants at a time the free places of all servers allow; at least one. */
export async function tenantsAtOnce(
  admins: Administrators,
  { parallel, services }: { readonly parallel: number; readonly services: number },
): Promise<number> {
  const [first] = admins.values()
  if (!first) return 1
  const { freeSlots, freeSenders } = await first.at(SOURCE, askServer)
  const targets = await Promise.all([...admins.values()].map(admin => admin.at(TARGET, askServer)))
  const each = Math.max(1, services)
  const most = Math.min(
    parallel,
    Math.floor(freeSlots / SLOTS_OF_A_MOVE / each),
    Math.floor(freeSenders / each),
    Math.floor(MOST_DATABASES / each),
    ...targets.map(({ freeWorkers }) => freeWorkers),
  )
  return Math.max(1, most)
}
