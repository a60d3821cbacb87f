// The tables of a tenant's database as logical replication sees them: how it identifies rows, what it does not carry.
// Reads only. Invariant: a table that is listed as carried is compared row by row before the switch.

import type { QueryClient } from '../../../plugins/distributed-tenant/types.js'
import { own, rowText } from '../../copying/compare-contents.js'
import { block, type Obstacle, warn } from '../../copying/obstacle.js'
import type { Identity } from './link.js'

export interface CarriedTable {
  readonly oid: string
  /** As a statement names it. */
  readonly name: string
  /** The text of a row, of the alias `t`. */
  readonly row: string
  /** Null where it need not be changed. */
  readonly identity: Identity | null
  /** The columns by which a row is found, with their types; none: the whole table is compared. */
  readonly key: readonly { readonly name: string; readonly type: string }[]
}

interface Raw extends Omit<CarriedTable, 'identity'> {
  readonly persistence: string
  readonly replident: string
  readonly identityIndex: string | null
  readonly hasPrimary: boolean
  readonly uniqueIndex: string | null
  readonly bytes: number
  readonly noEquality: readonly string[]
}

/** Tables without a key are compared whole during the switch, and an update of theirs reads the whole table at the target. */
const FULL_BYTES = 16 * 1024 * 1024

const usable = `x.indrelid = c.oid and x.indisunique and x.indimmediate and x.indisvalid and x.indpred is null and x.indexprs is null
  and not exists (select from unnest(x.indkey) as k join pg_attribute on attrelid = c.oid and attnum = k where not attnotnull)`

/** In the order of the table's columns, as the log has them. */
const keyOf = (which: string): string => `(
  select coalesce(json_agg(json_build_object('name', quote_ident(attname), 'type', format_type(atttypid, atttypmod)) order by attnum), '[]')
  from pg_index x, unnest(x.indkey) with ordinality as k (number, at) join pg_attribute on attrelid = c.oid and attnum = number
  where ${usable} and at <= x.indnkeyatts and ${which})`

/**
 * Whether the server has no equality for a type, as the apply worker looks for one: of arrays, domains and rows it is that of what
 * they hold. `=` does not count, which `box` has and which compares areas.
 */
const withoutEquality = (type: string): string => `exists (
  with recursive part (oid) as (
    select ${type}
    union select inner_part.oid from part join pg_type on pg_type.oid = part.oid, lateral (
      select typbasetype where typtype = 'd'
      union all select typelem where typsubscript = 'array_subscript_handler'::regproc
      union all select atttypid from pg_attribute where attrelid = typrelid and typtype = 'c' and attnum > 0 and not attisdropped
    ) as inner_part (oid))
  select from part join pg_type t on t.oid = part.oid where typtype = 'b' and typsubscript <> 'array_subscript_handler'::regproc
    and not exists (select from pg_opclass join pg_am m on m.oid = opcmethod where opcdefault and amname in ('btree', 'hash')
      and (opcintype = t.oid or exists (select from pg_cast
        where castsource = t.oid and casttarget = opcintype and castmethod = 'b' and castcontext = 'i'))))`

const tablesStatement = `
  select c.oid::int8::text as oid, format('%I.%I', n.nspname, c.relname) as name, ${rowText} as row,
    relpersistence as persistence, relreplident as replident, pg_table_size(c.oid)::float8 as bytes,
    (select relname from pg_index x join pg_class i on i.oid = indexrelid where indrelid = c.oid and indisreplident) as "identityIndex",
    exists (select from pg_index x where ${usable} and indisprimary) as "hasPrimary",
    (select relname from pg_index x join pg_class i on i.oid = indexrelid where ${usable} order by 1 limit 1) as "uniqueIndex",
    case when exists (select from pg_index x where ${usable} and indisprimary) and relreplident in ('d', 'n')
      then ${keyOf('x.indisprimary')}
      when relreplident = 'i' then ${keyOf('x.indisreplident')}
      when relreplident <> 'f' then ${keyOf(`x.indexrelid = (select x.indexrelid from pg_index x join pg_class i on i.oid = indexrelid where ${usable} order by relname limit 1)`)}
      else '[]' end as key,
    array(select attname::text from pg_attribute
      where attrelid = c.oid and attnum > 0 and not attisdropped and ${withoutEquality('atttypid')} order by attnum) as "noEquality"
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and ${own} order by 2`

const clauseOf = ({ replident, identityIndex }: Raw): string => {
  if (replident === 'i') return `using index ${quoted(identityIndex ?? '')}`
  return replident === 'f' ? 'full' : replident === 'n' ? 'nothing' : 'default'
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

function identityOf(raw: Raw): Identity | null {
  const { name: table, replident, hasPrimary, uniqueIndex, key } = raw
  if (replident === 'f' || (replident === 'i' && key.length > 0) || (replident === 'd' && hasPrimary)) return null
  const before = clauseOf(raw)
  const during =
    hasPrimary && replident === 'n' ? 'default' : uniqueIndex ? `using index ${quoted(uniqueIndex)}` : 'full'
  return { table, during, before }
}

export interface Survey {
  readonly tables: readonly CarriedTable[]
  /** Each is named, with its cure; what blocks stops a move without a freeze, and no other. */
  readonly obstacles: readonly Obstacle[]
}

/** In that database, as the service's role. */
export async function surveyTables(inside: QueryClient, database: string): Promise<Survey> {
  // In the catalogue's own search path types and tables are written out.
  const raws = await inside.unsafe<Raw[]>(tablesStatement)
  const obstacles: Obstacle[] = []
  const never = (what: string): void => void obstacles.push(block(database, what))
  let full = 0
  for (const raw of raws) {
    const identity = identityOf(raw)
    if (raw.persistence === 'u') {
      never(`has the unlogged table ${raw.name}, whose rows are not in the log: \`alter table ${raw.name} set logged\``)
    }
    if ((identity?.during ?? clauseOf(raw)) !== 'full') continue
    full += raw.bytes
    if (raw.noEquality.length > 0) {
      never(
        `has ${raw.name} without a primary key and with columns that cannot be compared (${raw.noEquality.join(', ')}), so its updates cannot be replicated: give it a primary key`,
      )
    }
  }
  if (full > FULL_BYTES) {
    const names = raws.filter(raw => (identityOf(raw)?.during ?? clauseOf(raw)) === 'full').map(({ name }) => name)
    never(
      `has ${(full / 2 ** 20).toFixed(0)} MiB in tables without a primary key (${names.slice(0, 5).join(', ')}), each of whose updates would read the whole table: give them one`,
    )
  }
  const [facts] = await inside.unsafe<Others[]>(othersStatement)
  const { triggers, extensions, subscriptions, slots, views, collations } = facts as Others
  for (const one of triggers) {
    never(
      `has the trigger ${one}, which would run once more for each row at the target: \`alter table … enable trigger\``,
    )
  }
  for (const one of extensions) never(`has the extension ${one}, whose own tables are not replicated: drop it`)
  for (const one of subscriptions) never(`has the subscription ${one}, which does not go along: drop it`)
  for (const one of slots) never(`has the replication slot ${one}, which does not go along: drop it`)
  if (views.length > 0) {
    obstacles.push(
      warn(
        database,
        `has materialized views (${views.slice(0, 5).join(', ')}), which are refreshed before the switch and after it`,
      ),
    )
  }
  for (const one of collations) {
    obstacles.push(warn(database, `was made with another version of the collation ${one} than the server has now`))
  }
  return { tables: raws.map(raw => ({ ...raw, identity: identityOf(raw) })), obstacles }
}

interface Others {
  readonly triggers: string[]
  readonly extensions: string[]
  readonly subscriptions: string[]
  readonly slots: string[]
  readonly views: string[]
  readonly collations: string[]
}

const othersStatement = `
  select array(select format('%s of %s', tgname, tgrelid::regclass) from pg_trigger join pg_class c on c.oid = tgrelid
      join pg_namespace n on n.oid = relnamespace where not tgisinternal and tgenabled in ('A', 'R') and ${own}) as triggers,
    array(select extname::text from pg_extension where extconfig is not null) as extensions,
    array(select subname::text from pg_subscription
      where subdbid = (select oid from pg_database where datname = current_database())) as subscriptions,
    array(select slot_name::text from pg_replication_slots
      where database = current_database() and not temporary and slot_name !~ '^fdt_move_') as slots,
    array(select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace
      where relkind = 'm' and relispopulated and ${own}) as views,
    array(select collname::text from pg_collation where collversion is not null
      and collversion <> pg_collation_actual_version(oid)) as collations`

/** Changes when a definition in this database does. */
export async function fingerprint(inside: QueryClient): Promise<string> {
  const [row] = await inside.unsafe<{ print: string }[]>(`
    select md5(string_agg(one, ' ' order by one)) as print from (
      select concat_ws(':', 'c', c.oid, relname, relkind, relpersistence, relnatts, relreplident, relrowsecurity) as one
        from pg_class c join pg_namespace n on n.oid = relnamespace where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'i', 'I') and ${own}
      union all select concat_ws(':', 'a', attrelid, attnum, attname, atttypid, atttypmod, attnotnull, attisdropped)
        from pg_attribute join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
        where attnum > 0 and relkind in ('r', 'p', 'v', 'm', 'f') and ${own}
      union all select concat_ws(':', 'p', oid, xmin) from pg_proc where oid >= 16384
      union all select concat_ws(':', 't', oid, tgenabled) from pg_trigger where not tgisinternal
      union all select concat_ws(':', 'k', oid, convalidated) from pg_constraint where oid >= 16384
      union all select concat_ws(':', 'y', oid, typtype) from pg_type where oid >= 16384) as part`)
  return (row as { print: string }).print
}
