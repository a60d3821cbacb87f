// Owns which array types a database has. The driver asks for them at every connect, in a query of its own that ends the
// process when the connection is lost under it, and that costs a round trip. Ours is asked at every connect too, as a type
// made a moment ago must be known, but the first statement follows right behind it: both are one round trip, and the answer
// is taken in before the statement's own rows are. Built-in types are the same everywhere and are asked for once.
import { delimiterOf, readArray, writeArray } from './array-literal.js'
import { type Codecs, defaultCodecs, inherit } from './driver.js'

/** Element type and its array type, as in `pg_type`. */
interface Row {
  readonly oid: number
  readonly typarray: number
}

export interface ArrayTypes {
  /** What a new connection reads and writes values with. */
  codecs(): Codecs
  /** The first query of a connection. */
  question(): string
  /** Takes its answer and teaches the connection that has these codecs. */
  learn(answer: unknown, codecs: Codecs): void
}

const FIRST_USER_OID = 16_384

/** A connection begins with a statement, whatever it is. */
const NOTHING = 'select 1'
const QUESTION = "select oid, typarray from pg_catalog.pg_type where typarray > 0 and typtype <> 'c'"

export interface ArrayTypesOptions {
  /** False for those who read no arrays of types that a database has made: nothing is asked once the others are known. */
  readonly ofDatabases?: boolean
}

export function createArrayTypes({ ofDatabases = true }: ArrayTypesOptions = {}): ArrayTypes {
  const builtIn = inherit(defaultCodecs)
  let known = false

  return {
    codecs: () => inherit(builtIn),
    question() {
      if (!known) return QUESTION
      return ofDatabases ? `${QUESTION} and oid >= ${FIRST_USER_OID}` : NOTHING
    },
    learn(answer, codecs) {
      if (!Array.isArray(answer)) return
      for (const row of answer.filter(isRow)) {
        if (row.oid >= FIRST_USER_OID) teach(codecs, row)
        else teach(builtIn, row)
        known ||= row.oid < FIRST_USER_OID
      }
    },
  }
}

const isRow = (row: unknown): row is Row => typeof row === 'object' && row !== null && 'typarray' in row

function teach({ parsers, serializers }: Codecs, { oid: element, typarray: array }: Row): void {
  const delimiter = delimiterOf(array)
  // The driver hands an array's text over without its opening brace when the parser says that it is one.
  parsers[array] ??= Object.assign((text: string) => readArray(text, delimiter, parsers[element]), {
    array: true as const,
  })
  serializers[array] ??= value => writeArray(value, delimiter, serializers[element])
}
