// The empty database that a copy goes into: made with the original's locale, so that text sorts and compares as it did, and
// the check whether one that a killed run has left is still empty.
import {
  type Found,
  inspectDatabase,
  type Locale,
  openToOwner,
} from '../../plugins/distributed-tenant/databases/databases.js'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'

import type { QueryClient, SessionClient, SqlClient } from '../../plugins/distributed-tenant/types.js'

/** @throws TRANSFER_REFUSED when it is not there */
export async function localeOf(sql: QueryClient, database: string): Promise<Locale> {
  const [row] = await sql<Locale[]>`
    select pg_encoding_to_char(encoding) as encoding, datcollate::text as collate, datctype::text as ctype,
      case when to_jsonb(d) ->> 'datlocprovider' = 'i'
        then coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') end as "icuLocale"
    from pg_database d where datname = ${database}`
  if (!row) throw new TransferRefused(`The source has no database ${database} any more: make the plan again.`)
  return row
}

/**
 * Whether a killed run of ours may have left a database that has no comment: it is empty. One that takes no connections
 * since it was made is opened for the look, and closed again when it holds anything.
 */
export async function isAbandoned(
  sql: SessionClient,
  name: string,
  withDirectConnection: (fn: (inside: SqlClient) => Promise<boolean>) => Promise<boolean>,
): Promise<boolean> {
  const found: Found = await inspectDatabase(sql, name)
  if (found.state !== 'present' || found.comment !== null || !found.ours) return false
  if (!found.unfinished) return withDirectConnection(isEmpty)
  await openToOwner(sql, name)
  const empty = await withDirectConnection(isEmpty)
  if (!empty) await sql`alter database ${sql(name)} allow_connections false`
  return empty
}

async function isEmpty(sql: SqlClient): Promise<boolean> {
  const rows = await sql`
    select 1 from pg_class join pg_namespace n on n.oid = relnamespace
    where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_toast' limit 1`
  return rows.length === 0
}

/** A new database has it; a dump of one that has none does not say so. */
export async function dropPublicSchema(sql: QueryClient): Promise<void> {
  await sql`drop schema if exists public`
}
