// Kysely's dialect over the client of a tenant: statements are PostgreSQL's own, each query takes its turn by itself, and a
// transaction is one of `sql.begin`. Nothing is to be destroyed: connections are the plugin's.
import type {
  CompiledQuery,
  DatabaseConnection,
  DatabaseIntrospector,
  Dialect,
  DialectAdapter,
  Driver,
  Kysely,
  QueryCompiler,
  QueryResult,
  TransactionSettings,
} from 'kysely'
import {
  ConfigurationInvalid,
  checkOptions,
  readAs,
  type SqlClient,
  type Tenants,
} from '../../plugins/distributed-tenant/index.js'
import { PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from './library.js'
import { Transaction } from './transaction.js'
import { codecs, parameterOf } from './values.js'

/** Whose connections: exactly one of both. */
export type TenantDialectOptions =
  | {
      /** `request.sql`, or the `sql` of tenants.run: the Kysely ends with it. */
      readonly sql: SqlClient
      readonly tenants?: never
    }
  | {
      /**
       * `fastify.tenants`, for a Kysely that lives as long as the process: each query is of the tenant whose request, or
       * `tenants.run`, asks for it. Make it before the application is ready.
       */
      readonly tenants: Pick<Tenants, 'follow'>
      readonly sql?: never
    }

const checkGiven = checkOptions<TenantDialectOptions>('TenantDialect', { sql: 'function', tenants: 'other' })

/** @example const db = new Kysely<Database>({ dialect: new TenantDialect({ sql: request.sql }) }) */
export class TenantDialect implements Dialect {
  readonly #of: () => SqlClient

  /** @throws CONFIGURATION_INVALID for none of both, or both */
  constructor(options: TenantDialectOptions) {
    checkGiven(options)
    const { sql, tenants } = options
    if (tenants ? sql : !sql) throw new ConfigurationInvalid('A TenantDialect is of `sql` or of `tenants`: pass one.')
    this.#of = tenants ? tenants.follow() : () => sql as SqlClient
  }

  /**
   * Read by MikroORM 6 alone, which takes no dialect: it would leave this one aside and open connections of its own, to
   * whatever its `host` says.
   * @throws CONFIGURATION_INVALID that names the supported range
   */
  get context(): never {
    throw new ConfigurationInvalid(
      'A TenantDialect was given to MikroORM 6, and ^7.0.0 is supported: run `npm install @mikro-orm/core@7 @mikro-orm/postgresql@7`.',
    )
  }

  createDriver(): Driver {
    return new TenantDriver(this.#of)
  }

  createQueryCompiler(): QueryCompiler {
    return new PostgresQueryCompiler()
  }

  createAdapter(): DialectAdapter {
    return new PostgresAdapter()
  }

  // biome-ignore lint/suspicious/noExplicitAny: as in Kysely
  createIntrospector(db: Kysely<any>): DatabaseIntrospector {
    return new PostgresIntrospector(db)
  }
}

class TenantDriver implements Driver {
  readonly #of: () => SqlClient

  constructor(of: () => SqlClient) {
    this.#of = of
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<TenantConnection> {
    return new TenantConnection(this.#of())
  }

  async beginTransaction(connection: TenantConnection, settings: TransactionSettings): Promise<void> {
    const { isolationLevel, accessMode } = settings
    await connection.begin(
      [isolationLevel && `isolation level ${isolationLevel}`, accessMode].filter(Boolean).join(' '),
    )
  }

  async commitTransaction(connection: TenantConnection): Promise<void> {
    await connection.commit()
  }

  async rollbackTransaction(connection: TenantConnection): Promise<void> {
    await connection.rollback()
  }

  async savepoint(connection: TenantConnection, name: string): Promise<void> {
    await connection.transaction.savepoint(name)
  }

  async rollbackToSavepoint(connection: TenantConnection, name: string): Promise<void> {
    await connection.transaction.rollbackTo(name)
  }

  async releaseSavepoint(connection: TenantConnection, name: string): Promise<void> {
    await connection.transaction.release(name)
  }

  /** A transaction that was left open is rolled back. */
  releaseConnection(connection: TenantConnection): Promise<void> {
    return connection.transacting ? connection.rollback() : released
  }

  async destroy(): Promise<void> {}
}

const released = Promise.resolve()

/** A place for one query, or one transaction. It has a connection of PostgreSQL's only while one of them runs. */
class TenantConnection implements DatabaseConnection {
  readonly #sql: SqlClient
  #transaction: Transaction | null = null

  constructor(sql: SqlClient) {
    this.#sql = sql
  }

  get transacting(): boolean {
    return this.#transaction !== null
  }

  get transaction(): Transaction {
    if (!this.#transaction) throw new ConfigurationInvalid('A savepoint is of a transaction: begin one first.')
    return this.#transaction
  }

  async begin(options: string): Promise<void> {
    this.#transaction = await Transaction.begin(this.#sql, options)
  }

  /** One that fails may be rolled back by Kysely after. */
  async commit(): Promise<void> {
    await this.#transaction?.commit()
    this.#transaction = null
  }

  async rollback(): Promise<void> {
    const transaction = this.#transaction
    this.#transaction = null
    await transaction?.rollback()
  }

  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const transaction = this.#transaction
    // Not awaited: each query of each request would cost two promises more.
    return this.#send<Row[]>(query).then(
      resultOf<Row>,
      transaction
        ? error => {
            throw transaction.reasonOf(error)
          }
        : undefined,
    )
  }

  async *streamQuery<Row>(query: CompiledQuery, chunkSize = 100): AsyncIterableIterator<QueryResult<Row>> {
    const transaction = this.#transaction
    try {
      for await (const rows of this.#send<Row[]>(query).cursor(chunkSize)) yield { rows: [...rows] as Row[] }
    } catch (error) {
      throw transaction ? transaction.reasonOf(error) : error
    }
  }

  #send<Rows extends unknown[]>({ sql, parameters }: CompiledQuery) {
    // Kysely writes each value as a parameter, so that a text comes again and is prepared then.
    const query = (this.#transaction?.sql ?? this.#sql).unsafe<Rows>(sql, parameters.map(parameterOf) as never[])
    return readAs(query, codecs)
  }
}

function resultOf<Row>(rows: Row[] & { command?: string; count?: number | null }): QueryResult<Row> {
  const { command, count } = rows
  // Of a text with several statements, as in `pg`.
  if (command === undefined) return { rows: [] }
  if (changes.has(command)) return { rows: [...rows], numAffectedRows: BigInt(count ?? 0) }
  return { rows: [...rows] }
}

const changes: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])
