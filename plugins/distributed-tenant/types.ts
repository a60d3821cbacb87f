// Owns the words this plugin shares with its users: what a tenant is, what a handler gets, what a registry row holds.
// Types only: nothing here runs.
import type { FastifyRequest } from 'fastify'
import type postgres from 'postgres'
import type { TenantId } from '../../events/index.js'
import type { ConnectionInfo, Figures, TenancyHealth, TenantProbe } from './reports.js'

export type { TenantId }

/** The suffix of a tenant database: `^[a-z][a-z0-9]{0,14}$`, parsed by `parseServiceName`. */
export type ServiceName = string & { readonly __serviceName: unique symbol }

/** Identity's word about a tenant. */
export type Lifecycle = 'active' | 'suspended' | 'deleted'

/**
 * Our own word about a tenant's database in this service. `foreign`: its name is taken by a database that is not ours.
 * `removed`: the tenant was deleted, its retention is over and its database was dropped.
 */
export type Provisioned = 'pending' | 'ready' | 'failed' | 'foreign' | 'removed'

export type JsonObject = { [key: string]: JsonValue }
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject

/** What a handler sees as `request.tenant`. Augment {@link TenantSettings} to type `settings`. */
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

/** A row of the registry: what this service knows about a tenant. */
export interface RegistryRow extends Tenant {
  readonly lifecycle: Lifecycle
  readonly provisioned: Provisioned
  /** The instance its database is on; `main` is the one of the central database. */
  readonly instance: string
  /** While it is moved: `frozen`: it takes no writes. `closing`: nobody is let in, until the switch. */
  readonly moving: 'frozen' | 'closing' | null
  /** The newest tenant migration applied to its database, null before the first. */
  readonly schemaVersion: number | null
  /** The random certificate written into the database and bound to it by its comment. */
  readonly certificate: string | null
  /** Raised by the database at every change of the row, whoever makes it. Orders cache entries. */
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
  /** From when a deleted tenant's database may be dropped: identity's word, null while it has not reached us. */
  readonly purgeAfter: Date | null
}

/**
 * Tagged queries, fragments, `sql(rows)`, `sql.json`, `sql.array`, `sql.typed`, `sql.unsafe`, `sql.file`, `sql.notify`,
 * as in `postgres`. `unsafe` and whatever may leave state behind get a connection of their own, which is reset after.
 */
export interface QueryClient extends postgres.ISql {
  /** What a cursor's function returns when it wants no more rows. */
  readonly CLOSE: postgres.Sql['CLOSE']
  readonly END: postgres.Sql['CLOSE']
  readonly PostgresError: typeof postgres.PostgresError
}

/** What `begin` resolves with: an array of promises is awaited as one, as in `postgres`. */
export type Settled<T> = T extends readonly unknown[] ? { [Index in keyof T]: Awaited<T[Index]> } : Awaited<T>

/** The client inside `sql.begin`: its statements run on the transaction's connection. */
export interface TransactionClient extends QueryClient {
  savepoint<T>(fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
  savepoint<T>(name: string, fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
}

/**
 * A client bound to one database: `request.sql`, `fastify.central`, and what `tenants.run` hands over.
 * Lazy: no query, no connection. After its scope is over every call rejects with `TENANT_CLIENT_RELEASED`.
 * Absent on purpose: `listen`, `subscribe`, `reserve`, `end`, `close`, `largeObject`; calling one says why.
 */
export interface SqlClient extends QueryClient {
  /** A transaction on a connection of its own. `options` as in PostgreSQL's BEGIN: `read only`, `isolation level serializable`. */
  begin<T>(fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
  begin<T>(options: string, fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
}

/** What can be said when a tenant is made. */
export interface NewTenant {
  /** Made from the name, with a random tail, when left out. */
  readonly id?: string | undefined
  readonly name: string
  readonly domain?: string | null | undefined
  readonly settings?: JsonObject | undefined
  /** Default active; suspended: made everywhere, served only once it is activated. */
  readonly lifecycle?: 'active' | 'suspended' | undefined
  /** Who asked for it, for the event and the audit row. */
  readonly actor?: string | undefined
}

/**
 * Runs in the transaction of a creation, before it: makes a repeated request end as the first one did.
 * @returns the id that an earlier request made, or null to go on and make `id`
 */
export type Once = (sql: TransactionClient, id: TenantId) => Promise<TenantId | null>

/** What can be changed about a tenant; what is left out stays. */
export interface TenantPatch {
  readonly name?: string | undefined
  readonly domain?: string | null | undefined
  readonly settings?: JsonObject | undefined
}

/** How a deleted tenant comes back. */
export interface TenantRestoration {
  readonly lifecycle: 'active' | 'suspended'
  /** Null when it shall come back without one; left out: the one it had. */
  readonly domain?: null
}

/**
 * `fastify.tenants`: the tenants of this service, outside a request too.
 *
 * In the service that is the source of tenants (identity, or `source: true`) every change raises the tenant's version
 * and writes its event to the outbox in the same transaction. Elsewhere a change is local and identity's next word wins.
 */
export interface Tenants {
  /**
   * Source: registers the tenant (version 1) and its `tenant.created`; provisioning follows by event.
   * Elsewhere: registers and provisions it in this service's instance and returns when it is ready; idempotent.
   * `once` is for the source only.
   * @throws TENANT_ID_INVALID, TENANT_ID_RESERVED, TENANT_ID_TAKEN, TENANT_DOMAIN_TAKEN
   */
  create(tenant: NewTenant, once?: Once): Promise<RegistryRow>
  /** Source only. @throws TENANT_NOT_FOUND, TENANT_DOMAIN_TAKEN */
  update(id: string, patch: TenantPatch, actor?: string): Promise<RegistryRow>
  /** @throws TENANT_NOT_FOUND */
  suspend(id: string, actor?: string): Promise<RegistryRow>
  activate(id: string, actor?: string): Promise<RegistryRow>
  /** Refuses the tenant from now on; its database is kept for the retention time. */
  remove(id: string, actor?: string): Promise<RegistryRow>
  /**
   * Source only: takes a deletion back, as a new version. The services hear it by the feed, as no event brings a deleted
   * tenant back. Databases that were dropped are not made again: `distributed-tenant restore` puts them there first.
   * @throws TENANT_NOT_FOUND unless it is deleted, TENANT_DOMAIN_TAKEN
   */
  restore(id: string, how: TenantRestoration, actor?: string): Promise<RegistryRow>
  /**
   * Source: raises the version without a change, so that every service that is not ready tries at once.
   * Elsewhere: provisions it here, now. @throws TENANT_NOT_FOUND
   */
  retry(id: string, actor?: string): Promise<RegistryRow>
  /**
   * Drops a deleted tenant's database in this service, if identity confirms that it is deleted and its retention over.
   * Safe to repeat. @throws TENANT_NOT_FOUND, TENANT_RETAINED, IDENTITY_UNAVAILABLE, TENANT_DATABASE_FOREIGN
   */
  purge(id: string): Promise<RegistryRow>
  /** Runs `fn` with the tenant and a client bound to its database; the client is dead when `fn` has settled. */
  run<T>(id: string, fn: (context: { tenant: Tenant; sql: SqlClient }) => T | Promise<T>): Promise<T>
  /** The registry's row, or null for an id this service never heard of. Deleted tenants are returned as such. */
  find(id: string): Promise<RegistryRow | null>
  /** Ordered by id; `after` is the last id of the page before. `limit` defaults to 100, at most 1000. */
  list(page?: { after?: string; limit?: number; lifecycle?: Lifecycle }): Promise<RegistryRow[]>
  /** The tenant a request names, without looking it up; null when it names none. @throws the 400s of identification */
  identify(request: FastifyRequest): Promise<TenantId | null>
  /** One word about a tenant's database here, kept for 5 s; never takes a connection when the budget is spent. */
  probe(id: string): Promise<TenantProbe>
  /** The state of what this process stands on; each part within the given deadline. */
  health(deadlineMs?: number): Promise<TenancyHealth>
  /** Counts of what is stored and of what waits. One statement and one look per consumer: keep the answer some seconds. */
  figures(deadlineMs?: number): Promise<Figures>
  connectionInfo(): ConnectionInfo
  /** What marks this instance's steps on the diagnostics channels: for `hear`. */
  readonly origin: object
}

/**
 * Hears `NOTIFY` on the central database. A lost connection is made again: `onLost` says at once that words may be missed,
 * `onReset` that they are heard again, and that some were missed.
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
