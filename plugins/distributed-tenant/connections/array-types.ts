// Owns which array types a database has. The driver asks for them at every connect, in a query of its own that ends the
// process when the connection is lost under it, and that costs a round trip; we ask in the connection's first query and
// remember the answer per database. Built-in types are the same everywhere and are asked for once.
import { LRUCache } from 'lru-cache'
import { delimiterOf, readArray, writeArray } from './array-literal.js'
import type { Driver } from './driver.js'

/** Element type and its array type, as in `pg_type`. */
type Pair = readonly [element: number, array: number]

interface Row {
  readonly oid: number
  readonly typarray: number
}

export interface ArrayTypes {
  /** The first query of a connection. */
  question(database: string): string
  /** Takes its answer and teaches the connection. */
  learn(database: string, answer: readonly unknown[], sql: Driver): void
}

const FIRST_USER_OID = 16_384
/** A type made by a migration is known to connections opened this much later, at the latest. */
const REMEMBERED_MS = 60_000
const REMEMBERED_DATABASES = 2_000

const QUESTION = "select oid, typarray from pg_catalog.pg_type where typarray > 0 and typtype <> 'c'"

export function createArrayTypes(): ArrayTypes {
  let builtIn: readonly Pair[] | null = null
  const own = new LRUCache<string, readonly Pair[]>({ max: REMEMBERED_DATABASES, ttl: REMEMBERED_MS })

  return {
    question(database) {
      if (own.has(database)) return 'select 1'
      return builtIn ? `${QUESTION} and oid >= ${FIRST_USER_OID}` : QUESTION
    },
    learn(database, answer, sql) {
      const known = own.get(database)
      if (known) {
        teach(sql, [...(builtIn ?? []), ...known])
        return
      }
      // One whose entry ran out between question and answer was asked nothing: the next connection asks.
      const pairs = answer.flatMap((row): Pair[] => (isRow(row) ? [[row.oid, row.typarray]] : []))
      builtIn ??= pairs.some(([oid]) => oid < FIRST_USER_OID) ? pairs.filter(([oid]) => oid < FIRST_USER_OID) : null
      const mine = pairs.filter(([oid]) => oid >= FIRST_USER_OID)
      if (answer.length === 0 || answer.some(isRow)) own.set(database, mine)
      teach(sql, [...(builtIn ?? []), ...mine])
    },
  }
}

const isRow = (row: unknown): row is Row => typeof row === 'object' && row !== null && 'typarray' in row

type Parser = ((text: string) => unknown) & { array?: true }

interface Codecs {
  readonly parsers: Record<number, Parser>
  readonly serializers: Record<number, (value: unknown) => unknown>
  readonly shared: { readonly typeArrayMap: Record<number, number> }
}

function teach(sql: Driver, pairs: readonly Pair[]): void {
  const { parsers, serializers, shared } = sql.options as unknown as Codecs
  for (const [element, array] of pairs) {
    const delimiter = delimiterOf(array)
    shared.typeArrayMap[element] = array
    // The driver hands an array's text over without its opening brace when the parser says that it is one.
    parsers[array] ??= Object.assign((text: string) => readArray(text, delimiter, parsers[element]), {
      array: true as const,
    })
    serializers[array] ??= value => writeArray(value, delimiter, serializers[element])
  }
}
