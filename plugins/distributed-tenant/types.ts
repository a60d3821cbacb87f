// The types this plugin shares with its users: a tenant, the client that a handler gets, a row of the registry. Types only.
import type postgres from 'postgres'
import type { TenantId } from '../../events/index.js'

export type { TenantId }

/** The suffix of a tenant database: `^[a-z][a-z0-9]{0,14}$`, parsed by `parseServiceName`. */
export type ServiceName = string & { readonly __serviceName: unique symbol }

/** Identity's state of a tenant. */
export type Lifecycle = 'active' | 'suspended' | 'deleted'

/**
 * This service's own state of a tenant's database. `foreign`: its name is taken by a database that is not ours.
 * `removed`: the tenant was deleted, its retention is over and its database was dropped.
 */
export type Provisioned = 'pending' | 'ready' | 'failed' | 'foreign' | 'removed'

export type JsonObject = { [key: string]: JsonValue }
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject

/** The value of `request.tenant`. Augment {@link TenantSettings} to type `settings`. */
export interface Tenant {
  readonly id: TenantId
  readonly name: string
  /** Custom domain in lower-case ASCII, or null. */
  readonly domain: string | null
  readonly settings: TenantSettings
  /** Identity's version of this tenant; 0 while identity has not yet confirmed a bare `tenant.created`. */
  readonly version: number
}

/** The tenant's settings as identity holds them. Merge your own shape into it with `declare module`. */
export interface TenantSettings extends JsonObject {}

/** A row of the registry: this service's record of a tenant. */
export interface RegistryRow extends Tenant {
  readonly lifecycle: Lifecycle
  readonly provisioned: Provisioned
  /** The instance its database is on; `main` is the one of the central database. */
  readonly instance: string
  /** While it is moved: `frozen`: it takes no writes. `closing`: it takes no logins, until the switch. */
  readonly moving: 'copying' | 'frozen' | 'closing' | null
  /** The newest tenant migration applied to its database, null before the first. */
  readonly schemaVersion: number | null
  /** The incarnation: identity draws it at the creation. Null until identity's feed has brought it. */
  readonly incarnation: string | null
  /** The random certificate written into the database and bound to it by its comment. */
  readonly certificate: string | null
  /** Raised by the database at every change of the row, whichever process makes it. Orders cache entries. */
  readonly revision: number
  readonly attempts: number
  /** The provisioning step that ran last. */
  readonly step: string | null
  readonly lastError: string | null
  readonly nextAttemptAt: Date | null
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly readyAt: Date | null
  /** When it was deleted, by this service's clock. */
  readonly deletedAt: Date | null
  /** From when a deleted tenant's database may be dropped: set by identity, null while it has not reached us. */
  readonly purgeAfter: Date | null
}

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

/** The properties of a tenant at its creation. */
export interface NewTenant {
  /** Made from the name, with a random tail, when left out. */
  readonly id?: string | undefined
  readonly name: string
  readonly domain?: string | null | undefined
  readonly settings?: JsonObject | undefined
  /** Default active; suspended: made everywhere, served only once it is activated. */
  readonly lifecycle?: 'active' | 'suspended' | undefined
  /** The person or system that asked for it, for the event and the audit row. */
  readonly actor?: string | undefined
  /** Source only: the incarnation in the other services, when the row of a living tenant was lost. Default: drawn. */
  readonly incarnation?: string | undefined
}

/**
 * Runs in the transaction of a creation, before it: makes a repeated request end as the first one did.
 * @returns the id that an earlier request made, or null to go on and make `id`
 */
export type Once = (sql: TransactionClient, id: TenantId) => Promise<TenantId | null>

/** A change of a tenant; fields that are left out stay. */
export interface TenantPatch {
  readonly name?: string | undefined
  readonly domain?: string | null | undefined
  readonly settings?: JsonObject | undefined
}

/** The state of a tenant after its deletion is undone. */
export interface TenantRestoration {
  readonly lifecycle: 'active' | 'suspended'
  /** Null: without a domain; left out: the domain it had. */
  readonly domain?: null
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

/** Route and scope policy: `required` refuses in `onRequest`; `false` skips all; unset resolves when the request names one. */
export type TenantPolicy = 'required' | false

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
