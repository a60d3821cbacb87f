// The settings that `alter database … set` and `alter role … in database … set` have made for one database: clones and dumps
// do not include them. Settings of a tenant's own role are not among them: those are in `prepare_tenant_role`.
import type { QueryClient } from '../types.js'

export interface DatabaseSetting {
  /** Null for every role. */
  readonly role: string | null
  readonly name: string
  /** As the server keeps it: of a list, each element is quoted as it needs. */
  readonly value: string
}

/** A query for them. @param database an expression of SQL: its name */
export const settingsQuery = (database: string): string => `
  select rolname::text as role, split_part(entry, '=', 1) as name, substr(entry, strpos(entry, '=') + 1) as value
  from pg_db_role_setting left join pg_roles on pg_roles.oid = setrole, unnest(setconfig) as entry
  where setdatabase = (select oid from pg_database where datname = ${database})
    and (setrole = 0 or (rolname is not null and rolname !~ '^(tenant|spare|template)_'))
  order by 1 nulls first, 2`

export async function readDatabaseSettings(sql: QueryClient, database: string): Promise<DatabaseSetting[]> {
  return sql.unsafe<DatabaseSetting[]>(settingsQuery('$1'), [database])
}

/** Safe to repeat; its other settings stay. */
export async function applyDatabaseSettings(
  sql: QueryClient,
  database: string,
  settings: readonly DatabaseSetting[],
): Promise<void> {
  for (const setting of settings) await sql.unsafe(await settingStatement(sql, database, setting))
}

/** What sets it, quoted by the server, which runs nothing of it. */
export async function settingStatement(
  sql: QueryClient,
  database: string,
  { role, name, value }: DatabaseSetting,
): Promise<string> {
  const values = LISTS.has(name.toLowerCase()) ? wordsOf(value) : [value]
  const [row] = await sql<{ statement: string }[]>`
    select format(case when ${role === null} then 'alter database %1$I set %3$s = %4$s' else 'alter role %2$I in database %1$I set %3$s = %4$s' end,
      ${database}::text, ${role ?? ''}::text,
      (select string_agg(quote_ident(word), '.') from unnest(string_to_array(${name}::text, '.')) as word),
      (select string_agg(quote_literal(word), ', ') from unnest(${values}::text[]) as word)) as statement`
  return (row as { statement: string }).statement
}

/** Settings that the server keeps as a list of quoted names: quoted once more they would be one name. */
const LISTS: ReadonlySet<string> = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'temp_tablespaces',
])

/** The names of `"$user", public`. */
function wordsOf(value: string): string[] {
  const words = value.match(/"(?:[^"]|"")*"|[^,\s][^,]*/g) ?? ['']
  return words.map(word => (word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word.trim()))
}
