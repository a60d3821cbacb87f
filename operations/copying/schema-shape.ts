// The shape of a database as lines that can be compared: every object that a copy must bring along, with its properties from
// the catalogues. Facts do not depend on spelling: lists are sorted, defaults are written out, the owner is called
// owner. Expressions stand in lines of their own, as the server words them. Objects of extensions and the plugin's own schema
// are left out, and so are the objects that the server makes by itself. Needs `search_path` to be `pg_catalog`, so that every
// name is written out.

export interface ShapeLine {
  readonly kind: string
  readonly name: string
  readonly definition: string
}

/** A line that holds an expression: a dump that was read again may spell it in another way. */
export const isWorded = ({ kind }: Pick<ShapeLine, 'kind'>): boolean => kind.startsWith('text of ')

/** Properties that a copy into a service with roles of its own does not bring along. */
export const OF_THE_SERVER: ReadonlySet<string> = new Set(['rights', 'default rights', 'setting', 'publication'])

/** @param which of them, where a server keeps more there than what was set */
const sorted = (list: string, which = ''): string =>
  `(select string_agg(one, ', ' order by one collate "C") from unnest(${list}) as one ${which})`

const columnNames = (
  relation: string,
  keys: string,
): string => `(select string_agg(quote_ident(attname), ', ' order by at)
  from unnest(${keys}) with ordinality as key (number, at) join pg_attribute on attrelid = ${relation} and attnum = number)`

const isMember = (catalogue: string, oid: string): string =>
  `exists (select from pg_depend where classid = '${catalogue}'::regclass and objid = ${oid} and deptype = 'e')`

/** All rights on a table but MAINTAIN. */
const OF_A_TABLE = 7

/**
 * Rights beyond and below what the server gives by itself, whose names are written out. Without those of the tenant's own role,
 * which is named like its database: a move grants and revokes them while it runs, and `not-copyable.ts` names all others. MAINTAIN, which
 * is new in PostgreSQL 17, comes with all others of a table when a dump of an older server says ALL.
 */
const rightsOf = (acl: string, standard: string, owner: string): string => `(
  select string_agg(concat(sign, case grantee when 0 then 'public' when ${owner} then 'owner' else pg_get_userbyid(grantee) end,
    ' ', privilege_type, case when is_grantable then ' with grant option' end), ', ' order by
    case grantee when 0 then 'public' when ${owner} then 'owner' else pg_get_userbyid(grantee) end collate "C", privilege_type collate "C", sign collate "C")
  from (select *, count(*) filter (where privilege_type <> 'MAINTAIN') over (partition by sign, grantee, is_grantable) as others from (
    select '+' as sign, * from (select grantee, privilege_type, is_grantable from aclexplode(${acl})
      except select grantee, privilege_type, is_grantable from aclexplode(${standard})) as more
    union all select '-', * from (select grantee, privilege_type, is_grantable from aclexplode(${standard})
      except select grantee, privilege_type, is_grantable from aclexplode(${acl})) as less) as each) as entry
  where grantee is distinct from (select oid from pg_roles where rolname = current_database())
    and not (privilege_type = 'MAINTAIN' and others = ${OF_A_TABLE}))`

/**
 * An index that was never finished is not dumped, and is not used. Constraints that a partition has of its parent are made
 * with the parent's, under names of the server's choice. A table that inherits gets its columns in another order.
 */
export const shapeStatement = `
with own as (
  select n.* from pg_namespace n
  where nspname not in ('pg_catalog', 'information_schema', 'distributed_tenant') and nspname !~ '^pg_(toast|temp)'
    and not ${isMember('pg_namespace', 'n.oid')}
), relations as (
  select c.*, format('%I.%I', nspname, relname) as name,
    not relispartition and exists (select from pg_inherits where inhrelid = c.oid) as inherits
  from pg_class c join own on own.oid = relnamespace where not ${isMember('pg_class', 'c.oid')}
), functions as (
  select p.*, format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)) as name
  from pg_proc p join own on own.oid = pronamespace
  where not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid and deptype in ('e', 'i'))
), types as (
  select t.*, format('%I.%I', nspname, typname) as name from pg_type t join own on own.oid = typnamespace
  where typtype in ('e', 'd', 'r', 'b', 'c') and typelem = 0 and (typrelid = 0 or exists (select from pg_class c where c.oid = typrelid and relkind = 'c'))
    and not ${isMember('pg_type', 't.oid')}
), rights as (
  select case relkind when 'S' then 'sequence ' else 'table ' end || name as name,
    ${rightsOf('relacl', `acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)`, 'relowner')} as definition
  from relations where relkind in ('r', 'p', 'v', 'm', 'f', 'S') and relacl is not null
  union all select format('column %s.%I', name, attname), ${rightsOf('attacl', `null::aclitem[]`, 'relowner')}
  from relations join pg_attribute on attrelid = relations.oid where attnum > 0 and not attisdropped and attacl is not null
  union all select 'function ' || name, ${rightsOf('proacl', `acldefault('f', proowner)`, 'proowner')} from functions where proacl is not null
  union all select 'type ' || name, ${rightsOf('typacl', `acldefault('T', typowner)`, 'typowner')} from types where typacl is not null
  union all select 'schema ' || quote_ident(nspname), ${rightsOf('nspacl', `acldefault('n', nspowner)`, 'nspowner')} from own where nspacl is not null
), objects as (
  select 'pg_collation'::regclass as classid, oid, concat_ws(' ', collprovider, collisdeterministic, case collprovider
    when 'c' then concat_ws(' ', collcollate, collctype) else coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', collcollate::text) end) as definition from pg_collation c
  union all select 'pg_conversion'::regclass, oid, concat_ws(' ', conforencoding, contoencoding, conproc::regproc, condefault) from pg_conversion
  union all select 'pg_operator'::regclass, oid, concat_ws(' ', oprcode::regproc, oprrest::regproc, oprjoin::regproc, oprcom::regoperator, oprnegate::regoperator, oprcanmerge, oprcanhash) from pg_operator
  union all select 'pg_opfamily'::regclass, oid, '' from pg_opfamily
  union all select 'pg_opclass'::regclass, oid, concat_ws(' ', opcintype::regtype, opcdefault) from pg_opclass
  union all select 'pg_ts_config'::regclass, c.oid, (select string_agg(concat_ws(' ', maptokentype, mapseqno, mapdict::regdictionary), ', ' order by maptokentype, mapseqno) from pg_ts_config_map where mapcfg = c.oid) from pg_ts_config c
  union all select 'pg_ts_dict'::regclass, oid, dictinitoption from pg_ts_dict
  union all select 'pg_ts_parser'::regclass, oid, '' from pg_ts_parser
  union all select 'pg_ts_template'::regclass, oid, '' from pg_ts_template
  union all select 'pg_cast'::regclass, oid, concat_ws(' ', nullif(castfunc, 0)::regprocedure, castcontext, castmethod) from pg_cast
  union all select 'pg_language'::regclass, oid, concat_ws(' ', lanpltrusted, lanplcallfoid::regproc) from pg_language
  union all select 'pg_transform'::regclass, oid, '' from pg_transform
  union all select 'pg_event_trigger'::regclass, oid, concat_ws(' ', evtevent, evtenabled, evtfoid::regproc) from pg_event_trigger
  union all select 'pg_foreign_data_wrapper'::regclass, oid, fdwoptions::text from pg_foreign_data_wrapper
  union all select 'pg_foreign_server'::regclass, oid, srvoptions::text from pg_foreign_server
  union all select 'pg_publication'::regclass, p.oid, concat_ws(' ', puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
    (select string_agg(format('%I.%I', schemaname, tablename), ', ' order by schemaname, tablename) from pg_publication_tables t where t.pubname = p.pubname)) from pg_publication p
), identified as (
  select type, identity, definition from objects, pg_identify_object(classid, oid, 0)
  where oid >= 16384 and (schema is null or (schema not in ('pg_catalog', 'information_schema', 'distributed_tenant') and schema !~ '^pg_(toast|temp)'))
    and not exists (select from pg_depend where pg_depend.classid = objects.classid and objid = oid and deptype = 'e')
), notes as (
  select 'comment' as kind, type || ' ' || identity as name, description as definition
  from pg_description d, pg_identify_object(classoid, objoid, objsubid)
  where objoid >= 16384 and classoid <> 'pg_extension'::regclass
    and (schema is null or (schema not in ('pg_catalog', 'information_schema', 'distributed_tenant') and schema !~ '^pg_(toast|temp)'))
    and not exists (select from pg_depend where classid = classoid and objid = objoid and deptype = 'e')
    and not exists (select from pg_constraint k where classoid = 'pg_constraint'::regclass and k.oid = objoid and conparentid <> 0)
    and not identity ~ '^distributed_tenant(\\.|$)'
  union all select 'label', objtype || ' ' || objname || ' ' || provider, label from pg_seclabels
  where objtype not in ('database', 'role', 'tablespace', 'subscription')
)
select 'schema' as kind, quote_ident(nspname) as name, '' as definition from own
union all select 'extension', quote_ident(extname), extnamespace::regnamespace::text from pg_extension
union all select 'relation', name, concat_ws(' ', relkind, relpersistence, relrowsecurity, relforcerowsecurity, relreplident, relispartition,
    (select amname from pg_am where pg_am.oid = relam and relkind in ('r', 'm')), nullif(reloftype, 0)::regtype,
    ${sorted('reloptions')}, (select ${sorted('t.reloptions')} from pg_class t where t.oid = reltoastrelid),
    (select string_agg(inhparent::regclass::text, ', ' order by inhseqno) from pg_inherits where inhrelid = relations.oid))
  from relations where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
union all select 'text of partition', name, concat_ws(' ', pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid))
  from relations where relkind in ('r', 'p', 'f') and (relispartition or relkind = 'p')
union all select 'column', format('%s.%I', name, attname), concat_ws(' ', format_type(atttypid, atttypmod),
    case when attnotnull then 'not null' end, nullif(attidentity, ''), nullif(attgenerated, ''), nullif(attcollation::regcollation::text, '-'),
    attstorage, nullif(attcompression, ''), nullif(attstattarget, -1), ${sorted('attoptions', `where one ~ '^n_distinct'`)},
    case when not inherits then row_number() over (partition by attrelid order by attnum) end)
  from relations join pg_attribute on attrelid = relations.oid
  where relkind in ('r', 'p', 'v', 'm', 'f', 'c') and attnum > 0 and not attisdropped
union all select 'text of default', format('%s.%I', name, attname), pg_get_expr(adbin, adrelid)
  from relations join pg_attribute on attrelid = relations.oid join pg_attrdef on adrelid = attrelid and adnum = attnum
  where not attisdropped
union all select 'sequence', name, concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
    (select format('%s.%I', refobjid::regclass, attname) from pg_depend join pg_attribute on attrelid = refobjid and attnum = refobjsubid
      where classid = 'pg_class'::regclass and objid = seqrelid and deptype in ('a', 'i')))
  from relations join pg_sequence on seqrelid = relations.oid
union all select 'index', format('%s %I', name, i.relname), concat_ws(' ', amname, indisunique, indisprimary, indisexclusion, indimmediate,
    indnkeyatts, indisreplident, indisclustered, ${sorted('i.reloptions')})
  from relations join pg_index on indrelid = relations.oid join pg_class i on i.oid = indexrelid join pg_am on pg_am.oid = i.relam where indisvalid
union all select 'text of index', format('%s %I', name, i.relname), pg_get_indexdef(indexrelid)
  from relations join pg_index on indrelid = relations.oid join pg_class i on i.oid = indexrelid where indisvalid
union all select 'constraint', format('%s %I', coalesce(relations.name, contypid::regtype::text), conname),
    concat_ws(' ', contype, condeferrable, condeferred, convalidated, connoinherit,
      case when contype <> 'c' then ${columnNames('conrelid', 'conkey')} end, nullif(confrelid, 0)::regclass,
      ${columnNames('confrelid', 'confkey')}, nullif(confupdtype, ''), nullif(confdeltype, ''), nullif(confmatchtype, ''))
  from pg_constraint k join own on own.oid = connamespace left join relations on relations.oid = conrelid
  where contype <> 'n' and conparentid = 0 and (conrelid = 0 or relations.oid is not null)
    and not exists (select from pg_depend where classid = 'pg_type'::regclass and objid = contypid and deptype = 'e')
union all select 'text of constraint', format('%s %I', coalesce(relations.name, contypid::regtype::text), conname), pg_get_constraintdef(k.oid)
  from pg_constraint k join own on own.oid = connamespace left join relations on relations.oid = conrelid
  where contype in ('c', 'x') and conparentid = 0 and (conrelid = 0 or relations.oid is not null)
    and not exists (select from pg_depend where classid = 'pg_type'::regclass and objid = contypid and deptype = 'e')
union all select 'trigger', format('%s %I', name, tgname), concat_ws(' ', tgenabled, tgfoid::regprocedure, tgtype, tgdeferrable, tginitdeferred,
    ${columnNames('tgrelid', 'tgattr')}, encode(tgargs, 'hex'), tgoldtable, tgnewtable)
  from relations join pg_trigger on tgrelid = relations.oid where not tgisinternal
union all select 'text of trigger', format('%s %I', name, tgname), pg_get_triggerdef(pg_trigger.oid)
  from relations join pg_trigger on tgrelid = relations.oid where not tgisinternal and tgqual is not null
union all select 'rule', format('%s %I', name, rulename), concat_ws(' ', ev_type, is_instead, ev_enabled)
  from relations join pg_rewrite on ev_class = relations.oid where rulename <> '_RETURN'
union all select 'text of rule', format('%s %I', name, rulename), pg_get_ruledef(pg_rewrite.oid)
  from relations join pg_rewrite on ev_class = relations.oid where rulename <> '_RETURN'
union all select 'text of view', name, pg_get_viewdef(oid) from relations where relkind in ('v', 'm')
union all select 'policy', format('%s %I', name, polname), concat_ws(' ', polcmd, polpermissive,
    (select string_agg(case role when 0 then 'public' else pg_get_userbyid(role) end, ', ' order by pg_get_userbyid(role) collate "C") from unnest(polroles) as role))
  from relations join pg_policy on polrelid = relations.oid
union all select 'text of policy', format('%s %I', name, polname), concat_ws(' with check ', pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  from relations join pg_policy on polrelid = relations.oid
union all select 'statistics', format('%I.%I', nspname, stxname), concat_ws(' ', stxkind, nullif(stxstattarget, -1))
  from pg_statistic_ext s join own on own.oid = stxnamespace
union all select 'text of statistics', format('%I.%I', nspname, stxname), pg_get_statisticsobjdef(s.oid)
  from pg_statistic_ext s join own on own.oid = stxnamespace
union all select 'function', name, concat_ws(' ', prokind, lanname, pg_get_function_result(functions.oid), provolatile, prosecdef, proisstrict,
    proleakproof, proparallel, procost, prorows, pronargdefaults, ${sorted('proconfig')}, md5(prosrc), probin,
    (select concat_ws(' ', aggtransfn, aggfinalfn, aggcombinefn, aggtranstype::regtype, agginitval, aggkind) from pg_aggregate where aggfnoid = functions.oid))
  from functions join pg_language on pg_language.oid = prolang
union all select 'text of function', name, concat_ws(' ', pg_get_function_arguments(oid), pg_get_function_sqlbody(oid))
  from functions where prosqlbody is not null or pronargdefaults > 0
union all select 'type', name, concat_ws(' ', typtype, format_type(nullif(typbasetype, 0), typtypmod), typnotnull,
    case when typtype = 'd' then nullif(typcollation::regcollation::text, '-') end,
    (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = types.oid),
    (select concat_ws(' ', rngsubtype::regtype, rngcollation::regcollation, nullif(rngcanonical, 0)::regproc, nullif(rngsubdiff, 0)::regproc) from pg_range where rngtypid = types.oid))
  from types where typtype in ('e', 'd', 'r', 'b')
union all select 'text of type', name, coalesce(pg_get_expr(typdefaultbin, 0), typdefault) from types where typdefault is not null
union all select type, identity, coalesce(definition, '') from identified
union all select kind, name, definition from notes
union all select 'rights', name, definition from rights where definition is not null
union all select 'default rights', concat_ws(' ', defaclobjtype, case defaclrole when (select oid from pg_roles where rolname = current_user) then 'of owner' else 'of ' || pg_get_userbyid(defaclrole) end,
    'in ' || nullif(defaclnamespace, 0)::regnamespace),
    ${rightsOf('defaclacl', `case when defaclnamespace = 0 then acldefault(case defaclobjtype when 'S' then 's' else defaclobjtype end::"char", defaclrole) else null::aclitem[] end`, 'defaclrole')}
  from pg_default_acl where defaclnamespace = 0 or defaclnamespace in (select oid from own)
union all select 'setting', concat_ws(' ', case setrole when 0 then 'for all' when (select oid from pg_roles where rolname = current_user) then 'for owner' else 'for ' || pg_get_userbyid(setrole) end, split_part(entry, '=', 1)),
    substr(entry, strpos(entry, '=') + 1)
  from pg_db_role_setting, unnest(setconfig) as entry
  where setdatabase = (select oid from pg_database where datname = current_database()) and (setrole = 0 or pg_get_userbyid(setrole) !~ '^tenant_')
`
