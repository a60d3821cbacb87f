// The array types of a database. The driver asks for them at every connect, in a query of its own that ends the process when
// the connection is lost under it, and that costs a round trip. Built-in types are the same everywhere and are asked for once.
// Types of a database's own are asked for by a session that meets one; from then on every session asks for them at its start,
// where the first statement follows right behind the question: both are one round trip, and the answer is read before the
// statement's own rows are. Invariant: a type that a session did not know when it met it (made since, of a table's rows, or
// never asked for) is asked for before its values are returned.
import { delimiterOf, readArray, writeArray } from './array-literal.js'
import { type Codecs, defaultCodecs, inherit } from './driver.js'
import { pastWritten } from './written-parameter.js'

/** Element type and its array type, as in `pg_type`. */
interface Row {
  readonly oid: number
  readonly typarray: number
}

/** How one session reads and writes values. */
export interface SessionTypes {
  readonly codecs: Codecs
  /** Its first query, null where there is nothing to ask. */
  readonly first: string | null
  /** Asks for all types that its database has made. */
  readonly question: string
  /** Reads the answer to either. `met`: types that were unknown when the question was sent, and are known now. */
  learn(answer: unknown, met?: readonly number[]): void
  /** Types in rows that are not known yet. */
  readonly unknown: ReadonlySet<number>
}

export interface ArrayTypes {
  session(): SessionTypes
}

const FIRST_USER_OID = 16_384

const QUESTION = 'select oid, typarray from pg_catalog.pg_type where typarray > 0'
const OF_DATABASE = `${QUESTION} and oid >= ${FIRST_USER_OID}`
/** There is one for each table, and it is hardly ever read. */
const NO_ROWS_OF_TABLES = `and not (typtype = 'c' and oid >= ${FIRST_USER_OID})`

export interface ArrayTypesOptions {
  /** False where no arrays of types of a database's own are read: after the built-in types no query is sent. */
  readonly ofDatabases?: boolean
}

export function createArrayTypes({ ofDatabases = true }: ArrayTypesOptions = {}): ArrayTypes {
  const builtIn = inherit(defaultCodecs)
  let known = false
  /** A session has met a type of its database's own. */
  let wanted = false

  function firstQuestion(): string | null {
    if (!known) return `${QUESTION} ${NO_ROWS_OF_TABLES}`
    return wanted ? `${OF_DATABASE} ${NO_ROWS_OF_TABLES}` : null
  }

  function session(): SessionTypes {
    /** Types that are no arrays. */
    const scalars = new Set<number>()
    const unknown = new Set<number>()
    const late = new Map<number, (text: string) => unknown>()
    const isForeign = (type: unknown): boolean => ofDatabases && Number(type) >= FIRST_USER_OID

    /** Stands for the type's own parser, which is not known yet; the driver keeps it with its prepared statement. */
    function lateParser(type: number): (text: string) => unknown {
      let parser = late.get(type)
      if (!parser) {
        parser = text => (Object.hasOwn(codecs.parsers, type) ? codecs.parsers[type]?.(text) : text)
        late.set(type, parser)
      }
      return parser
    }

    // Over tables of its own: an object that inherits from one made for it has a hidden class of its own, see open-connection.ts.
    const codecs: Codecs = {
      parsers: new Proxy<Codecs['parsers']>(Object.create(null), {
        has: (own, key) => key in own || key in builtIn.parsers,
        get(own, key) {
          const parser = Reflect.get(own, key) ?? Reflect.get(builtIn.parsers, key)
          const type = Number(key)
          if (parser !== undefined || !isForeign(key) || scalars.has(type)) return parser
          unknown.add(type)
          return lateParser(type)
        },
      }),
      serializers: new Proxy<Codecs['serializers']>(Object.create(null), {
        has: (own, key) => key in own || key in builtIn.serializers || isForeign(key),
        get: (own, key) =>
          Reflect.get(own, key) ??
          Reflect.get(builtIn.serializers, key) ??
          (isForeign(key) ? writerOf(Number(key)) : undefined),
      }),
    }

    return {
      codecs,
      first: firstQuestion(),
      question: OF_DATABASE,
      unknown,
      learn(answer, met = []) {
        if (!Array.isArray(answer)) return
        for (const row of answer.filter(isRow)) {
          teach(row.oid < FIRST_USER_OID ? builtIn : codecs, row)
          scalars.add(row.oid)
          known ||= row.oid < FIRST_USER_OID
        }
        wanted ||= met.length > 0
        for (const type of met) {
          unknown.delete(type)
          if (!Object.hasOwn(codecs.parsers, type)) scalars.add(type)
        }
      },
    }
  }

  return { session }
}

const isRow = (row: unknown): row is Row => typeof row === 'object' && row !== null && 'typarray' in row

/** A list for a type of the database's own is an array of it; the rest the driver writes so as well. */
const writerOf = (type: number) =>
  pastWritten(type, value => (Array.isArray(value) ? writeArray(value, ',') : `${value}`))

function teach({ parsers, serializers }: Codecs, { oid: element, typarray: array }: Row): void {
  if (Object.hasOwn(parsers, array)) return
  const delimiter = delimiterOf(array)
  // Types of a database's own are read as text.
  const isOwn = element >= FIRST_USER_OID
  const parse = isOwn ? undefined : parsers[element]
  const serialize = isOwn ? undefined : serializers[element]
  parsers[array] = text => readArray(text, delimiter, parse)
  serializers[array] = pastWritten(array, value => writeArray(value, delimiter, serialize))
}
