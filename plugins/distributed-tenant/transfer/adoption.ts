// Owns making a database that was copied one of ours from the inside: its migrations noted and the missing ones applied,
// its owners looked at, its statistics made, its certificate written. The mark comes last and from outside. Can be repeated.
import type { MigrationSet } from '../databases/migrations.js'
import { migrate, migratePrepared } from '../databases/migrations.js'
import { TransferFailed } from '../errors.js'
import type { SqlClient } from '../types.js'

export interface Adoption {
  /** For messages. */
  readonly name: string
  /** Our own tables, then the service's. */
  readonly sets: readonly MigrationSet[]
  /** The version of the service's tenant migrations that it is at. */
  readonly baseline: number
  readonly certificate: string
}

/**
 * @returns the versions of the service's migrations that were applied
 * @throws TRANSFER_FAILED when something in it is not the service's; MIGRATION_INVALID, MIGRATION_FAILED
 */
export async function adopt(inside: SqlClient, { name, sets, baseline, certificate }: Adoption): Promise<number[]> {
  const tenantSet = sets.at(-1) as MigrationSet
  for (const set of sets.slice(0, -1)) await migrate(inside, set)
  await noteApplied(inside, tenantSet, baseline)
  const applied = await migratePrepared(inside, [tenantSet])
  await refuseOtherOwners(inside, name)
  await analyze(inside)
  await inside`
    insert into distributed_tenant.certificate (certificate) values (${certificate}) on conflict (only_row) do nothing`
  return applied
}

/** The schema is at this version already: its migrations are noted as applied, and not run. */
async function noteApplied(sql: SqlClient, set: MigrationSet, version: number): Promise<void> {
  const rows = set.migrations.slice(0, version).map(({ version, name, checksum }) => ({ version, name, checksum }))
  await sql`
    insert into distributed_tenant.schema_migrations (set, version, name, checksum)
    select ${set.name}, version, name, checksum
    from jsonb_to_recordset(${sql.json(rows)}) as noted (version integer, name text, checksum text)
    on conflict do nothing`
}

/** Its own tables; the catalogues, of which there are more, are the server's to look after. */
async function analyze(sql: SqlClient): Promise<void> {
  const [row] = await sql<{ tables: string | null }[]>`
    select string_agg(format('%I.%I', nspname, relname), ', ') as tables
    from pg_class join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'p', 'm') and not relispartition
      and nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)'`
  if (row?.tables) await sql.unsafe(`analyze ${row.tables}`)
}

async function refuseOtherOwners(sql: SqlClient, name: string): Promise<void> {
  const [other] = await sql<{ what: string }[]>`
    select format('%I.%I', nspname, relname) as what from pg_class c join pg_namespace n on n.oid = relnamespace
    where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)'
      and relowner <> (select oid from pg_roles where rolname = current_user)
      and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e') limit 1`
  if (other)
    throw new TransferFailed(
      `${other.what} in ${name} does not belong to the service’s role: the copy was made by somebody else.`,
    )
}
