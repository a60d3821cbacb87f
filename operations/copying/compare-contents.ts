// The comparison of two databases: for each table the number of its rows and a checksum over all of them, for each sequence
// its value, and the shape of all other objects. The server counts in one snapshot; the result is small whatever the database
// holds. Views that hold rows are made anew by a copy and not compared.
// Invariant: only properties that a dump and a restore keep are compared, and not their spelling.
import { createHash } from 'node:crypto'
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import type { SessionClient, TransactionClient } from '../../plugins/distributed-tenant/types.js'
import { isWorded, type ShapeLine, shapeStatement } from './schema-shape.js'

export interface TableContents {
  /** As a statement would name it. */
  readonly name: string
  readonly rows: number
  /** Sum of a 64-bit hash of each row's text, so that the order of rows does not matter. */
  readonly checksum: string
}

export interface Contents {
  readonly serverMajor: number
  readonly tables: readonly TableContents[]
  /** Where each is, as text. */
  readonly sequences: readonly { readonly name: string; readonly state: string }[]
  readonly shape: readonly ShapeLine[]
  /** The server's hash of one known text. */
  readonly probe: string
}

/** Rows as text must not depend on how either side is set up, nor a long reading on its limits (transaction_timeout: 17 and later). */
export const alike = `
  set local search_path = pg_catalog; set local extra_float_digits = 3; set local datestyle = 'ISO, YMD';
  set local intervalstyle = 'postgres'; set local timezone = 'UTC'; set local bytea_output = 'hex';
  set local lc_monetary = 'C'; set local row_security = off; set local statement_timeout = 0;
  select set_config('transaction_timeout', '0', true) where current_setting('transaction_timeout', true) is not null`

/** Objects of an extension come with it; ours are not the tenant's. */
export const own = `n.nspname not in ('pg_catalog', 'information_schema', 'distributed_tenant') and n.nspname !~ '^pg_(toast|temp)'
  and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e')`

/** Selects in one statement, which the server's parser nests. */
const AT_ONCE = 50

const probeStatement = `
  select hashtextextended('(1,"Ünïcode ""quoted""",)' collate "C", 0)::text as probe,
    current_setting('server_version_num')::int as version`

/** A dump gives a table that inherits its columns in another order: there they are taken by name. */
export const rowText = `case when not relispartition and exists (select from pg_inherits where inhrelid = c.oid)
  then (select 'row(' || coalesce(string_agg('t.' || quote_ident(attname), ', ' order by attname collate "C"), '') || ')'
    from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped)
  else '(t.*)' end`

/** The statement that reads each table's rows. */
const tableStatements = (row: string) => `
  select format('select %L as name, count(*)::int8::float8 as rows,
      coalesce(sum(hashtextextended(%s::text collate "C", 0)), 0)::text as checksum from only %I.%I as t',
    format('%I.%I', n.nspname, c.relname), ${row}, n.nspname, c.relname) as statement
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and ${own} order by n.nspname, c.relname`

/** The statement that reads each sequence's value. */
const sequenceStatements = `
  select format('select %L as name, last_value || case when is_called then '' called'' else '''' end as state from %I.%I',
    format('%I.%I', n.nspname, c.relname), n.nspname, c.relname) as statement
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'S' and ${own} order by n.nspname, c.relname`

export interface Reading {
  /** Before the statements. */
  readonly settings?: string
  /** Rows as archives of format 1 have them, whose columns are in the table's order always. */
  readonly asTables?: boolean | undefined
}

export async function readContents(
  sql: Pick<SessionClient, 'begin'>,
  { asTables }: Pick<Reading, 'asTables'> = {},
): Promise<Contents> {
  const settings = `set transaction isolation level repeatable read, read only; ${alike}`
  return sql.begin(tx => contentsOf(tx, { settings, asTables }))
}

interface Asking {
  readonly statement: string
}

/**
 * Of the snapshot that the transaction has, which must be one for all its statements. What needs no answer of another
 * statement goes along with it: a small database costs more in round trips than in rows.
 */
export async function contentsOf(
  tx: TransactionClient,
  { settings = alike, asTables = false }: Reading = {},
): Promise<Contents> {
  const [[facts], askTables, askSequences] = (await several(
    tx,
    [probeStatement, tableStatements(asTables ? `'(t.*)'` : rowText), sequenceStatements],
    settings,
  )) as [{ probe: string; version: number }[], Asking[], Asking[]]
  const { probe, version } = facts as { probe: string; version: number }
  const ofTables = united(askTables)
  const [shape, ...answers] = await several(tx, [shapeStatement, ...ofTables, ...united(askSequences)])
  return {
    serverMajor: Math.floor(version / 10_000),
    tables: answers.slice(0, ofTables.length).flat() as TableContents[],
    sequences: answers.slice(ofTables.length).flat() as Contents['sequences'][number][],
    shape: shape as ShapeLine[],
    probe,
  }
}

function united(asking: readonly Asking[]): string[] {
  const each = asking.map(({ statement }) => statement)
  return Array.from({ length: Math.ceil(each.length / AT_ONCE) }, (_, at) =>
    each.slice(at * AT_ONCE, (at + 1) * AT_ONCE).join('\nunion all\n'),
  )
}

/** Selects in one round trip, with settings before them. The driver answers one with its rows, more with a list of them. */
async function several(
  tx: TransactionClient,
  selects: readonly string[],
  settings?: string,
): Promise<readonly unknown[][]> {
  const text = [...(settings === undefined ? [] : [settings]), ...selects].join(';\n')
  const answer = (await tx.unsafe(text)) as unknown as unknown[]
  return selects.length === 1 && settings === undefined ? [answer] : (answer as unknown[][]).slice(-selects.length)
}

/** One checksum for all rows and sequences. Two databases with the same one hold the same. */
export function contentsDigest({ tables, sequences }: Contents): string {
  const lines = [
    ...tables.map(({ name, rows, checksum }) => `${name} ${rows} ${checksum}`),
    ...sequences.map(({ name, state }) => `${name} ${state}`),
  ]
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex').slice(0, 32)
}

const loose = (definition: string): string => definition.replace(CAST, '').replace(/[()\s]+/g, '')

/**
 * The common part of two texts of one expression that servers of one release have worded: `s in ('a', 'b')` of a varchar has
 * its casts elsewhere after a dump. Types of columns stand in lines of their own.
 */
const CAST =
  /::(?:"(?:[^"]|"")*"|\w+)(?:\.(?:"(?:[^"]|"")*"|\w+))?(?: varying| precision)?(?:\(\d+(?:,\s*\d+)?\))?(?: with(?:out)? time zone)?(?:\[\])*/g

export interface Comparing {
  /**
   * `wording`: expressions are alike when servers of one release word them alike. `names`: they are there; as long as one of
   * the two was never dumped, their spelling says nothing. Servers of two releases are always compared by names.
   */
  readonly by: 'wording' | 'names'
  /** Kinds of lines that are not compared. */
  readonly without?: ReadonlySet<string>
  /** `shape`: definitions alone. `rows`: rows and sequences alone. Default: all. */
  readonly only?: 'shape' | 'rows'
}

/**
 * The differences of the copy from the original, one line each; empty when they are the same.
 * @throws TRANSFER_FAILED when the two servers hash one text differently, and no comparison is possible
 */
export function differences(original: Contents, copy: Contents, { by, without, only }: Comparing): string[] {
  if (original.probe !== copy.probe) {
    throw new TransferFailed(
      'The two servers hash one text differently, so their rows cannot be compared: nothing was switched.',
    )
  }
  const wording = by === 'wording' && original.serverMajor === copy.serverMajor
  const lines = ({ shape }: Contents) =>
    shape
      .filter(({ kind, name }) => !without?.has(kind) && !(kind === 'schema' && name === 'public'))
      .map(one => [`${one.kind} ${one.name}`, definitionOf(one, wording)] as const)
  return [
    ...(only === 'shape' ? [] : unlike(original.tables.map(rowsOf), copy.tables.map(rowsOf))),
    ...(only === 'shape' ? [] : unlike(original.sequences.map(sequenceOf), copy.sequences.map(sequenceOf))),
    ...(only === 'rows' ? [] : unlike(lines(original), lines(copy))),
  ]
}

/** A newer release may list more properties of an object, in otherwise the same text. */
function definitionOf(line: ShapeLine, wording: boolean): string {
  if (!isWorded(line)) return line.definition
  return wording ? loose(line.definition) : ''
}

/** Whether nothing but the spelling of expressions is different: then a dump of the original shows how it is spelled. */
export const onlyWorded = (wrong: readonly string[]): boolean =>
  wrong.every(line => line.startsWith('text of ') && line.includes(' in the source, '))

const rowsOf = ({ name, rows, checksum }: TableContents): readonly [string, string] => [
  `rows of ${name}`,
  `${rows} rows, checksum ${checksum}`,
]
const sequenceOf = ({ name, state }: { name: string; state: string }): readonly [string, string] => [
  `value of ${name}`,
  state,
]

function unlike(original: (readonly [string, string])[], copy: (readonly [string, string])[]): string[] {
  const copied = new Map(copy)
  const originals = new Map(original)
  const wrong: string[] = []
  for (const [name, value] of originals) {
    const found = copied.get(name)
    if (found === undefined) wrong.push(`${name}: missing in the copy`)
    else if (found !== value) wrong.push(`${name}: ${value} in the source, ${found} in the copy`)
  }
  for (const [name] of copied) if (!originals.has(name)) wrong.push(`${name}: only in the copy`)
  return wrong
}

const SHOWN = 5

/** Differences in one line: the first of them, and how many more there are. */
export const differencesText = (found: readonly string[]): string =>
  `${found.slice(0, SHOWN).join('; ')}${found.length > SHOWN ? ` and ${found.length - SHOWN} more` : ''}`
