// Owns the empty database that a copy comes into: made as the original was, so that text sorts and compares as it did, or the
// server says that it cannot. Names may hold anything; the server quotes them.
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import type { QueryClient, SqlClient } from '../../plugins/distributed-tenant/types.js'

/** How a database was made, as the server writes it. */
export interface Locale {
  readonly encoding: string
  readonly collate: string
  readonly ctype: string
  /** Null where the C library sorts. */
  readonly icuLocale: string | null
}

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

/** The statement that makes it. */
export async function creation(sql: QueryClient, name: string, like: Locale): Promise<string> {
  const icu = like.icuLocale === null ? '' : ' locale_provider icu icu_locale %5$L'
  const form = `create database %1$I template template0 encoding %2$L lc_collate %3$L lc_ctype %4$L strategy wal_log${icu}`
  const [row] = await sql<{ statement: string }[]>`
    select format(${form}, ${name}::text, ${like.encoding}::text, ${like.collate}::text, ${like.ctype}::text,
      ${like.icuLocale}::text) as statement`
  return (row as { statement: string }).statement
}

export async function isEmpty(sql: SqlClient): Promise<boolean> {
  const rows = await sql`
    select 1 from pg_class join pg_namespace n on n.oid = relnamespace
    where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_toast' limit 1`
  return rows.length === 0
}
