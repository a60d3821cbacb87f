// Detects the version of the tenant migrations of a schema that was made elsewhere: the newest one all of whose
// tables and columns it has. Each version is built once in a database of its own, which is dropped again; the one of a killed
// run is dropped by the next.
import { createDatabase, dropDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import type { QueryClient, ServiceName, SqlClient } from '../../plugins/distributed-tenant/types.js'
import type { MigrationSet } from '../../postgres/migrations/migration-files.js'
import { isKnownAs } from '../../postgres/migrations/migration-files.js'
import { migrate } from '../../postgres/migrations/migrations.js'
import type { TransferParts } from './parts.js'

/** `schema.table.column type` of every table. */
export type Columns = ReadonlySet<string>

/** The schema that a database reports by itself. */
export interface SchemaFacts {
  readonly columns: Columns
  /** Our own rows, where it was made by us; null where it was not. */
  readonly applied: readonly { readonly version: number; readonly checksum: string }[] | null
}

/** Our own rows, in a database that has them. */
export const readApplied = async (sql: QueryClient): Promise<NonNullable<SchemaFacts['applied']>> =>
  sql<{ version: number; checksum: string }[]>`
    select version, checksum from distributed_tenant.schema_migrations where set = 'tenant' order by version`

export const columnsStatement = `
  select format('%I.%I.%I %s', nspname, relname, attname, format_type(atttypid, atttypmod)) as line
  from pg_attribute join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
  where relkind in ('r', 'p') and attnum > 0 and not attisdropped
    and nspname not in ('pg_catalog', 'information_schema', 'distributed_tenant') and nspname !~ '^pg_(toast|temp)'`

async function readColumns(sql: QueryClient): Promise<Columns> {
  const rows = await sql.unsafe<{ line: string }[]>(columnsStatement)
  return new Set(rows.map(({ line }) => line))
}

/**
 * Works with the columns at each version, from 0 on. The database in which they were built is dropped meanwhile, for which
 * the server writes a checkpoint.
 */
export async function withVersions<T>(
  { service, session, withDirectConnection, sets }: TransferParts,
  work: (versions: readonly Columns[]) => Promise<T>,
): Promise<T> {
  const set = sets.at(-1) as MigrationSet
  if (set.version === 0) return work([new Set()])
  const name = scratchName(service)
  return session(async sql => {
    await dropDatabase(sql, name)
    await createDatabase(sql, name, { template: 'template0' })
    const building = withDirectConnection(name, inside => build(inside, sets))
    const working = building.then(work)
    // Each to its end, whichever fails.
    const dropping = building.catch(() => {}).then(() => dropDatabase(sql, name))
    await Promise.allSettled([working, dropping])
    await dropping
    return working
  })
}

async function build(inside: SqlClient, sets: readonly MigrationSet[]): Promise<Columns[]> {
  const set = sets.at(-1) as MigrationSet
  for (const before of sets.slice(0, -1).map(withoutRights)) await migrate(inside, before)
  const versions = [await readColumns(inside)]
  for (let version = 1; version <= set.version; version++) {
    await migrate(inside, { ...set, migrations: set.migrations.slice(0, version), version })
    versions.push(await readColumns(inside))
  }
  return versions
}

/** Rights are for tenants' databases, by their names. */
const withoutRights = (set: MigrationSet): MigrationSet => ({
  ...set,
  migrations: set.migrations.slice(0, 1),
  version: 1,
})

const scratchName = (service: ServiceName): string => `transfer_${service}_versions`

/** The version of a schema, or the reason why it is unknown. */
export function versionOf(
  { columns, applied }: SchemaFacts,
  versions: readonly Columns[],
  set: MigrationSet,
): { version: number } | { doubt: string } {
  if (applied) return ownVersion(applied, set)
  let version = versions.length - 1
  while (version > 0 && ![...(versions[version] as Columns)].every(column => columns.has(column))) version--
  const present = tablesOf(columns)
  const made = tablesOf(versions[version] as Columns)
  const clash = [...tablesOf(versions.at(-1) as Columns)].find(table => !made.has(table) && present.has(table))
  return clash === undefined
    ? { version }
    : { doubt: `${clash} is there, and no version of our migrations makes it so` }
}

function ownVersion(
  applied: NonNullable<SchemaFacts['applied']>,
  set: MigrationSet,
): { version: number } | { doubt: string } {
  const unlike = applied.find(({ version, checksum }) => {
    const migration = set.migrations[version - 1]
    return !migration || !isKnownAs(migration, checksum)
  })
  if (unlike) return { doubt: `its migration ${unlike.version} is not one of this release` }
  return { version: applied.length }
}

const tablesOf = (columns: Columns): Set<string> => new Set([...columns].map(line => line.replace(/\.[^.]*$/, '')))
