// Owns making a database that was copied one of ours from the inside: its migrations noted, its owners looked at, its
// certificate written, the missing migrations applied, its statistics made. The mark comes last and from outside. Can be repeated.

import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import type { SqlClient } from '../../plugins/distributed-tenant/types.js'
import type { MigrationSet } from '../../postgres/migrations/migration-files.js'
import { migratePrepared } from '../../postgres/migrations/migrations.js'
import { migrateFromBaseline } from './baseline.js'

export interface Adoption {
  /** For messages. */
  readonly name: string
  /** Our own tables, then the service's. */
  readonly sets: readonly MigrationSet[]
  /** The version of the service's tenant migrations that it is at. */
  readonly baseline: number
  readonly certificate: string
  /** It came with our own schema: its migrations are noted, its rights are its own, and its certificate is another's. */
  readonly whole?: boolean
}

/** Read in a moment, whatever the plan. */
const SMALL_BYTES = 1024 * 1024

/**
 * @returns the versions of the service's migrations that were applied
 * @throws TRANSFER_FAILED when something in it is not the service's; MIGRATION_INVALID, MIGRATION_FAILED
 */
export async function adopt(
  inside: SqlClient,
  { name, sets, baseline, certificate, whole = false }: Adoption,
): Promise<number[]> {
  const tenantSet = sets.at(-1) as MigrationSet
  const { complete, tables } = await inside.begin(async tx => {
    const complete = !whole && (await migrateFromBaseline(tx, sets.slice(0, -1), { set: tenantSet, version: baseline }))
    if (whole) await tx`delete from distributed_tenant.certificate`
    await tx`
      insert into distributed_tenant.certificate (certificate) values (${certificate}) on conflict (only_row) do nothing`
    const [found] = await tx.unsafe<{ foreign: string | null; tables: string | null }[]>(ownersAndTables)
    if (found?.foreign) {
      throw new TransferFailed(
        `${found.foreign} in ${name} does not belong to the service’s role: the copy was made by another role.`,
      )
    }
    return { complete, tables: found?.tables }
  })
  const applied = complete ? [] : await migratePrepared(inside, whole ? sets : [tenantSet])
  if (tables) await inside.unsafe(`analyze ${tables}`)
  return applied
}

/**
 * Ours and the catalogues are not asked for: what the server itself made is numbered below 16384. Statistics of a small table
 * are left to autovacuum, which comes within its minute: until then the server goes by the table's size. It does not come
 * where it is switched off, and never to what holds its rows in other tables.
 */
const ownersAndTables = `
  with own as (
    select c.*, format('%I.%I', nspname, relname) as name, nspname from pg_class c join pg_namespace n on n.oid = relnamespace
    where c.oid >= 16384 and nspname !~ '^pg_(toast|temp)'
  )
  select min(name) filter (where relowner <> (select oid from pg_roles where rolname = current_user)
      and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = own.oid and deptype = 'e')) as foreign,
    string_agg(name, ', ') filter (where nspname <> 'distributed_tenant' and relkind in ('r', 'p', 'm') and not relispartition
      and (relkind = 'p' or relhassubclass or pg_relation_size(oid) >= ${SMALL_BYTES} or not current_setting('autovacuum')::boolean
        or not current_setting('track_counts')::boolean or reloptions::text ~ 'autovacuum_enabled=(f|of|n|0)')) as tables
  from own`
