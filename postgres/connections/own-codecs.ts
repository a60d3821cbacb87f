// The codecs of one caller: tables of parsers and serializers over the shared ones. An ORM writes into them, and changes no
// value of another client. Invariant: they hold for the queries of their owner, in whichever session; and the elements of an
// array are read and written like their type, as in `postgres`.
import { delimiterOf, readArray, writeArray } from './array-literal.js'
import { builtInArrays, type Codecs, type DriverQuery, defaultCodecs, inherit } from './driver.js'
import { pastWritten } from './written-parameter.js'

type Parser = Codecs['parsers'][number]
type Serializer = Codecs['serializers'][number]

type QueryWithCodecs = DriverQuery & { readonly codecs: Codecs }

/** The codecs of a session: those of the query at hand, over its own. */
export interface SessionCodecs {
  readonly codecs: Codecs
  /** The query that is read or written at this moment; null when it has no codecs of its own. */
  current: QueryWithCodecs | null
  /** A parser of a caller's own has thrown, behind which the driver may lose count of the answers. */
  threw: boolean
}

const elementOf: ReadonlyMap<number, number> = new Map(
  Object.entries(builtInArrays).map(([element, array]) => [array, Number(element)]),
)

/** Tables of a caller's own, with the entries of `postgres` until it writes others. */
export const createOwnCodecs = (): Codecs => inherit(defaultCodecs)

/** Tables that stay as they are, over the entries of `postgres`: for any number of clients. */
export function fixedCodecs({ parsers, serializers }: Partial<Readonly<Codecs>>): Codecs {
  const codecs = createOwnCodecs()
  Object.freeze(Object.assign(codecs.parsers, parsers))
  Object.freeze(Object.assign(codecs.serializers, serializers))
  return codecs
}

export function createSessionCodecs({ parsers, serializers }: Codecs): SessionCodecs {
  const ownParsers = new Map<number, Parser>()

  /** The driver keeps it with its prepared statement, which serves each caller that reads this type in its own way. */
  function ownParser(type: number): Parser {
    let parser = ownParsers.get(type)
    if (!parser) {
      parser = text => {
        const { current } = session
        const parse = current ? parserIn(current.codecs, type) : undefined
        try {
          return parse ? parse(text) : text
        } catch (error) {
          if (current?.shares) {
            current.unread ??= { reason: error }
            return undefined
          }
          session.threw = true
          throw error
        }
      }
      ownParsers.set(type, parser)
    }
    return parser
  }

  const session: SessionCodecs = {
    current: null,
    threw: false,
    codecs: {
      parsers: new Proxy(parsers, {
        get(all, key) {
          const own = session.current && parserIn(session.current.codecs, Number(key))
          return own === null ? Reflect.get(all, key) : ownParser(Number(key))
        },
      }),
      serializers: new Proxy(serializers, {
        has: (all, key) =>
          (session.current && serializerIn(session.current.codecs, Number(key)) !== null) || key in all,
        get: (all, key) =>
          (session.current && serializerIn(session.current.codecs, Number(key))) ?? Reflect.get(all, key),
      }),
    },
  }
  return session
}

/** Null when the caller has none of its own for this type. */
function parserIn({ parsers }: Codecs, type: number): Parser | null | undefined {
  if (Object.hasOwn(parsers, type)) return parsers[type]
  const element = elementOf.get(type)
  if (element === undefined || !Object.hasOwn(parsers, element)) return null
  return text => readArray(text, delimiterOf(type), parsers[element])
}

/** True when the caller writes values of this type in its own way. */
export const writesItself = (codecs: Codecs, type: number): boolean => serializerIn(codecs, type) !== null

function serializerIn({ serializers }: Codecs, type: number): Serializer | null {
  if (Object.hasOwn(serializers, type)) return serializers[type] ? pastWritten(type, serializers[type]) : null
  const element = elementOf.get(type)
  if (element === undefined || !Object.hasOwn(serializers, element)) return null
  return pastWritten(type, value => writeArray(value, delimiterOf(type), serializers[element]))
}

interface OwnQuery extends DriverQuery {
  name?: string | false
  runs?: boolean
}

/** Over the driver's own properties of a query, which it writes and reads as if they were fields. */
const ownWay: PropertyDescriptorMap & ThisType<OwnQuery> = {
  // A session keeps the parsers of a named statement with it: other parsers need another name.
  signature: {
    get() {
      return this.name ?? ''
    },
    set(signature: string | false) {
      this.name = signature && this.codecs ? `${typesReadBy(this.codecs)}:${signature}` : signature
    },
  },
  active: {
    get() {
      return this.runs ?? false
    },
    set(active: boolean) {
      this.runs = active
      if (active) this.turn?.(true)
    },
  },
}

/**
 * Queries of this class read and write values by their `codecs`. On the prototype, before the driver's constructor sets its fields:
 * properties defined on each query took 2 us of it.
 */
export function takesCodecs(queries: { readonly prototype: object }): void {
  Object.defineProperties(queries.prototype, ownWay)
}

const ofFixed = new WeakMap<object, string>()

/** The types that a caller reads in its own way, as text. */
export function typesReadBy({ parsers }: Codecs): string {
  if (!Object.isFrozen(parsers)) return Object.keys(parsers).join()
  let types = ofFixed.get(parsers)
  if (types === undefined) {
    types = Object.keys(parsers).join()
    ofFixed.set(parsers, types)
  }
  return types
}
