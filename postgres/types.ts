// The types of a client of one database, as a handler gets it: queries, transactions, sessions, notifications. Types only.
import type postgres from 'postgres'

/**
 * How the values of one client are read and written, by the type's oid: an ORM writes its own functions into them. They are
 * this client's alone, and its transactions'. The other options of `postgres` are absent.
 */
export type ClientOptions = {
  readonly [Name in keyof postgres.ParsedOptions]: Name extends 'parsers' | 'serializers'
    ? postgres.ParsedOptions[Name]
    : never
}

/**
 * Tagged queries, fragments, `sql(rows)`, `sql.json`, `sql.array`, `sql.typed`, `sql.unsafe`, `sql.file`, `sql.notify`,
 * as in `postgres`. `unsafe` and any statement that may leave state behind get a connection of their own, which is reset if they may
 * have left something.
 */
export interface QueryClient extends postgres.ISql {
  /** A cursor's function returns it to end the reading. */
  readonly CLOSE: postgres.Sql['CLOSE']
  readonly END: postgres.Sql['CLOSE']
  readonly PostgresError: typeof postgres.PostgresError
}

/** The result of `begin`: an array of promises is awaited as one, as in `postgres`. */
export type Settled<T> = T extends readonly unknown[] ? { [Index in keyof T]: Awaited<T[Index]> } : Awaited<T>

/** The client inside `sql.begin`: its statements run on the transaction's connection. */
export interface TransactionClient extends QueryClient {
  readonly options: ClientOptions
  savepoint<T>(fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
  savepoint<T>(name: string, fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
  /** Refused: it would outlive the request. */
  readonly prepare: never
}

/**
 * A client bound to one database: `request.sql`, `fastify.central`, and the client of `tenants.run`.
 * Lazy: no query, no connection. After its scope is over every call rejects with `TENANT_CLIENT_RELEASED`.
 * Refused on purpose: `listen`, `subscribe`, `reserve`, `end`, `close`, `largeObject`; their errors name the reason. To a library
 * it is a `postgres.Sql`.
 */
export interface SqlClient extends QueryClient {
  readonly options: ClientOptions
  readonly listen: never
  readonly subscribe: never
  readonly reserve: never
  readonly end: never
  readonly largeObject: never
  readonly parameters: never
  /** A transaction on a connection of its own. `options` as in PostgreSQL's BEGIN: `read only`, `isolation level serializable`. */
  begin<T>(fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
  begin<T>(options: string, fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
}

/** Statements on one connection, with transactions on that same connection. */
export interface SessionClient extends QueryClient {
  begin<T>(fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
}

/** A connection held by a library that begins and ends transactions in its own statements: see `leaseSession`. */
export interface SessionLease {
  /**
   * Its statements, `begin` and `commit` as text included, all run on this connection, in order. Several in one text are one
   * transaction. After the end they reject with TENANT_CLIENT_RELEASED; a connection lost during `commit` is
   * TENANT_COMMIT_UNKNOWN.
   */
  readonly sql: QueryClient
  /** True between a `begin` and its end by statements of this lease. */
  readonly inTransaction: boolean
  /** Calls back once when the connection is lost or its scope is over, at once if it is; returns the function that unsubscribes. */
  onLost(onError: (error: unknown) => void): () => void
  /** Gives the connection back, reset if statements may have left state behind; `close` never uses it again. Safe to call twice. */
  release(how?: 'reuse' | 'close'): void
}

/**
 * Subscriptions to `NOTIFY` on the central database. A lost connection is opened again: `onLost` is called at once, as
 * notifications may be lost from then on, and `onReset` when it is back, as some were.
 */
export interface Notifications {
  subscribe(
    channel: string,
    onPayload: (payload: string) => void,
    onReset?: () => void,
    onLost?: () => void,
  ): () => void
}
