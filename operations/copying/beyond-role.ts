// The objects of a database that a copy made by a service's role would fail at or lack, found before anything is frozen: objects
// that only superusers may make, and their dependencies at the target: roles, collations, extensions, settings.
// Reads both sides and changes nothing.
import { type DatabaseSetting, settingsQuery } from '../../plugins/distributed-tenant/databases/database-settings.js'
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'
import { block, type Obstacle, warn } from './obstacle.js'

/** The dependencies of one source database, by kind. */
export interface Needs {
  /** A superuser made it, and no other role may. */
  readonly forSuperusers: readonly string[]
  /** A copy leaves it out. */
  readonly leftOut: readonly string[]
  /** Of the server for this database. */
  readonly databaseSettings: readonly DatabaseSetting[]
  /** Tables whose rows not even their owner may compare. */
  readonly forcedRows: readonly string[]
  readonly extensions: readonly string[]
  /** Each with what names it. */
  readonly roles: readonly Named[]
  readonly collations: readonly Named[]
  /** Of functions. */
  readonly settings: readonly Named[]
  readonly compression: readonly string[]
  readonly encoding: string
}

interface Named {
  readonly name: string
  readonly by: string
}

/** Made after the server was, and not by an extension. */
const made = (catalogue: string, alias: string): string => `${alias}.oid >= 16384
  and not exists (select from pg_depend where classid = 'pg_catalog.${catalogue}'::regclass and objid = ${alias}.oid and deptype = 'e')`

/** Of a schema of the tenant's. */
const theirs = (namespace: string): string => `${namespace}::regnamespace::text <> 'distributed_tenant'`

/** Objects that only a superuser makes. */
export const forSuperusers = `
  select 'event trigger ' || quote_ident(evtname) from pg_event_trigger x where ${made('pg_event_trigger', 'x')}
  union all select 'foreign data wrapper ' || quote_ident(fdwname) from pg_foreign_data_wrapper x where ${made('pg_foreign_data_wrapper', 'x')}
  union all select 'foreign server ' || quote_ident(srvname) from pg_foreign_server
  union all select 'subscription ' || quote_ident(subname) from pg_subscription
    where subdbid = (select oid from pg_database where datname = current_database())
  union all select 'language ' || quote_ident(lanname) from pg_language x where ${made('pg_language', 'x')}
  union all select format('cast from %s to %s', castsource::regtype, casttarget::regtype) from pg_cast x
    where ${made('pg_cast', 'x')} and (castmethod = 'b' or not exists (
      select from pg_type where pg_type.oid in (castsource, casttarget) and ${made('pg_type', 'pg_type')}))
  union all select 'function ' || x.oid::regprocedure || case
      when lanname in ('c', 'internal') then format(' (language %s)', lanname)
      when not lanpltrusted then format(' (untrusted language %s)', lanname)
      when proleakproof then ' (leakproof)' else ' (support function)' end
    from pg_proc x join pg_language on pg_language.oid = prolang
    where ${made('pg_proc', 'x')} and ${theirs('pronamespace')} and prokind <> 'a'
      and (lanname <> 'sql' and not lanpltrusted or proleakproof or prosupport <> 0)
      and not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = x.oid and deptype = 'i')
  union all select 'aggregate ' || x.oid::regprocedure from pg_proc x join pg_aggregate on aggfnoid = x.oid
    where ${made('pg_proc', 'x')} and 'internal'::regtype in (aggtranstype, aggmtranstype)
  union all select 'base type ' || format_type(x.oid, null) from pg_type x
    where ${made('pg_type', 'x')} and typtype = 'b' and typisdefined
      and not (typsubscript = 'array_subscript_handler'::regproc and typelem <> 0 and typlen = -1)
  union all select 'operator class ' || format('%I.%I', opcnamespace::regnamespace::text, opcname) from pg_opclass x where ${made('pg_opclass', 'x')}
  union all select 'operator family ' || format('%I.%I', opfnamespace::regnamespace::text, opfname) from pg_opfamily x where ${made('pg_opfamily', 'x')}
  union all select 'access method ' || quote_ident(amname) from pg_am x where ${made('pg_am', 'x')}
  union all select 'text search parser ' || quote_ident(prsname) from pg_ts_parser x where ${made('pg_ts_parser', 'x')}
  union all select 'text search template ' || quote_ident(tmplname) from pg_ts_template x where ${made('pg_ts_template', 'x')}
  union all select distinct 'security labels of ' || quote_ident(provider) from pg_seclabel
  order by 1`

/** As columns of one SELECT; names are written out as with an empty search_path. */
export const needsColumns = `
  to_json(array(${forSuperusers})) as "forSuperusers",
  to_json(array(
    select 'publication ' || quote_ident(pubname) from pg_publication
    order by 1)) as "leftOut",
  coalesce((select json_agg(setting) from (${settingsQuery('current_database()')}) as setting), '[]') as "databaseSettings",
  to_json(array(
    select x.oid::regclass::text from pg_class x where relforcerowsecurity and ${made('pg_class', 'x')} and ${theirs('relnamespace')}
    order by 1)) as "forcedRows",
  to_json(array(select extname from pg_extension where extname <> 'plpgsql' order by 1)) as extensions,
  coalesce((select json_agg(json_build_object('name', rolname, 'by', by) order by rolname, by) from (
    select distinct rolname, format('policy %I on %s', polname, polrelid::regclass) as by
    from pg_policy x, unnest(polroles) as role join pg_roles on pg_roles.oid = role where ${made('pg_policy', 'x')}) as found), '[]') as roles,
  coalesce((select json_agg(json_build_object('name', name, 'by', by) order by name, by) from (
    select distinct collname as name, coalesce(case when classid = 'pg_class'::regclass then objid::regclass::text
        when classid = 'pg_type'::regclass then objid::regtype::text end, 'an object') as by
      from pg_depend join pg_collation c on refclassid = 'pg_collation'::regclass and refobjid = c.oid
      where collnamespace = 'pg_catalog'::regnamespace and collname <> 'default'
        and classid <> 'pg_collation'::regclass and objid >= 16384
    union select coalesce(to_jsonb(c) ->> 'collcollate', ''), 'collation ' || collname
      from pg_collation c where ${made('pg_collation', 'c')} and collprovider = 'c'
    union select 'icu', 'collation ' || collname
      from pg_collation c where ${made('pg_collation', 'c')} and collprovider = 'i') as found), '[]') as collations,
  coalesce((select json_agg(json_build_object('name', name, 'by', by) order by name, by) from (
    select split_part(entry, '=', 1) as name, 'function ' || x.oid::regprocedure as by
    from pg_proc x, unnest(proconfig) as entry where ${made('pg_proc', 'x')} and ${theirs('pronamespace')}) as found), '[]') as settings,
  to_json(array(
    select distinct attrelid::regclass::text from pg_attribute join pg_class x on x.oid = attrelid
    where attcompression = 'l' and not attisdropped and ${made('pg_class', 'x')} and relkind in ('r', 'p', 'm')
    order by 1)) as compression,
  (select pg_encoding_to_char(encoding) from pg_database where datname = current_database()) as encoding`

/** The objects of a target that databases depend on. */
export interface Provisions {
  /** Available extensions, and whether roles other than superusers may make them. */
  readonly extensions: ReadonlyMap<string, boolean>
  readonly roles: ReadonlySet<string>
  readonly collations: ReadonlySet<string>
  /** Settings that only superusers may change. */
  readonly guarded: ReadonlySet<string>
  readonly lz4: boolean
}

export async function provisionsOf(central: QueryClient): Promise<Provisions> {
  const [row] = await central<
    {
      extensions: { name: string; trusted: boolean }[]
      roles: string[]
      collations: string[]
      guarded: string[]
      lz4: boolean
    }[]
  >`
    select
      coalesce((select json_agg(json_build_object('name', name, 'trusted', trusted)) from (
        select name, bool_or(trusted) as trusted from pg_available_extension_versions group by name) as one), '[]') as extensions,
      to_json(array(select rolname::text from pg_roles)) as roles,
      to_json(array(
        select collname::text from pg_collation where collnamespace = 'pg_catalog'::regnamespace
        union select coalesce(to_jsonb(c) ->> 'collcollate', '') from pg_collation c where collprovider = 'c'
        union select 'icu' from pg_collation where collprovider = 'i')) as collations,
      to_json(array(select name from pg_settings where context <> 'user')) as guarded,
      exists (select from pg_settings where name = 'default_toast_compression' and 'lz4' = any(enumvals)) as lz4`
  const { extensions, roles, collations, guarded, lz4 } = row as NonNullable<typeof row>
  return {
    extensions: new Map(extensions.map(({ name, trusted }) => [name, trusted])),
    roles: new Set(roles),
    collations: new Set(collations),
    guarded: new Set(guarded),
    lz4,
  }
}

/** @param name the database. @param service at whose instance the copy is to be made */
export function needsInTheWay(name: string, needs: Needs, service: string, there: Provisions): Obstacle[] {
  const at = `at ${service}’s instance`
  return [
    ...needs.forSuperusers.map(what =>
      block(name, `has ${what}, which the service’s role may not make: drop it first`),
    ),
    ...needs.forcedRows.map(table =>
      block(
        name,
        `forces row security on the owner of ${table}, who can then neither load nor compare its rows: alter table ${table} no force row level security`,
      ),
    ),
    ...needs.extensions.flatMap(extension => {
      if (there.extensions.get(extension)) return []
      const why = there.extensions.has(extension) ? 'may be made there by superusers only' : 'is not installed there'
      return block(name, `needs the extension ${extension}, which ${why}: install it ${at}, or drop it first`)
    }),
    ...needs.roles.flatMap(({ name: role, by }) =>
      there.roles.has(role)
        ? []
        : block(
            name,
            `needs the role ${role} for the ${by}, and it is not ${at}: create the role there, or drop the policy`,
          ),
    ),
    ...needs.collations.flatMap(({ name: collation, by }) =>
      there.collations.has(collation)
        ? []
        : block(name, `needs the collation ${collation} for ${by}, and it is not ${at}: install the locale there`),
    ),
    ...needs.settings.flatMap(({ name: setting, by }) =>
      there.guarded.has(setting)
        ? block(name, `has the ${by}, which sets ${setting}, and the service’s role may not: reset it there first`)
        : [],
    ),
    ...(there.lz4
      ? []
      : needs.compression.map(table =>
          block(name, `compresses ${table} by lz4, which ${service}’s server was built without: set pglz there first`),
        )),
    ...(needs.encoding === 'SQL_ASCII'
      ? [
          block(
            name,
            'has the encoding SQL_ASCII, by which no letters are known: bring it into one with an encoding first',
          ),
        ]
      : []),
    ...needs.leftOut.map(what => warn(name, `has the ${what}, which does not come along: set it up again here`)),
  ]
}
