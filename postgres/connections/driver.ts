// The internals of `postgres` 3.4.9 that we rely on beyond its documented surface: `options.socket`, `query.handler`, the
// entry of one connection, and parsed options. Pinned exactly; `assertDriver` proves each at the start.
import postgres from 'postgres'
import { ConfigurationInvalid } from '../errors.js'
import type { Backend } from './cancel-request.js'
import { pastWritten } from './written-parameter.js'

/** A query of the driver as seen from inside: lazy, and handed to `handler` when it is first awaited. */
export interface DriverQuery extends Promise<unknown> {
  handler: (query: DriverQuery) => void
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
  readonly strings: readonly string[]
  readonly args: readonly unknown[]
  readonly options: { simple?: boolean; prepare?: boolean }
  /** Called once by `cancel()`. */
  canceller: ((query: DriverQuery) => void) | null
  cancelled: unknown
  /** The server is running it. */
  readonly active: boolean
  /** Its session, once it was handed over. */
  readonly state: Backend | null
  /** It is a named statement; `prepared`: one that its session knew already. */
  readonly prepare?: boolean
  prepared?: boolean
  /** The statement in its session, once it was handed over: the types of its parameters, as the server described them. */
  readonly statement: { readonly types: readonly number[]; readonly name: string } | null
  /** It was awaited or executed. */
  executed: boolean
  /** It was handed over to a connection on which statements of other requests may run: see pool/statement-sharing.ts. */
  shares?: boolean
  /** It was sent through a pooler: the driver must not send it again by itself, see connections/pooled-statements.ts. */
  pooled?: boolean
  /** A session that is read only has refused it, so that it is sent on another connection: see sql/statement.ts. */
  elsewhere?: boolean
  /** How its values are read and written, when its caller has a way of its own: see own-codecs.ts. */
  codecs?: Codecs
  /** A parser of its caller's own has failed, on a connection where statements of other requests may run. */
  unread?: { readonly reason: unknown }
  /** Of a query with codecs of its own: called when the server begins with it, and when it has to be sent again. */
  turn?: (its: boolean) => void
  cursorFn?: (rows: unknown) => unknown
  readonly forEachFn?: unknown
  readonly onlyDescribe?: boolean
  cursor(...how: unknown[]): unknown
  handle(): Promise<void>
  execute(): DriverQuery
}

/** The class of the driver's queries: its lazy handling and its properties. */
export type QueryClass = new (
  strings: readonly string[],
  args: readonly unknown[],
  handler: DriverQuery['handler'],
  canceller: DriverQuery['canceller'],
  options?: DriverQuery['options'],
) => DriverQuery

/** The driver's one connection, as it hands it to `onexecute` when it sends the first query of a session. */
export interface DriverConnection {
  /** @returns whether another query may be sent before this one is answered */
  execute(query: DriverQuery): boolean
}

type Parser = ((text: string) => unknown) & { array?: true }

/** How values are read and written, by type. */
export interface Codecs {
  readonly parsers: Record<number, Parser>
  readonly serializers: Record<number, (value: unknown) => unknown>
}

export type Driver = postgres.Sql
export type DriverOptions = postgres.Options<Record<string, never>>

/** Element type to array type of PostgreSQL's built-in types; these numbers never change (pg_type.dat). */
export const builtInArrays: Readonly<Record<number, number>> = {
  16: 1000,
  17: 1001,
  20: 1016,
  21: 1005,
  23: 1007,
  25: 1009,
  114: 199,
  650: 651,
  700: 1021,
  701: 1022,
  869: 1041,
  1042: 1014,
  1043: 1015,
  1082: 1182,
  1083: 1183,
  1114: 1115,
  1184: 1185,
  1186: 1187,
  1266: 1270,
  1700: 1231,
  2950: 2951,
  3802: 3807,
}

/**
 * An instance that only builds queries and never connects: its `sql` makes lazy queries whose `handler` we replace.
 * It knows the built-in array types, which a connected instance would have fetched.
 */
export function createBuilder(options: DriverOptions = {}): Driver {
  const sql = postgres({ host: '127.0.0.1', ...options, max: 1 }) as Driver
  const { typeArrayMap } = (sql.options as unknown as { shared: { typeArrayMap: Record<number, number> } }).shared
  Object.assign(typeArrayMap, builtInArrays)
  return sql
}

/**
 * The driver's result of parsing no options: passed to it with some changed, they are taken as they are, which costs a third
 * of parsing them again for each connection (0.07 ms, not 0.18: docs/decisions/0001).
 */
const parsed = postgres({ host: '127.0.0.1', max: 1 }).options as unknown as object

export const defaultCodecs = parsed as Codecs
for (const [type, serialize] of Object.entries(defaultCodecs.serializers)) {
  defaultCodecs.serializers[Number(type)] = pastWritten(Number(type), serialize)
}

/** Codecs with all entries of these, which can be extended. */
export const inherit = ({ parsers, serializers }: Codecs): Codecs => ({
  parsers: Object.create(parsers),
  serializers: Object.create(serializers),
})

/** The options that all connections share. */
const common = Object.assign(Object.create(null) as object, parsed, {
  // It would make an instance of its own for logical replication.
  no_subscribe: true,
})

/** An instance for one connection; `options` in the driver's own, parsed form. Inherited, as copies of forty cost more than both. */
export function createInstance(options: object): Driver {
  const own = { parameters: {}, shared: { retries: 0, typeArrayMap: {} } }
  return postgres(Object.assign(Object.create(common) as object, own, options) as DriverOptions) as Driver
}

export const queryClassOf = (sql: Driver): QueryClass => (sql`` as unknown as { constructor: QueryClass }).constructor

/** Keeps the failure of a started query without a caller from ending the process; a caller that awaits it still gets it. */
export function unheard(query: DriverQuery): void {
  // Not `query.catch`, which would start it.
  Promise.prototype.then.call(query, undefined, () => {})
}

/** True for a query or fragment of the driver. */
export function isQuery(value: unknown): value is DriverQuery {
  return value instanceof Promise && 'strings' in value && 'handler' in value
}

/** @throws CONFIGURATION_INVALID when another version of the driver was installed over the pinned one */
export function assertDriver(): void {
  const probe = createBuilder({ host: '127.0.0.1', port: 1 })
  const query = probe`select ${1}` as unknown as DriverQuery
  const instance = createInstance({ database: 'probe' }).options as unknown as { database: string }
  const fits =
    instance.database === 'probe' &&
    typeof defaultCodecs.parsers === 'object' &&
    typeof defaultCodecs.serializers === 'object' &&
    typeof query.handler === 'function' &&
    typeof query.resolve === 'function' &&
    typeof query.reject === 'function' &&
    typeof query.canceller === 'function' &&
    query.active === false &&
    query.state === null &&
    query.statement === null &&
    query.executed === false &&
    Array.isArray(query.strings) &&
    Array.isArray(query.args)
  if (!fits) {
    throw new ConfigurationInvalid('The installed `postgres` is not 3.4.9, on which we rely: install postgres@3.4.9.')
  }
}
