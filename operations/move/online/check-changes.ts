// The comparison of changed rows while replication runs: the keys of what was changed since the last look are read from the
// second slot, and those rows are compared on both sides once the target has applied them. Invariants: the slot goes forward
// only past changes whose rows were alike, or are kept here to be looked at again; a row that is still different when nothing
// is written any more is a difference. Memory is bounded: rows go by in portions.

import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { alike } from '../../copying/compare-contents.js'
import { type Changed, countOf, createChangeReader, nothingChanged } from './changes.js'
import type { CarriedTable } from './tables.js'

const PORTION = 2_000
/** More rows that differ at a time than replication can have under way. */
const MOST_OPEN = 200_000

export interface Sides {
  /** The administrator's in the source, for the slot. */
  readonly slotSide: SessionClient
  readonly source: SessionClient
  readonly target: SessionClient
}

export interface ChangeCheck {
  /**
   * Reads the slot up to a position that the target has applied, and compares. @returns how many rows are still different
   */
  look(sides: Sides, upTo: string): Promise<number>
  /** The last one: nothing is written any more. @throws TRANSFER_FAILED naming the tables that differ */
  settle(sides: Sides, upTo: string): Promise<{ readonly rows: number }>
  /** Rows compared so far. */
  readonly compared: number
}

export function createChangeCheck(options: {
  readonly slot: string
  readonly publication: string
  readonly tables: readonly CarriedTable[]
}): ChangeCheck {
  const { slot, publication } = options
  const tables = new Map(options.tables.map(one => [one.oid, one]))
  const open = nothingChanged()
  let compared = 0

  async function read({ slotSide }: Sides, upTo: string, portion: (changed: Changed) => Promise<void>): Promise<void> {
    const changed = nothingChanged()
    const take = createChangeReader(changed)
    await slotSide.begin(async tx => {
      await tx.unsafe(alike)
      const messages = tx.unsafe<{ data: Buffer }[]>(
        `select data from pg_logical_slot_peek_binary_changes($1, $2::pg_lsn, null, 'proto_version', '1', 'publication_names', $3)`,
        [slot, upTo, publication],
      )
      await messages.cursor(PORTION, async rows => {
        for (const { data } of rows) take(data)
        if (countOf(changed) < PORTION) return
        await portion(changed)
        changed.keys.clear()
      })
    })
    await portion(changed)
    for (const oid of changed.whole) open.whole.add(oid)
  }

  /** Rows that are not alike on both sides go to `open`, those that are leave it. */
  async function compare(sides: Sides, keys: Changed['keys']): Promise<void> {
    for (const [oid, set] of keys) {
      const table = tables.get(oid)
      if (!table) throw new TransferFailed(`A table was made during the move (number ${oid}): begin again.`)
      const list = [...set]
      compared += list.length
      const [here, there] = await Promise.all([sides.source, sides.target].map(side => rowsOf(side, table, list)))
      const different = list.filter((_, at) => here?.get(at) !== there?.get(at))
      const left = open.keys.get(oid) ?? new Set<string>()
      for (const key of list) left.delete(key)
      for (const key of different) left.add(key)
      if (left.size > 0) open.keys.set(oid, left)
      else open.keys.delete(oid)
    }
    if (countOf(open) > MOST_OPEN) throw new TransferFailed('More rows differ than replication can have under way.')
  }

  async function look(sides: Sides, upTo: string): Promise<number> {
    await compare(sides, new Map([...open.keys].map(([oid, keys]) => [oid, new Set(keys)])))
    await read(sides, upTo, ({ keys }) => compare(sides, keys))
    await sides.slotSide`select pg_replication_slot_advance(${slot}, ${upTo}::pg_lsn)`
    return countOf(open)
  }

  return {
    look,
    async settle(sides, upTo) {
      // Tables whose rows cannot be named are small, or were truncated.
      const before = compared
      await look(sides, upTo)
      const wrong = [...open.keys].map(([oid, keys]) => `${keys.size} rows of ${tables.get(oid)?.name}`)
      for (const oid of open.whole) {
        const table = tables.get(oid)
        if (!table) continue
        const [here, there] = await Promise.all([sides.source, sides.target].map(side => wholeOf(side, table)))
        if (here !== there) wrong.push(`the rows of ${table.name}`)
      }
      if (wrong.length === 0) return { rows: compared - before }
      throw new TransferFailed(
        `Not everything that was written during the move is alike at the target: ${wrong.slice(0, 5).join('; ')}.`,
      )
    },
    get compared() {
      return compared
    },
  }
}

/** The hash of each row that is there, by the position of its key. */
function rowsOf(side: SessionClient, table: CarriedTable, keys: readonly string[]): Promise<Map<number, string>> {
  const { name, row, key } = table
  const on = key.map(({ name: column, type }, at) => `t.${column} = (k.v ->> ${at})::${type}`).join(' and ')
  return side.begin(async tx => {
    await tx.unsafe(
      `${alike}; set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off`,
    )
    const rows = await tx.unsafe<{ at: number; hash: string }[]>(
      `select (k.n - 1)::int as at, hashtextextended(${row}::text collate "C", 0)::text as hash
       from jsonb_array_elements($1::text::jsonb) with ordinality as k (v, n) join only ${name} as t on ${on}`,
      [`[${keys.join(',')}]`],
    )
    return new Map(rows.map(({ at, hash }) => [at, hash]))
  })
}

function wholeOf(side: SessionClient, { name, row }: CarriedTable): Promise<string> {
  return side.begin(async tx => {
    await tx.unsafe(alike)
    const [all] = await tx.unsafe<{ all: string }[]>(
      `select count(*)::text || ' ' || coalesce(sum(hashtextextended(${row}::text collate "C", 0)), 0)::text as all from only ${name} as t`,
    )
    return (all as { all: string }).all
  })
}
