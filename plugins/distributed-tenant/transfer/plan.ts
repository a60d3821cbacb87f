// Owns the plan of an import: which tenants with which databases, how large, how long it may take, and what is in the way.
// It reads both sides and changes nothing that stays.
import { encode, lifecycleSubject, parseLifecycle } from '../../../events/index.js'
import type { MigrationSet } from '../databases/migrations.js'
import { tenantDatabaseName } from '../databases/names.js'
import type { ServiceName, TenantId } from '../types.js'
import { type Mapping, mapIds } from './ids.js'
import type { Instance } from './instance.js'
import type { Planned, TenantFacts } from './journal.js'
import type { TransferParts } from './parts.js'
import type { Programs } from './programs.js'
import { type Columns, versionOf, versionsOf } from './schema-version.js'
import { type SourceDatabase, type SourceServer, surveyDatabase, surveyServer } from './source.js'

export interface Obstacle {
  /** A tenant, a database, a server. */
  readonly about: string
  readonly what: string
  /** Nothing is begun while one of these stands; the others are told. */
  readonly blocks: boolean
}

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
  /** A rough guess: what a database costs however small, and what its bytes cost. */
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
  readonly parallel: number
}

const SECONDS_A_DATABASE = 0.6
const BYTES_A_SECOND = 20 * 1024 * 1024
/** What an empty database weighs. */
const EMPTY_BYTES = 7.5 * 1024 * 1024
const SURVEYS = 4

export async function planImport(options: PlanOptions): Promise<Plan> {
  const { source, services, map, only } = options
  const server = await surveyServer(
    source,
    services.map(({ service }) => service),
    options.tenantsQuery,
  )
  const chosen = (database: SourceDatabase): boolean =>
    !only || only.includes(database.oldId) || only.includes(map.get(database.oldId) ?? '')
  const databases = server.databases.filter(chosen)
  const { ids, proposals } = mapIds([...new Set(databases.map(({ oldId }) => oldId))], map)
  const obstacles: Obstacle[] = [
    ...(await programsInTheWay(options, server)),
    ...serverInTheWay(source, server, databases),
    ...[...proposals].map(([old, proposal]) =>
      block(old, `its id breaks our rule; to import it as ${proposal}, say --map ${old}=${proposal}`),
    ),
  ]
  const tenants = new Map<TenantId, PlannedTenant>()
  for (const parts of services) {
    const mine = databases.filter(({ service, oldId }) => service === parts.service && ids.has(oldId))
    obstacles.push(
      ...(await targetInTheWay(
        parts,
        server,
        mine.map(({ oldId }) => ids.get(oldId) as TenantId),
      )),
    )
    const versions = mine.length > 0 ? await versionsOf(parts) : []
    const trusted = await trustedExtensions(parts)
    await eachOf(mine, async database => {
      const id = ids.get(database.oldId) as TenantId
      const { baseline, found } = await look(options, parts, database, versions, trusted)
      obstacles.push(...found)
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
    })
  }
  for (const { id, facts, databases: found } of tenants.values()) {
    obstacles.push(...factsInTheWay(id, facts))
    for (const { service } of services) {
      if (!found.some(one => one.service === service))
        obstacles.push(tell(id, `has no database for ${service}: an empty one is made`))
    }
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

const block = (about: string, what: string): Obstacle => ({ about, what, blocks: true })
const tell = (about: string, what: string): Obstacle => ({ about, what, blocks: false })

async function programsInTheWay({ programs, source }: PlanOptions, { major }: SourceServer): Promise<Obstacle[]> {
  let version: number
  try {
    version = await programs.version()
  } catch (error) {
    return [block('pg_dump', (error as Error).message)]
  }
  if (version >= major) return []
  return [
    block(
      'pg_dump',
      `is version ${version}, and ${source.label} is PostgreSQL ${major}: install postgresql-client-${major}, or name its folder with --programs`,
    ),
  ]
}

function serverInTheWay(source: Instance, server: SourceServer, databases: readonly SourceDatabase[]): Obstacle[] {
  const chosen = new Set(databases.map(({ name }) => name))
  const found = server.others.map(name => tell(name, 'is named like a tenant’s and of no service here: left alone'))
  if (databases.length === 0)
    found.push(block(source.label, 'holds no database tenant_{id}_{service} of these services'))
  if (!server.superuser)
    found.push(
      tell(source.label, 'the login is no superuser: it must own the databases and may be refused to end sessions'),
    )
  for (const { database, count, since } of server.busy) {
    if (chosen.has(database)) {
      found.push(
        tell(database, `${count} open transactions, the oldest since ${since.toISOString()}: freezing ends them`),
      )
    }
  }
  for (const name of server.prepared) {
    if (chosen.has(name)) found.push(block(name, 'has prepared transactions: commit or roll them back first'))
  }
  for (const name of server.unbound) {
    found.push(block(name, 'this role has its own default_transaction_read_only, which beats the freeze: reset it'))
  }
  return found
}

/** Whatever holds a name already, finished or not. */
async function targetInTheWay(
  { service, central, database }: TransferParts,
  server: SourceServer,
  ids: readonly TenantId[],
): Promise<Obstacle[]> {
  const names = ids.map(id => tenantDatabaseName(id, service))
  const found = await central<{ name: string; kind: string }[]>`
    select datname as name, 'database' as kind from pg_database where datname = any(${names}::text[])
    union all select rolname, 'role' from pg_roles where rolname = any(${names}::text[])
    union all select id, 'registry row' from tenants where id = any(${[...ids]}::text[])`
  const [target] = await central<{ version: number }[]>`select current_setting('server_version_num')::int as version`
  const major = Math.floor((target?.version ?? 0) / 10_000)
  const older = major < server.major
  return [
    ...found.map(({ name, kind }) =>
      block(name, `exists at ${service} (${database.host}:${database.port}) already, as ${kind}`),
    ),
    ...(older ? [tell(service, `is PostgreSQL ${major}, older than the source: what is new there is refused`)] : []),
  ]
}

async function trustedExtensions({ central }: TransferParts): Promise<ReadonlyMap<string, boolean>> {
  const rows = await central<{ name: string; trusted: boolean }[]>`
    select name, bool_or(trusted) as trusted from pg_available_extension_versions group by name`
  return new Map(rows.map(({ name, trusted }) => [name, trusted]))
}

async function look(
  { source, baselines }: PlanOptions,
  { service, sets }: TransferParts,
  { name }: SourceDatabase,
  versions: readonly Columns[],
  trusted: ReadonlyMap<string, boolean>,
): Promise<{ baseline: number; found: Obstacle[] }> {
  const facts = await surveyDatabase(source, name)
  const found = facts.forSuperusers.map(what =>
    block(name, `has ${what}, which the service’s role may not make: drop it first`),
  )
  for (const extension of facts.extensions) {
    if (trusted.get(extension)) continue
    const why = trusted.has(extension) ? 'may be made there by superusers only' : 'is not installed there'
    found.push(
      block(
        name,
        `needs the extension ${extension}, which ${why}: install it at ${service}’s instance, or drop it first`,
      ),
    )
  }
  const given = baselines.get(service)
  if (given !== undefined) return { baseline: given, found }
  const version = versionOf(facts, versions, sets.at(-1) as MigrationSet)
  if ('version' in version) return { baseline: version.version, found }
  found.push(block(name, `${version.doubt}: say at which version its schema is with --baseline ${service}=<version>`))
  return { baseline: 0, found }
}

/** By the very check that identity would refuse it by, after everything was copied. */
function factsInTheWay(id: TenantId, { name, domain, settings, active }: TenantFacts): Obstacle[] {
  const word = { id, version: 1, name, domain, is_active: active, settings }
  const heard = parseLifecycle(lifecycleSubject('created'), encode(word))
  return heard.ok
    ? []
    : [
        block(
          id,
          `what the source says of it cannot be taken over (${heard.reason}): correct it there, or in --tenants-query`,
        ),
      ]
}

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const line = items[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (const item of line) await work(item)
  }
  await Promise.all(Array.from({ length: SURVEYS }, worker))
}
