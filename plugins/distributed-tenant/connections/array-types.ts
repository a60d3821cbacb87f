// Owns which array types a database has. The driver asks for them at every connect, in a query of its own that ends the
// process when the connection is lost under it, and that costs a round trip. Ours is the first query of a connection, which
// there is anyway. Built-in types are the same everywhere and are asked for once.
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
  question(): string
  /** Takes its answer and teaches the connection. */
  learn(answer: readonly unknown[], sql: Driver): void
}

const FIRST_USER_OID = 16_384

const QUESTION = "select oid, typarray from pg_catalog.pg_type where typarray > 0 and typtype <> 'c'"

export function createArrayTypes(): ArrayTypes {
  let builtIn: readonly Pair[] | null = null

  return {
    question: () => (builtIn ? `${QUESTION} and oid >= ${FIRST_USER_OID}` : QUESTION),
    learn(answer, sql) {
      const pairs = answer.flatMap((row): Pair[] => (isRow(row) ? [[row.oid, row.typarray]] : []))
      const common = pairs.filter(([oid]) => oid < FIRST_USER_OID)
      if (common.length > 0) builtIn ??= common
      teach(sql, [...(builtIn ?? []), ...pairs])
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
