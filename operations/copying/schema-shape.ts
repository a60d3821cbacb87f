// Owns the shape of a database as lines that can be compared: every object that a copy must bring along, with its
// definition as the server words it. Objects of extensions and our own schema are left out. Needs `search_path` to be
// `pg_catalog`, so that every name is written out.

export interface ShapeLine {
  readonly kind: string
  readonly name: string
  readonly definition: string
}

/** An index that was never finished is not dumped, and serves nobody. */
export const shapeStatement = `
with own as (
  select oid, nspname from pg_namespace n
  where nspname not in ('pg_catalog', 'information_schema', 'distributed_tenant') and nspname !~ '^pg_(toast|temp)'
    and not exists (select from pg_depend where classid = 'pg_namespace'::regclass and objid = n.oid and deptype = 'e')
), relations as (
  select c.*, format('%I.%I', nspname, relname) as name from pg_class c join own on own.oid = relnamespace
  where not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e')
)
select 'schema' as kind, quote_ident(nspname) as name, '' as definition from own
union all select 'extension', quote_ident(extname), '' from pg_extension
union all select 'relation', name, concat_ws(' ', relkind, relpersistence, relrowsecurity, relforcerowsecurity,
    relreplident, array_to_string(reloptions, ' '), pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid))
  from relations where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
union all select 'column', format('%s.%I', name, attname), concat_ws(' ', format_type(atttypid, atttypmod),
    case when attnotnull then 'not null' end, attidentity, attgenerated,
    nullif(attcollation::regcollation::text, '-'), pg_get_expr(adbin, adrelid))
  from relations join pg_attribute on attrelid = relations.oid
    left join pg_attrdef on adrelid = attrelid and adnum = attnum
  where relkind in ('r', 'p', 'v', 'm', 'f', 'c') and attnum > 0 and not attisdropped
union all select 'sequence', name, concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle)
  from relations join pg_sequence on seqrelid = relations.oid
union all select 'index', name || ' ' || format('%I', i.relname), concat_ws(' ', pg_get_indexdef(indexrelid), indisreplident, indisclustered)
  from relations join pg_index on indrelid = relations.oid join pg_class i on i.oid = indexrelid where indisvalid
union all select 'constraint', format('%s %I', coalesce(relations.name, contypid::regtype::text), conname),
    concat_ws(' ', pg_get_constraintdef(k.oid), case when not convalidated then 'not validated' end)
  from pg_constraint k join own on own.oid = connamespace left join relations on relations.oid = conrelid where contype <> 'n'
union all select 'trigger', format('%s %I', name, tgname), concat_ws(' ', pg_get_triggerdef(pg_trigger.oid), tgenabled)
  from relations join pg_trigger on tgrelid = relations.oid where not tgisinternal
union all select 'rule', format('%s %I', name, rulename), concat_ws(' ', pg_get_ruledef(pg_rewrite.oid), ev_enabled)
  from relations join pg_rewrite on ev_class = relations.oid where rulename <> '_RETURN'
union all select 'view', name, pg_get_viewdef(oid) from relations where relkind in ('v', 'm')
union all select 'policy', format('%s %I', name, polname), concat_ws(' ', polcmd, polpermissive, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  from relations join pg_policy on polrelid = relations.oid
union all select 'statistics', format('%I.%I', nspname, stxname), pg_get_statisticsobjdef(s.oid)
  from pg_statistic_ext s join own on own.oid = stxnamespace
union all select 'function', format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)),
    case when prokind = 'a' then '' when prosqlbody is null then md5(pg_get_functiondef(p.oid)) else pg_get_functiondef(p.oid) end
  from pg_proc p join own on own.oid = pronamespace
  where not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid and deptype in ('e', 'i'))
union all select 'type', format('%I.%I', nspname, typname), concat_ws(' ', typtype, format_type(nullif(typbasetype, 0), typtypmod), typnotnull, typdefault,
    (select string_agg(quote_literal(enumlabel), ',' order by enumsortorder) from pg_enum where enumtypid = t.oid))
  from pg_type t join own on own.oid = typnamespace
  where typtype in ('e', 'd', 'r')
    and not exists (select from pg_depend where classid = 'pg_type'::regclass and objid = t.oid and deptype = 'e')
`
