// The objects of a tenant's database that no copy by the service's role would bring along: each by its name, with its cure.
// Checked before anything is copied, by backup, move and import, and by `doctor --deep`. Reads only.
// A rehearsal finds the further needs of a definition.
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'
import { forSuperusers } from './beyond-role.js'

export interface NotCopyable {
  /** The object, as it stands after "has". */
  readonly what: string
  readonly cure: string
}

const SHOWN = 5

const listed = (names: readonly string[]): string =>
  names.length > SHOWN ? `${names.slice(0, SHOWN).join(', ')} and ${names.length - SHOWN} more` : names.join(', ')

interface Facts {
  readonly largeObjects: number
  readonly forced: string[]
  readonly foreign: string[]
  readonly ownRights: boolean
  readonly superusers: string[]
  readonly definers: string[]
  readonly reading: string[]
}

const outside = `nspname not in ('pg_catalog', 'information_schema', 'distributed_tenant') and nspname !~ '^pg_(toast|temp)'`
const notMember = (catalogue: string, oid: string): string =>
  `not exists (select from pg_depend where classid = '${catalogue}'::regclass and objid = ${oid} and deptype = 'e')`

/** Catalogues whose rows have a schema and an owner. */
const owned = [
  ['pg_class', 'relnamespace', 'relowner', `relkind in ('r', 'p', 'v', 'm', 'S', 'f')`],
  // The types made with a range type belong to the server.
  [
    'pg_proc',
    'pronamespace',
    'proowner',
    `not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = o.oid and deptype = 'i')`,
  ],
  [
    'pg_type',
    'typnamespace',
    'typowner',
    `typtype in ('e', 'd', 'r') or typrelid in (select oid from pg_class where relkind = 'c')`,
  ],
  ['pg_operator', 'oprnamespace', 'oprowner', 'true'],
  ['pg_opclass', 'opcnamespace', 'opcowner', 'true'],
  ['pg_opfamily', 'opfnamespace', 'opfowner', 'true'],
  ['pg_collation', 'collnamespace', 'collowner', 'true'],
  ['pg_conversion', 'connamespace', 'conowner', 'true'],
  ['pg_statistic_ext', 'stxnamespace', 'stxowner', 'true'],
  ['pg_ts_config', 'cfgnamespace', 'cfgowner', 'true'],
  ['pg_ts_dict', 'dictnamespace', 'dictowner', 'true'],
] as const

const ownedByOthers = `
  select format('%s %s of %s', type, identity, pg_get_userbyid(owner)) from (
    ${owned
      .map(
        ([catalogue, namespace, owner, which]) => `
      select '${catalogue}'::regclass as classid, o.oid, ${owner} as owner from ${catalogue} o join pg_namespace n on n.oid = ${namespace}
      where o.oid >= 16384 and ${outside} and (${which}) and ${notMember(catalogue, 'o.oid')}`,
      )
      .join(' union all ')}
    union all select 'pg_namespace'::regclass, n.oid, nspowner from pg_namespace n
    where n.oid >= 16384 and ${outside} and nspowner <> 'pg_database_owner'::regrole and ${notMember('pg_namespace', 'n.oid')}
    union all select 'pg_publication'::regclass, oid, pubowner from pg_publication
  ) as object, pg_identify_object(classid, oid, 0)
  where owner <> (select oid from pg_roles where rolname = current_user) order by 1`

/** Functions that a check calls for each row while it is loaded, and whose source names a table that may not be filled by then. */
const readingChecks = `
  with checks as (
    select k.oid, conname, coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text) as about
    from pg_constraint k join pg_namespace n on n.oid = connamespace where contype = 'c' and ${outside}
  )
  select distinct format('check %s of %s, which calls %s', conname, about, refobjid::regprocedure)
  from checks join pg_depend on classid = 'pg_constraint'::regclass and objid = checks.oid and refclassid = 'pg_proc'::regclass
    join pg_proc p on p.oid = refobjid join pg_namespace n on n.oid = pronamespace
  where ${outside} and exists (
    select from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'p', 'v', 'm') and ${outside}
      and prosrc ~* ('\\m(from|join|into|update)\\M\\s+(only\\s+)?("?\\w+"?\\.)?"?' || regexp_replace(relname, '(\\W)', '\\\\\\1', 'g') || '"?\\M'))
  order by 1`

const definerFunctions = `
  select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = pronamespace
  where prosecdef and ${outside} and ${notMember('pg_proc', 'p.oid')} order by 1`

const forcedTables = `
  select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace
  where relforcerowsecurity and ${outside} order by 1`

const arrayOf = (statement: string): string => `to_json(array(${statement}))`

async function ask(sql: QueryClient): Promise<Facts> {
  const [facts] = await sql.unsafe<Facts[]>(`
    select (select count(*)::int from pg_largeobject_metadata) as "largeObjects",
      ${arrayOf(forcedTables)} as forced,
      ${arrayOf(ownedByOthers)} as foreign,
      exists (select from pg_shdepend where dbid = (select oid from pg_database where datname = current_database())
        and refclassid = 'pg_authid'::regclass and deptype in ('a', 'r')
        and refobjid = (select oid from pg_roles where rolname = current_database())) as "ownRights",
      ${arrayOf(forSuperusers)} as superusers, ${arrayOf(definerFunctions)} as definers, ${arrayOf(readingChecks)} as reading`)
  return facts as Facts
}

const largeObjects = (count: number): NotCopyable => ({
  what: `${count} large objects, which belong to no table and are not supported`,
  cure: 'copy each into a bytea column (`lo_get(oid)`) and remove it with `lo_unlink(oid)`',
})

const forced = (tables: readonly string[]): NotCopyable => ({
  what: `forced row security on ${listed(tables)}, which hides rows from the service’s role that copies them`,
  cure: `\`alter table ${tables[0]} no force row level security\`: policies bind the tenants’ roles all the same, as they own no table`,
})

const superusers = (what: readonly string[]): NotCopyable => ({
  what: `${listed(what)}, which the service’s role may not make`,
  cure: 'drop it first',
})

const reading = (checks: readonly string[]): NotCopyable => ({
  what: `the ${listed(checks)}: that reads a table, which may not be filled yet when rows are loaded`,
  cure: 'make it a foreign key or a trigger; `distributed-tenant backup` proves whether it can be restored',
})

/**
 * At a source that takes no more writes: large objects may be made after the plan, by any role (PostgreSQL 15 lets even a
 * transaction that reads only make them), and no copy and no replication here carries them.
 * @throws TRANSFER_FAILED
 */
export async function refuseLargeObjects(inside: QueryClient, database: string): Promise<void> {
  const [found] = await inside<{ count: number }[]>`select count(*)::int as count from pg_largeobject_metadata`
  if (!found || found.count === 0) return
  const { what, cure } = largeObjects(found.count)
  throw new TransferFailed(`${database} has ${what}, made since the plan. ${capital(cure)}, then begin again.`)
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** Tables whose rows the service's role cannot read whole: one question, for every tenant that is migrated. */
export async function forcedRows(sql: QueryClient): Promise<NotCopyable | null> {
  const [found] = await sql.unsafe<{ tables: string[] }[]>(`select ${arrayOf(forcedTables)} as tables`)
  return found && found.tables.length > 0 ? forced(found.tables) : null
}

/** In a tenant's database of ours, as the service's role. */
export async function notCopyable(sql: QueryClient): Promise<{ never: NotCopyable[]; perhaps: NotCopyable[] }> {
  const found = await ask(sql)
  return {
    never: [
      ...(found.largeObjects > 0 ? [largeObjects(found.largeObjects)] : []),
      ...(found.forced.length > 0 ? [forced(found.forced)] : []),
      ...(found.foreign.length > 0
        ? [
            {
              what: `objects of other roles (${listed(found.foreign)}), which would be the service’s role’s in a copy`,
              cure: 'give them to the service’s role with `alter … owner to`, and others their rights with `grant`',
            },
          ]
        : []),
      ...(found.ownRights
        ? [
            {
              what: 'rights of the tenant’s role itself, which a move or a restore does not keep',
              cure: 'grant them to the group of tenants’ roles; if the tenant is being moved, wait for its end',
            },
          ]
        : []),
      ...(found.superusers.length > 0 ? [superusers(found.superusers)] : []),
    ],
    perhaps: found.reading.length > 0 ? [reading(found.reading)] : [],
  }
}

/** In a database of another server, whose objects come to belong to the service's role: beside what the role cannot make. */
export async function notImportable(sql: QueryClient): Promise<{ never: NotCopyable[]; perhaps: NotCopyable[] }> {
  const found = await ask(sql)
  return {
    never: [
      ...(found.largeObjects > 0 ? [largeObjects(found.largeObjects)] : []),
      ...(found.definers.length > 0
        ? [
            {
              what: `functions that run with their owner’s rights (${listed(found.definers)}), which would be the service’s role’s`,
              cure: 'make them `security invoker`, or drop them and let a migration make them',
            },
          ]
        : []),
    ],
    perhaps: found.reading.length > 0 ? [reading(found.reading)] : [],
  }
}

/** Whether loading runs the tenant's own functions, so that only a load shows whether it can be restored. */
export async function runsFunctions(sql: QueryClient): Promise<boolean> {
  const [found] = await sql.unsafe<{ runs: boolean }[]>(`
    select exists (
      select from pg_depend join pg_proc p on p.oid = refobjid join pg_namespace n on n.oid = pronamespace
      where refclassid = 'pg_proc'::regclass and ${outside} and (
        (classid = 'pg_constraint'::regclass and objid in (select oid from pg_constraint where contype in ('c', 'x')))
        or (classid = 'pg_class'::regclass and objid in (select oid from pg_class where relkind in ('i', 'I', 'r', 'p')))
        or (classid = 'pg_attrdef'::regclass and objid in (
          select d.oid from pg_attrdef d join pg_attribute on attrelid = adrelid and attnum = adnum where attgenerated <> ''))
        or classid = 'pg_type'::regclass)) as runs`)
  return found?.runs === true
}

/** Roles of the server, beside the service's own, that its rights, policies and settings name: they must be there where it is copied to. */
export async function rolesNamed(sql: QueryClient): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    with here as (select oid from pg_database where datname = current_database())
    select rolname as name from pg_roles where oid in (
      select refobjid from pg_shdepend where dbid = (select oid from here) and refclassid = 'pg_authid'::regclass and deptype in ('a', 'r')
      union all select setrole from pg_db_role_setting where setdatabase = (select oid from here)
      union all select defaclrole from pg_default_acl)
      and rolname <> current_user
      and rolname <> current_database() and rolname !~ '^tenant_' order by 1`
  return rows.map(({ name }) => name)
}

/** Those that are not there. */
export async function rolesMissing(sql: QueryClient, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return []
  const rows = await sql<{ name: string }[]>`
    select name from unnest(${[...names]}::text[]) as name where not exists (select from pg_roles where rolname = name) order by 1`
  return rows.map(({ name }) => name)
}
