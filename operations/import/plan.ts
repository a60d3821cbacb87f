// The plan of an import: tenants with their databases, size, estimated duration, and obstacles.
// It reads both sides and makes no lasting change.

import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import type { ServiceName, TenantId } from '../../plugins/distributed-tenant/types.js'
import type { MigrationSet } from '../../postgres/migrations/migration-files.js'
import { needsInTheWay, type Provisions, provisionsOf } from '../copying/beyond-role.js'
import { type Columns, versionOf, withVersions } from '../copying/detect-schema-version.js'
import { type Coming, folderInTheWay, roomInTheWay } from '../copying/disk-space.js'
import type { Instance } from '../copying/external-instance.js'
import type { Planned, TenantFacts } from '../copying/journal.js'
import { notImportable } from '../copying/not-copyable.js'
import { block, type Obstacle, warn } from '../copying/obstacle.js'
import type { TransferParts } from '../copying/parts.js'
import type { Release } from '../copying/pg-process.js'
import { LARGE_BYTES, type Programs } from '../copying/pg-programs.js'
import { factsInTheWay, programsInTheWay, serverInTheWay, targetInTheWay } from '../copying/preflight.js'
import { notesInTheWay, takesNote } from '../copying/server-release.js'
import { settingsLeftOut } from '../copying/settings-left-out.js'
import { type SourceDatabase, surveyDatabase, surveyServer } from '../copying/survey.js'
import { type Mapping, mapIds } from './map-ids.js'
import { once } from './once.js'
import { type Administrators, onlineInTheWay } from './online/preflight.js'

export type { Obstacle } from '../copying/obstacle.js'

export interface PlannedTenant {
  readonly id: TenantId
  readonly oldId: string
  readonly facts: TenantFacts
  readonly databases: readonly (Planned & { readonly service: ServiceName })[]
  readonly bytes: number
}

export interface Plan {
  readonly source: string
  readonly tenants: readonly PlannedTenant[]
  readonly proposals: Mapping['proposals']
  readonly bytes: number
  /** A rough guess: the cost of a database however small, and the cost of its bytes. */
  readonly seconds: number
  readonly obstacles: readonly Obstacle[]
}

export interface PlanOptions {
  readonly source: Instance
  readonly services: readonly TransferParts[]
  readonly programs: Programs
  /** Old ids to new. */
  readonly map: ReadonlyMap<string, string>
  /** Only these, by old or new id. */
  readonly only: readonly string[] | undefined
  /** SQL with `id`, `name`, `domain`, `settings`, `is_active`; null: a table `tenants`, where there is one. */
  readonly tenantsQuery: string | null
  /** By service: the version of its tenant migrations that the source's schemas are at. */
  readonly baselines: ReadonlyMap<string, number>
  /** By service: how much its disk has free, in bytes, where the operator knows it. */
  readonly room: ReadonlyMap<string, number>
  /** Where copies of large databases lie for a while. */
  readonly folder: string
  readonly parallel: number
  /** Without a freeze; `admins` null: no login is given. Absent: with a freeze. */
  readonly online?: { readonly admins: Administrators | null; readonly together: boolean } | undefined
}

const SECONDS_A_DATABASE = 0.6
const BYTES_A_SECOND = 20 * 1024 * 1024
/** The size of an empty database. */
const EMPTY_BYTES = 7.5 * 1024 * 1024
const SURVEYS = 4

export async function planImport(options: PlanOptions): Promise<Plan> {
  const { source, services, map, only } = options
  const server = await surveyServer(
    source,
    services.map(({ service }) => service),
    options.tenantsQuery,
  )
  const programs = await options.programs.suiting(server)
  const chosen = (database: SourceDatabase): boolean =>
    !only || only.includes(database.oldId) || only.includes(map.get(database.oldId) ?? '')
  const databases = server.databases.filter(chosen)
  const { ids, proposals } = mapIds([...new Set(databases.map(({ oldId }) => oldId))], map)
  const obstacles: Obstacle[] = [
    ...(await programsInTheWay(programs, source.label, server.major)),
    ...serverInTheWay(source, server, databases),
    ...[...proposals].map(([old, proposal]) =>
      block(old, `its id breaks our rule; to import it as ${proposal}, pass --map ${old}=${proposal}`),
    ),
  ]
  const tenants = new Map<TenantId, PlannedTenant>()
  const perService = await Promise.all(
    services.map(async parts => {
      const mine = databases.filter(({ service, oldId }) => service === parts.service && ids.has(oldId))
      const own = await targetInTheWay(
        parts,
        source,
        server,
        mine.map(({ oldId }) => ids.get(oldId) as TenantId),
      )
      const there = await provisionsOf(parts.central)
      const takes = once(() => parts.session(takesNote))
      const readSessionOn = async (database: SourceDatabase, versions: readonly Columns[]): Promise<void> => {
        const id = ids.get(database.oldId) as TenantId
        const { baseline, found } = await look({ ...options, programs }, parts, {
          database,
          id,
          versions,
          there,
          server,
          takes,
        })
        own.push(...found)
        const facts = server.facts.get(database.oldId) ?? {
          name: database.oldId,
          domain: null,
          settings: {},
          active: true,
        }
        const before = tenants.get(id) ?? { id, oldId: database.oldId, facts, databases: [], bytes: 0 }
        tenants.set(id, {
          ...before,
          databases: [
            ...before.databases,
            { service: parts.service, id, sourceDatabase: database.name, facts, baseline, bytes: database.bytes },
          ],
          bytes: before.bytes + database.bytes,
        })
      }
      if (mine.length > 0) await withVersions(parts, versions => eachOf(mine, one => readSessionOn(one, versions)))
      const coming: Coming = {
        about: parts.service,
        host: parts.database.host,
        port: parts.database.port,
        ask: fn => fn(parts.central),
        bytes: mine.reduce((sum, one) => sum + one.bytes, 0),
      }
      return { obstacles: own, coming }
    }),
  )
  obstacles.push(
    ...perService.flatMap(one => one.obstacles),
    ...(await roomInTheWay(
      perService.map(one => one.coming),
      options.room,
      { say: service => `--room ${service}=<size>`, less: 'import fewer tenants at a time with --tenant' },
    )),
    ...(await folderInTheWay(options.folder, largeAtOnce([...tenants.values()], options.parallel))),
  )
  for (const { id, facts, databases: found } of tenants.values()) {
    obstacles.push(...factsInTheWay(id, facts))
    for (const { service } of services) {
      if (!found.some(one => one.service === service))
        obstacles.push(warn(id, `has no database for ${service}: an empty one is made`))
    }
  }
  if (options.online) {
    const planned = [...tenants.values()].flatMap(one =>
      one.databases.map(({ service, sourceDatabase: name, bytes }) => ({ id: one.id, service, name, bytes })),
    )
    obstacles.push(...(await onlineInTheWay(source, options.online.admins, planned, options.online.together)))
  }
  const bytes = databases.reduce((sum, one) => sum + one.bytes, 0)
  const filled = databases.reduce((sum, one) => sum + Math.max(0, one.bytes - EMPTY_BYTES), 0)
  return {
    source: source.label,
    tenants: [...tenants.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    proposals,
    bytes,
    seconds: Math.ceil(
      (databases.length * SECONDS_A_DATABASE) / Math.min(options.parallel, SURVEYS) + filled / BYTES_A_SECOND,
    ),
    obstacles,
  }
}

/** A tenant's services are copied at once, and so many tenants side by side. */
function largeAtOnce(tenants: readonly PlannedTenant[], parallel: number): number {
  const large = tenants.map(({ databases }) =>
    databases.reduce((sum, { bytes }) => sum + (bytes < LARGE_BYTES ? 0 : bytes), 0),
  )
  return large
    .sort((a, b) => b - a)
    .slice(0, parallel)
    .reduce((sum, bytes) => sum + bytes, 0)
}

async function look(
  { source, baselines, programs }: PlanOptions,
  { service, sets, central }: TransferParts,
  at: {
    readonly database: SourceDatabase
    readonly id: TenantId
    readonly versions: readonly Columns[]
    readonly there: Provisions
    readonly server: Release
    readonly takes: () => Promise<boolean>
  },
): Promise<{ baseline: number; found: Obstacle[] }> {
  const { database, id, versions, there, server, takes } = at
  const { name } = database
  const facts = await surveyDatabase(source, name, notImportable)
  const databases = [name, tenantDatabaseName(id, service)] as const
  const found = [
    ...needsInTheWay(name, facts.needs, service, there),
    ...(await settingsLeftOut(central, facts.needs.databaseSettings, { databases, service })),
    ...facts.never.map(({ what, cure }) => block(name, `has ${what}: ${cure}`)),
    ...facts.perhaps.map(({ what, cure }) => warn(name, `has ${what}: ${cure}`)),
    ...(facts.notes ? await notesInTheWay(programs, { ...source.address, database: name }, server, takes) : []),
  ]
  const given = baselines.get(service)
  if (given !== undefined) return { baseline: given, found }
  const version = versionOf(facts, versions, sets.at(-1) as MigrationSet)
  if ('version' in version) return { baseline: version.version, found }
  found.push(block(name, `${version.doubt}: pass the version of its schema with --baseline ${service}=<version>`))
  return { baseline: 0, found }
}

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const line = items[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (const item of line) await work(item)
  }
  await Promise.all(Array.from({ length: SURVEYS }, worker))
}
