// The values of sequences, which replication does not carry: read at the source once nothing is written there, set at the
// target, and read again.

import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { QueryClient } from '../../../plugins/distributed-tenant/types.js'
import { own } from '../../copying/compare-contents.js'

interface Value {
  readonly name: string
  readonly value: string
  readonly called: boolean
}

/** The names as a statement names them: read before the switch, which they would delay. */
export async function sequenceNames(inside: QueryClient): Promise<string[]> {
  const rows = await inside.unsafe<{ name: string }[]>(`
    select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'S' and ${own} order by 1`)
  return rows.map(({ name }) => name)
}

const AT_ONCE = 50

async function valuesOf(inside: QueryClient, names: readonly string[]): Promise<Value[]> {
  const found: Value[] = []
  for (let at = 0; at < names.length; at += AT_ONCE) {
    const each = names
      .slice(at, at + AT_ONCE)
      .map((name, n) => `select ${at + n}::int as at, last_value::text as value, is_called as called from ${name}`)
    const rows = await inside.unsafe<(Omit<Value, 'name'> & { at: number })[]>(each.join(' union all '))
    for (const { at: which, ...row } of rows) found.push({ name: names[which] as string, ...row })
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** @throws TRANSFER_FAILED when one does not have the value */
export async function carrySequences(
  source: QueryClient,
  target: QueryClient,
  names: readonly string[],
): Promise<void> {
  if (names.length === 0) return
  const values = await valuesOf(source, names)
  await target.unsafe(
    `select setval(v ->> 'name', (v ->> 'value')::bigint, (v ->> 'called')::boolean) from jsonb_array_elements($1::text::jsonb) as v`,
    [JSON.stringify(values)],
  )
  const there = new Map((await valuesOf(target, names)).map(({ name, value, called }) => [name, `${value} ${called}`]))
  const wrong = values.filter(({ name, value, called }) => there.get(name) !== `${value} ${called}`)
  if (wrong.length > 0)
    throw new TransferFailed(`Sequences are not alike at the target: ${wrong.map(({ name }) => name).join(', ')}.`)
}
