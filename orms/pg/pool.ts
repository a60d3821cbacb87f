// Owns `pg`'s pool over a tenant's connections: nothing rests in it, as each connection is a lease that goes back to the
// plugin's own pool at its release. `pool.query` needs no lease of a session: it is one statement of the tenant's client.
import type { CustomTypesConfig, Pool as PgPool, PoolConfig } from 'pg'
import {
  ConfigurationInvalid,
  checkOptions,
  type SqlClient,
  type Tenants,
} from '../../plugins/distributed-tenant/index.js'
import { LeasedClient } from './client.js'
import { pg } from './library.js'
import { errorOf, fieldsOf, type RawResult, tagOf, textsOf } from './messages.js'
import { type Bind, rowsOf, type Value, valuesOf } from './wire.js'

/** Whose connections: exactly one of both. */
export type PoolOptions = Settings &
  (
    | {
        /** `request.sql`, or the `sql` of tenants.run: the pool ends with it. */
        readonly sql: SqlClient
        readonly tenants?: never
      }
    | {
        /**
         * `fastify.tenants`, for a pool that lives as long as the process: each connection and query is of the tenant whose
         * request, or `tenants.run`, asks for it. Make it before the application is ready.
         */
        readonly tenants: Pick<Tenants, 'follow'>
        readonly sql?: never
      }
  )

interface Settings extends Pick<PoolConfig, 'max' | 'connectionTimeoutMillis' | 'onConnect' | 'query_timeout'> {
  /** Parsers of results, as in `pg`. */
  readonly types?: CustomTypesConfig
}

/**
 * The part of `pg`'s Connection that one query without a session needs: it is sent when the query is whole, and its result comes
 * back as the messages of the server.
 */
class StatementWire {
  readonly parsedStatements: Record<string, string> = none
  readonly submittedNamedStatements: Record<string, string> = {}
  readonly stream = none
  readonly #sql: () => SqlClient
  readonly #query: Handlers
  #text = ''
  #name = ''
  #values: readonly Value[] = []
  #over = false

  constructor(sql: () => SqlClient, query: Handlers) {
    this.#sql = sql
    this.#query = query
  }

  parse({ text, name }: { text: string; name?: string }): void {
    this.#text = text
    this.#name = name ?? ''
  }

  /** @throws TENANT_CLIENT_METHOD for results in binary */
  bind(bind: Bind): void {
    this.#values = valuesOf(bind)
  }

  describe(): void {}
  execute(): void {}

  query(text: string): void {
    this.#text = text
    this.sync()
  }

  /** Its parameters cannot be written: `pg` itself fails the query, which comes to no other end. */
  close(): void {
    this.#over = true
  }

  sync(): void {
    if (this.#over) return
    try {
      rowsOf(this.#sql(), { text: this.#text, name: this.#name, values: this.#values }).then(
        result => this.#answered(result as unknown as RawResult),
        error => this.#fails(error),
      )
    } catch (error) {
      // Not yet: the query is not given out.
      queueMicrotask(() => this.#fails(error))
    }
  }

  #answered(result: RawResult): void {
    const query = this.#query
    try {
      const { columns, command } = result
      if (columns && columns.length > 0) query.handleRowDescription({ fields: fieldsOf(columns) })
      for (const row of result) query.handleDataRow({ fields: textsOf(row) })
      if (command !== null) query.handleCommandComplete({ text: tagOf(result) }, this)
    } catch (error) {
      this.#fails(error)
      return
    }
    query.handleReadyForQuery(this)
  }

  #fails(error: unknown): void {
    this.#query.handleError(errorOf(error), this)
  }
}

const none = {}

/** What a query of `pg` does with the server's messages. */
interface Handlers {
  callback?: ((error: unknown, result?: unknown) => void) | undefined
  _result?: { _types?: unknown }
  submit(wire: StatementWire): Error | null
  handleRowDescription(message: object): void
  handleDataRow(message: object): void
  handleCommandComplete(message: object, wire: StatementWire): void
  handleError(error: unknown, wire: StatementWire): void
  handleReadyForQuery(wire: StatementWire): void
}

const checkGiven = checkOptions<PoolOptions>('Pool', {
  sql: 'function',
  tenants: 'other',
  types: 'other',
  max: 'number',
  connectionTimeoutMillis: 'number',
  onConnect: 'function',
  query_timeout: 'number',
})

/** Their listeners are given a client. */
const ofClients = ['connect', 'acquire', 'release', 'remove'] as const

class TenantPool extends pg.Pool {
  readonly #of: () => SqlClient
  readonly #types: unknown
  /** Options that concern each connection: every query then goes through a client. */
  readonly #clients: boolean

  constructor(given: PoolOptions) {
    checkGiven(given)
    const { sql, tenants, types, max, connectionTimeoutMillis, onConnect, query_timeout } = given
    if (tenants ? sql : !sql) throw new ConfigurationInvalid('A Pool is of `sql` or of `tenants`: pass one of them.')
    // A queue of `pg` serves a waiting query in the async context of the release before it.
    if (tenants && max !== undefined) {
      throw new ConfigurationInvalid(
        'A Pool of `tenants` has no `max`: DISTRIBUTED_MAX_CONNECTIONS is the limit of all.',
      )
    }
    const of = tenants ? tenants.follow() : () => sql as SqlClient
    // One use: the plugin's pool is where connections rest.
    super({
      connectionTimeoutMillis,
      onConnect,
      query_timeout,
      max: max ?? Number.MAX_SAFE_INTEGER,
      of,
      types,
      Client: LeasedClient,
      maxUses: 1,
      ssl: false,
    } as unknown as PoolConfig)
    this.#of = of
    this.#types = types && new pg.TypeOverrides(types as never)
    this.#clients = Boolean(onConnect ?? query_timeout)
  }

  override emit(event: string, ...about: unknown[]): boolean {
    // Of a connection that rests, as none does here: without a listener it would end the process.
    if (event === 'error' && this.listenerCount('error') === 0) return false
    if (event === 'release' && about[0]) (about[1] as LeasedClient).spoil()
    return super.emit(event, ...about)
  }

  override query(...args: never[]): never {
    return (this.#wantsClient(args[0]) ? super.query(...(args as unknown as [string])) : this.#send(args)) as never
  }

  #wantsClient(query: unknown): boolean {
    if (typeof query !== 'string' && !isConfig(query)) return true
    const text = typeof query === 'string' ? query : query.text
    // pg-pool answers after its own end.
    return this.#clients || this.#watched() || this.ending || (typeof text === 'string' && /;\s*\S/.test(text))
  }

  #watched(): boolean {
    for (const event of ofClients) if (this.listenerCount(event) > 0) return true
    return false
  }

  #send(args: readonly never[]): unknown {
    const query = new pg.Query(...(args as unknown as [string])) as unknown as Handlers
    const promised = query.callback
      ? undefined
      : new Promise((resolve, reject) => {
          query.callback = (error, result) => (error ? reject(error) : resolve(result))
        })
    const result = query._result
    if (result && this.#types && !result._types) result._types = this.#types
    const wire = new StatementWire(this.#of, query)
    const refused = query.submit(wire)
    if (refused) process.nextTick(() => query.handleError(refused, wire))
    return promised
  }
}

/** No cursor or stream, which need a session of their own, nor what `pg` refuses. */
function isConfig(query: unknown): query is { text?: unknown } {
  if (typeof query !== 'object' || query === null) return false
  return !('submit' in query) && !('rows' in query) && !('query_timeout' in query)
}

/**
 * `pg.Pool` over tenants' connections: `connect`, `query` and events as there. `max`, which counts the connections that
 * this pool has at a time, is within the plugin's budget.
 */
export const Pool = TenantPool as unknown as new (options: PoolOptions) => PgPool
export type Pool = PgPool

/**
 * For libraries that are given `pg` itself and make their pool by themselves, like TypeORM's `driver`: their own settings of
 * host, user and the like are left aside.
 */
export function driverOf(options: PoolOptions): { Pool: new (settings?: object) => PgPool } {
  // Now, as theirs may be made when the application is ready.
  options.tenants?.follow()
  return {
    Pool: class extends TenantPool {
      constructor() {
        super(options)
      }
    } as unknown as new (
      settings?: object,
    ) => PgPool,
  }
}
