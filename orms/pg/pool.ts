// Owns `pg`'s pool over a tenant's connections: nothing rests in it, as each connection is a lease that goes back to the
// plugin's own pool at its release. `pool.query` needs no lease of a session: it is one statement of the tenant's client.
import type { CustomTypesConfig, Pool as PgPool, PoolConfig } from 'pg'
import {
  ConfigurationInvalid,
  checkOptions,
  type QueryClient,
  type SqlClient,
  TenantStatementRefused,
  type Tenants,
} from '../../plugins/distributed-tenant/index.js'
import { LeasedClient } from './client.js'
import { pg } from './library.js'
import { Wire } from './wire.js'

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

/** Of one query, which needs no session. */
class StatementWire extends Wire {
  protected readonly status = 'I'
  readonly #sql: () => SqlClient
  readonly #query: Handlers

  constructor(sql: () => SqlClient, query: Handlers) {
    super()
    this.#sql = sql
    this.#query = query
  }

  protected client(): QueryClient {
    return this.#sql()
  }

  protected async several(): Promise<void> {
    throw new TenantStatementRefused('several statements', 'use a client of pool.connect()')
  }

  /** Its parameters cannot be written: `pg` itself fails the query, which comes to no other end. */
  override close(): void {
    this.over = true
  }

  protected deliver(name: string, message: object): void {
    const query = this.#query
    if (name === 'dataRow') query.handleDataRow(message)
    else if (name === 'rowDescription') query.handleRowDescription(message)
    else if (name === 'commandComplete') query.handleCommandComplete(message, this)
    else if (name === 'errorMessage') {
      this.over = true
      query.handleError(message, this)
    } else if (name === 'readyForQuery') query.handleReadyForQuery(this)
  }
}

/** What a query of `pg` does with the server's messages. */
interface Handlers {
  callback?: ((error: unknown, result?: unknown) => void) | undefined
  _result?: { _types?: unknown }
  submit(wire: Wire): Error | null
  handleRowDescription(message: object): void
  handleDataRow(message: object): void
  handleCommandComplete(message: object, wire: Wire): void
  handleError(error: unknown, wire: Wire): void
  handleReadyForQuery(wire: Wire): void
}

const checkSpelling = checkOptions<PoolOptions>('Pool', {
  sql: true,
  tenants: true,
  types: true,
  max: true,
  connectionTimeoutMillis: true,
  onConnect: true,
  query_timeout: true,
})

/** Their listeners are given a client. */
const ofClients = ['connect', 'acquire', 'release', 'remove'] as const

class TenantPool extends pg.Pool {
  readonly #of: () => SqlClient
  readonly #types: unknown
  /** Options that concern each connection: every query then goes through a client. */
  readonly #clients: boolean

  constructor(given: PoolOptions) {
    checkSpelling(given)
    const { sql, tenants, types, ...options } = given
    if (tenants ? sql : !sql) throw new ConfigurationInvalid('A Pool is of `sql` or of `tenants`: pass one of them.')
    // A queue of `pg` serves a waiting query in the async context of the release before it.
    if (tenants && options.max !== undefined) {
      throw new ConfigurationInvalid(
        'A Pool of `tenants` has no `max`: DISTRIBUTED_MAX_CONNECTIONS is the limit of all.',
      )
    }
    const of = tenants ? tenants.follow() : () => sql as SqlClient
    // One use: the plugin's pool is where connections rest.
    super({
      ...options,
      max: options.max ?? Number.MAX_SAFE_INTEGER,
      of,
      types,
      Client: LeasedClient,
      maxUses: 1,
      ssl: false,
    } as unknown as PoolConfig)
    this.#of = of
    this.#types = types && new pg.TypeOverrides(types as never)
    this.#clients = Boolean(options.onConnect ?? options.query_timeout)
    // Of a connection that rests, as none does here: without a listener it would end the process.
    this.on('error', () => {})
    this.on('release', (error, client) => {
      if (error) (client as unknown as LeasedClient).spoil()
    })
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

  /** One listener for releases is ours. */
  #watched(): boolean {
    return ofClients.some(event => this.listenerCount(event) > (event === 'release' ? 1 : 0))
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
