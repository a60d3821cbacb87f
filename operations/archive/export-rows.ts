// The rows of a table as lines of JSON or CSV. The server makes each line, so that nothing is lost between its types and
// ours. Invariant: memory does not grow with the number of rows nor with their size, whatever the order they come in.
import type { TransactionClient } from '../../plugins/distributed-tenant/types.js'
import { own } from '../copying/compare-contents.js'
import type { Write } from './archive-writer.js'

/** Of CSV: `guarded` ones cannot be run as a formula, `exact` ones are as they are. */
export type Cells = 'guarded' | 'exact'

export interface Column {
  readonly name: string
  readonly quoted: string
  readonly type: string
  /** Its values are numbers, times or truth: none begins a formula. */
  readonly plain: boolean
}

export interface Table {
  /** `public.employees`, quoted where it must be. */
  readonly name: string
  readonly relation: string
  readonly columns: readonly Column[]
}

export async function tablesOf(tx: TransactionClient): Promise<readonly Table[]> {
  return tx.unsafe<Table[]>(`
    select format('%I.%I', n.nspname, c.relname) as name, c.relname::text as relation,
      coalesce((select json_agg(json_build_object('name', attname, 'quoted', quote_ident(attname),
          'type', format_type(atttypid, atttypmod), 'plain', typcategory in ('B', 'D', 'N', 'T')) order by attnum)
        from pg_attribute join pg_type on pg_type.oid = atttypid
        where attrelid = c.oid and attnum > 0 and not attisdropped), '[]') as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and ${own} order by n.nspname, c.relname`)
}

/** What a spreadsheet takes for the beginning of a formula; the last four are wide ones of East Asian keyboards. */
const FORMULA = ['=', '+', '-', '@', '\t', '\r', '\n', '\uff1d', '\uff0b', '\uff0d', '\uff20']

/** Behind any number of guards too, so that one guard is to be taken from each such cell, and what was there is left. */
const isFormula = (text: string): boolean => FORMULA.includes(text.replace(/^'+/, '').charAt(0))
/** The same in SQL, by numbers: a database of another encoding has not all of the letters. */
const formulaCodes = FORMULA.map(sign => sign.codePointAt(0)).join(', ')

export function headOf(columns: readonly Column[], cells: Cells): string {
  const head = columns.map(({ name }) => {
    const text = cells === 'guarded' && isFormula(name) ? `'${name}` : name
    return `"${text.replaceAll('"', '""')}"`
  })
  return `${head.join(',')}\r\n`
}

export interface RowsHow {
  readonly format: 'jsonl' | 'csv'
  readonly cells: Cells
  readonly signal?: AbortSignal | undefined
}

const ROWS_AT_ONCE = 500
/** In bytes; a longer line comes by itself, in pieces. */
const LONG_LINE = 16_384
/** In letters. */
const PIECE = 1 << 20

/** @returns how many rows there were */
export async function copyRows(
  tx: TransactionClient,
  table: Table,
  { format, cells, signal }: RowsHow,
  take: Write,
): Promise<number> {
  const line = format === 'csv' ? csvLine(table, cells) : jsonLine(table)
  const end = format === 'csv' ? '\r\n' : '\n'
  const from = `from only ${table.name} as t`
  const batches = fetched<{ line: string | null; place: string }>(
    tx,
    'export_lines',
    `select case when octet_length(line) <= ${LONG_LINE} then line end as line, place
     from (select ${line} as line, t.ctid::text as place ${from} offset 0) as lines`,
    ROWS_AT_ONCE,
  )
  let rows = 0
  let ready = ''
  const send = async (): Promise<void> => {
    if (ready !== '') await take(Buffer.from(ready))
    ready = ''
  }
  for await (const batch of batches) {
    for (const row of batch) {
      signal?.throwIfAborted()
      rows++
      if (row.line === null) {
        await send()
        const pieces = fetched<{ piece: string }>(
          tx,
          'export_pieces',
          `with whole as materialized (select ${line} as line ${from} where t.ctid = '${row.place}')
           select substr(line, at, ${PIECE}) as piece from whole, generate_series(1, length(line), ${PIECE}) as at`,
          1,
        )
        for await (const [one] of pieces) await take(Buffer.from((one as { piece: string }).piece))
      }
      ready += (row.line ?? '') + end
    }
    await send()
  }
  return rows
}

/** By a cursor of the server's: between two fetches the transaction is free for another statement. */
async function* fetched<T extends object>(
  tx: TransactionClient,
  name: string,
  query: string,
  count: number,
): AsyncGenerator<readonly T[]> {
  await tx.unsafe(`declare ${name} no scroll cursor for ${query}`)
  for (;;) {
    const rows = (await tx.unsafe(`fetch ${count} from ${name}`)) as unknown as readonly T[]
    if (rows.length > 0) yield rows
    if (rows.length < count) break
  }
  await tx.unsafe(`close ${name}`)
}

/** As COPY reads it: nothing is null, two quotes are the empty text. */
function csvLine({ columns }: Table, cells: Cells): string {
  const cell = ({ quoted, plain }: Column): string => {
    const text = `t.${quoted}::text`
    const guard =
      plain || cells === 'exact'
        ? ''
        : `case when ascii(ltrim(${text}, '''')) in (${formulaCodes}) then '''' else '' end ||`
    return `coalesce('"' || ${guard} replace(${text}, '"', '""') || '"', '')`
  }
  return columns.map(cell).join(` || ',' || `) || `''`
}

/**
 * The row is named by all of its columns: its name alone would be that of a column called the same. A line's end in JSON is
 * only ever between its tokens: those of a column of type json are its writer's.
 */
function jsonLine({ columns }: Table): string {
  if (columns.length === 0) return `'{}'`
  const list = columns.map(({ quoted }) => `t.${quoted}`).join(', ')
  return `(select replace(replace(to_json(r.*)::text, E'\\n', ' '), E'\\r', ' ') from (select ${list}) as r)`
}
