// Owns the database that a tenant's data comes into: made like its source, closed, and commented as this transfer's until it
// is handed over. Invariant: whatever is dropped carries this transfer's comment, or the certificate in its journal, or is
// empty and ours. Each can be repeated.
import { closeToPublic, commentDatabase, dropDatabase, inspectDatabase, parseMark } from '../databases/databases.js'
import { tenantDatabaseName } from '../databases/names.js'
import { TransferRefused } from '../errors.js'
import type { QueryClient, SqlClient } from '../types.js'
import type { Instance } from './instance.js'
import type { TransferTenant } from './journal.js'
import type { TransferParts } from './parts.js'

export interface Target {
  /** Makes it, empty. @returns its name. @throws TRANSFER_REFUSED when the source is gone */
  create(row: TransferTenant): Promise<string>
  /** @throws TRANSFER_REFUSED when its name is held by anything else than this transfer's own */
  drop(row: TransferTenant): Promise<void>
}

export interface TargetOptions extends Pick<TransferParts, 'service' | 'session' | 'visit' | 'report'> {
  readonly transfer: string
  readonly source: Instance
}

export function createTarget({ service, session, visit, report, transfer, source }: TargetOptions): Target {
  const comment = `distributed-tenant:transfer:v1 ${transfer}`

  async function isOurs(
    { certificate }: TransferTenant,
    name: string,
    found: { comment: string | null; ours: boolean },
  ): Promise<boolean> {
    if (!found.ours) return false
    if (found.comment === comment) return true
    const mark = parseMark(found.comment)
    if (mark) return certificate !== null && mark.certificate === certificate
    // Killed between making it and writing the comment: it holds nothing yet.
    return found.comment === null && (await visit(name, isEmpty))
  }

  return {
    async create(row) {
      const name = tenantDatabaseName(row.id, service)
      const statement = await source.visit(sql => creation(sql, row.sourceDatabase, name))
      await session(async sql => {
        await sql.unsafe(statement)
        await closeToPublic(sql, name)
        report({ type: 'created', id: row.id })
        await commentDatabase(sql, name, comment)
      })
      return name
    },
    async drop(row) {
      const name = tenantDatabaseName(row.id, service)
      await session(async sql => {
        const found = await inspectDatabase(sql, name)
        if (found.state === 'absent') return
        if (found.state === 'present' && !(await isOurs(row, name, found))) {
          throw new TransferRefused(
            `${name} at the target is not of this import and was left as it is: look into it, then go on.`,
          )
        }
        await dropDatabase(sql, name)
      })
    },
  }
}

export async function isEmpty(sql: SqlClient): Promise<boolean> {
  const rows = await sql`
    select 1 from pg_class join pg_namespace n on n.oid = relnamespace
    where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_toast' limit 1`
  return rows.length === 0
}

/** As the source is: text sorts and compares as it did, or the server says that it cannot. */
export async function creation(sql: QueryClient, from: string, to: string): Promise<string> {
  const [row] = await sql<{ statement: string }[]>`
    select format('create database %I template template0 encoding %L lc_collate %L lc_ctype %L strategy wal_log', ${to}::text,
        pg_encoding_to_char(encoding), datcollate, datctype)
      || case when to_jsonb(d) ->> 'datlocprovider' = 'i'
           then format(' locale_provider icu icu_locale %L', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
           else '' end as statement
    from pg_database d where datname = ${from}`
  if (!row) throw new TransferRefused(`The source has no database ${from} any more: make the plan again.`)
  return row.statement
}
