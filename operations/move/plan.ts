// The plan of a move: from where to where, the size, the estimated time without writes, and the obstacles. It reads
// both instances and changes nothing.
import { inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { keptName } from '../../plugins/distributed-tenant/instances/moved-database.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { listFull } from '../../plugins/distributed-tenant/registry/full-instances.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { QueryClient, RegistryRow, TenantId } from '../../plugins/distributed-tenant/types.js'
import { type BesideDump, besideDump } from '../copying/beside-dump.js'
import { folderInTheWay, roomInTheWay } from '../copying/disk-space.js'
import { createInstance, type Instance } from '../copying/external-instance.js'
import { notCopyable, rolesMissing, rolesNamed } from '../copying/not-copyable.js'
import { block, type Obstacle, warn } from '../copying/obstacle.js'
import { LARGE_BYTES, type Programs } from '../copying/pg-programs.js'
import { programsInTheWay } from '../copying/preflight.js'
import { notesInTheWay, takesNote } from '../copying/server-release.js'
import { surveyDatabase } from '../copying/survey.js'
import type { Administrator } from './online/administrator.js'
import { onlineObstacles } from './online/preflight.js'
import type { MoveParts } from './parts.js'
import { rehearseMove } from './rehearse-move.js'

export interface MovePlan {
  readonly tenant: TenantId
  readonly from: string
  readonly to: string
  readonly database: string
  readonly bytes: number
  /** A rough guess of the time without writes: the cost of a copy however small, and the cost of its bytes. */
  readonly seconds: number
  readonly obstacles: readonly Obstacle[]
  /** Why it cannot be moved without a freeze, and what is to be known of that; null where the frozen way was asked for. */
  readonly online: readonly Obstacle[] | null
  readonly way: 'online' | 'frozen'
  readonly row: RegistryRow
}

const SECONDS_AT_LEAST = 1
const BYTES_A_SECOND = 20 * 1024 * 1024
const EMPTY_BYTES = 7.5 * 1024 * 1024

export interface MovePlanOptions {
  readonly programs: Programs
  readonly id: TenantId
  readonly to: string
  /** Where the copy of a large database lies for a while. */
  readonly folder: string
  /** The free bytes on the target's disk, as the operator passed them. */
  readonly room: number | undefined
  /** Without it: by the frozen way. */
  readonly online?: { readonly admin: Administrator | null; readonly follow: boolean }
}

/** @throws TRANSFER_REFUSED when there is nothing to plan: no such tenant, no such instance, or it is there already */
export async function planMove(parts: MoveParts, options: MovePlanOptions): Promise<MovePlan> {
  const { id, to, folder, room } = options
  const { service, central, instances, sessionAt } = parts
  const row = await findTenant(central, id)
  if (!row) throw new TransferRefused(`${service} has no tenant ${id}: look at \`distributed-tenant status\`.`)
  const { instance: from } = row
  const names = instances.map(({ name }) => name)
  if (!names.includes(to)) throw new TransferRefused(`${service} has no instance ${to}: it has ${names.join(', ')}.`)
  if (from === to) throw new TransferRefused(`${id} is on the instance ${to} already.`)
  const database = tenantDatabaseName(id, service)
  const here = await sessionAt(from)(sql => askSource(sql, database, keptName(id, service)))
  const there = await sessionAt(to)(sql => askTarget(sql, database))
  const programs = await options.programs.suiting(here)
  const obstacles: Obstacle[] = []
  if (row.provisioned !== 'ready' || row.lifecycle === 'deleted') {
    obstacles.push(
      block(id, `is ${row.lifecycle === 'deleted' ? 'deleted' : row.provisioned}, and only what is ready can be moved`),
    )
  }
  const full = (await listFull(central)).find(({ name }) => name === to)
  if (full)
    obstacles.push(block(to, `is marked full by ${full.markedBy}: \`instances open ${to}\` lets tenants in again`))
  if (row.moving !== null) obstacles.push(block(id, 'is being moved already: go on with --resume, or --rollback'))
  for (const { run } of await central<{ run: string }[]>`
    select transfer_id as run from transfer_tenants join transfers on transfers.id = transfer_id
    where kind = 'move' and tenant_id = ${id} and step in ('relocated', 'following', 'returning', 'returned')`) {
    obstacles.push(
      block(id, `has an old copy that follows it since run ${run}: first \`move ${id} --finish\`, or --back`),
    )
  }
  if (here.kept) {
    obstacles.push(
      block(keptName(id, service), `is left on ${from} from a move before: drop it with \`move ${id} --drop-source\``),
    )
  }
  if (here.prepared) obstacles.push(block(database, 'has prepared transactions: commit or roll them back first'))
  if (there.taken !== 'absent') obstacles.push(block(database, `exists on ${to} already`))
  if (there.major < here.major) {
    obstacles.push(block(to, `is PostgreSQL ${there.major}, older than ${here.major} on ${from}`))
  }
  if (here.busy > 0) {
    const ended = options.online
      ? 'those that are older than --transaction-limit after --quiet-wait are ended'
      : 'those that take longer than 5 s are ended'
    obstacles.push(warn(database, `has ${here.busy} open transactions: ${ended}`))
  }
  obstacles.push(...(await programsInTheWay(programs, `the instance ${from}`, here.major)))
  const { host = '', port = 0 } = instances.find(({ name }) => name === to) ?? {}
  obstacles.push(
    ...(await roomInTheWay(
      [{ about: to, host, port, ask: sessionAt(to), bytes: here.bytes }],
      new Map(room === undefined ? [] : [[to, room]]),
      { say: () => '--room <size>', less: 'move it to another instance' },
    )),
    ...(await folderInTheWay(folder, here.bytes < LARGE_BYTES ? 0 : here.bytes)),
  )
  const place = instances.find(({ name }) => name === from)
  const source = createInstance({
    ...parts.database,
    host: place?.host ?? '',
    port: place?.port ?? 0,
    servers: place?.servers,
    database,
  })
  // Closed at once: a kept session is reset in a transaction, which the next plan would take for a tenant's.
  const { facts, roles, beside } = await lookInside(source, database).finally(() => source.close())
  if (facts.notes) {
    obstacles.push(...(await notesInTheWay(programs, source.address, here, () => sessionAt(to)(takesNote))))
  }
  for (const { what, cure } of facts.never) obstacles.push(block(database, `has ${what}: ${cure}`))
  for (const { what, cure } of facts.perhaps) obstacles.push(warn(database, `has ${what}: ${cure}`))
  for (const role of await sessionAt(to)(sql => rolesMissing(sql, roles))) {
    obstacles.push(block(to, `does not have the role ${role}, which rights in ${database} name: create it there`))
  }
  for (const extension of facts.needs.extensions) {
    if (!there.extensions.has(extension)) {
      obstacles.push(
        block(database, `needs the extension ${extension}, which cannot be made on ${to}: install it there`),
      )
    }
  }
  if (!obstacles.some(({ blocks }) => blocks))
    obstacles.push(...(await triedOut(parts, { ...options, programs }, database, from, beside)))
  const seconds = Math.ceil(SECONDS_AT_LEAST + Math.max(0, here.bytes - EMPTY_BYTES) / BYTES_A_SECOND)
  const { bytes } = here
  const online = options.online
    ? await onlineObstacles(parts, options.online.admin, { from, to, database, bytes, follow: options.online.follow })
    : null
  return { tenant: id, from, to, database, bytes, seconds, obstacles, online, way: online ? 'online' : 'frozen', row }
}

const lookInside = async (source: Instance, database: string) => ({
  facts: await surveyDatabase(source, database, notCopyable),
  ...(await source.withDirectConnection(
    async sql => ({ roles: await rolesNamed(sql), beside: await besideDump(sql, database) }),
    database,
  )),
})

/** Whether its definitions can be made at the target, before any write is refused. */
async function triedOut(
  parts: MoveParts,
  { programs, to }: MovePlanOptions,
  database: string,
  from: string,
  beside: BesideDump,
): Promise<Obstacle[]> {
  try {
    await rehearseMove(parts, { programs, database, from, to, beside })
    return []
  } catch (error) {
    if (!(error instanceof TransferFailed)) throw error
    return [block(database, `cannot be made on ${to} (${error.message}): correct it first`)]
  }
}

async function askSource(sql: QueryClient, database: string, kept: string) {
  const [facts] = await sql<{ bytes: number; busy: number; prepared: boolean; major: number; minor: number }[]>`
    select coalesce((select pg_database_size(oid) from pg_database where datname = ${database}), 0)::float8 as bytes,
      (select count(*)::int from pg_stat_activity where datname = ${database} and xact_start is not null
        and backend_type = 'client backend') as busy,
      exists (select from pg_prepared_xacts where database = ${database}) as prepared,
      current_setting('server_version_num')::int / 10000 as major,
      current_setting('server_version_num')::int % 10000 as minor`
  const { state } = await inspectDatabase(sql, kept)
  return { ...(facts as NonNullable<typeof facts>), kept: state !== 'absent' }
}

async function askTarget(sql: QueryClient, database: string) {
  const [facts] = await sql<{ major: number; extensions: string[] }[]>`
    select current_setting('server_version_num')::int / 10000 as major,
      array(select name from pg_available_extension_versions group by name having bool_or(trusted) or name = 'plpgsql') as extensions`
  const { state } = await inspectDatabase(sql, database)
  return { taken: state, major: facts?.major ?? 0, extensions: new Set(facts?.extensions ?? []) }
}
