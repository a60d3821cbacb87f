// The statement that inserts a batch of audit rows: a text for each column, and values that repeat once, as most of the CPU time of a row is
// its way to the server (docs/benchmarks.md). Invariant: a value holds no control character, as rows.ts makes it.
import type { QueryClient } from '../distributed-tenant/index.js'
import type { AuditRow } from './rows.js'

/** In a column’s text for null. Like the line feed that ends each value, no row has it: it is a control character. */
const NULL = '\u0001'

/** The values of a column, each with a line feed behind it. */
const columnOf = (rows: readonly AuditRow[], of: (row: AuditRow) => string | null): string => {
  let text = ''
  for (const row of rows) text += `${of(row) ?? NULL}\n`
  return text
}

/** A column that repeats its values: each of them once, as in {@link columnOf}, and their places for the rows, from 1. */
interface RepeatedColumn {
  readonly values: string
  readonly places: string
}

function repeatedColumnOf(rows: readonly AuditRow[], of: (row: AuditRow) => string | null): RepeatedColumn {
  const known = new Map<string | null, number>()
  let values = ''
  let places = ''
  for (const row of rows) {
    const value = of(row)
    let place = known.get(value)
    if (place === undefined) {
      place = known.size + 1
      known.set(value, place)
      values += `${value ?? NULL}\n`
    }
    places += places === '' ? place : `,${place}`
  }
  return { values, places: `{${places}}` }
}

/** A text for each column, and repeated values once: half of the bytes that all values would be. */
async function insertRun(tx: QueryClient, rows: readonly AuditRow[]): Promise<void> {
  const [first] = rows
  if (!first) return
  const at = repeatedColumnOf(rows, row => row.at)
  const kind = repeatedColumnOf(rows, row => row.kind)
  const result = repeatedColumnOf(rows, row => row.result)
  const tenant = repeatedColumnOf(rows, row => row.tenantId)
  const actor = repeatedColumnOf(rows, row => row.actor)
  const detail = repeatedColumnOf(rows, row => row.detail)
  const request = columnOf(rows, row => row.requestId)
  const hash = columnOf(rows, row => row.hash)
  // One template without fragments, which would be put together anew for each batch.
  await tx`
    with texts as materialized (
      select
        string_to_array(${at.values}::text, e'\\n', e'\\x01') as at,
        string_to_array(${kind.values}::text, e'\\n', e'\\x01') as kind,
        string_to_array(${result.values}::text, e'\\n', e'\\x01') as result,
        string_to_array(${tenant.values}::text, e'\\n', e'\\x01') as tenant,
        string_to_array(${actor.values}::text, e'\\n', e'\\x01') as actor,
        string_to_array(${detail.values}::text, e'\\n', e'\\x01') as detail)
    insert into audit_log (chain, seq, at, kind, result, tenant_id, actor, request_id, detail, hash)
    select ${first.chain}::uuid, ${first.seq}::bigint + place - 1, texts.at[row.at]::timestamptz, texts.kind[row.kind],
      texts.result[row.result], texts.tenant[row.tenant], texts.actor[row.actor], request,
      texts.detail[row.detail]::json, hash
    from texts, unnest(
      ${at.places}::text::int[], ${kind.places}::text::int[], ${result.places}::text::int[],
      ${tenant.places}::text::int[], ${actor.places}::text::int[], ${detail.places}::text::int[],
      string_to_array(${request}::text, e'\\n', e'\\x01'), string_to_array(${hash}::text, e'\\n', e'\\x01')
    ) with ordinality as row (at, kind, result, tenant, actor, detail, request, hash, place)
    where place <= ${rows.length}::int
    on conflict do nothing`
}

/** Inserts rows in the order given; those that follow each other in one chain are one statement. A row that is there already is left. */
export async function insertRows(tx: QueryClient, rows: readonly AuditRow[]): Promise<void> {
  let from = 0
  for (let at = 1; at <= rows.length; at++) {
    const [before, row] = [rows[at - 1], rows[at]]
    if (before && row && row.chain === before.chain && row.seq === before.seq + 1) continue
    await insertRun(tx, rows.slice(from, at))
    from = at
  }
}
