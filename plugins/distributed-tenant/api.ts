// The shapes of `fastify.tenants`: its methods, and the answers about the state of the process, its connections and its tenants.
// Types only.
import type { FastifyRequest } from 'fastify'
import type { ConsumerLag } from '../../events/index.js'
import type { ConnectionCounts } from '../../postgres/reports.js'
import type {
  Lifecycle,
  NewTenant,
  Once,
  Provisioned,
  RegistryRow,
  SqlClient,
  Tenant,
  TenantId,
  TenantPatch,
  TenantRestoration,
} from './types.js'

/**
 * `fastify.tenants`: the tenants of this service, outside a request too.
 *
 * In the service that is the source of tenants (identity, or `source: true`) every change raises the tenant's version
 * and writes its event to the outbox in the same transaction. Elsewhere a change is local and identity's next state wins.
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
   * Source only: undoes a deletion, as a new version. The services read it in the feed, as no event brings a deleted
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
   * Safe to repeat. @throws TENANT_NOT_FOUND, TENANT_RETAINED, TENANT_COPY_FOLLOWS, IDENTITY_UNAVAILABLE,
   *   TENANT_DATABASE_FOREIGN
   */
  purge(id: string): Promise<RegistryRow>
  /** Runs `fn` with the tenant and a client bound to its database; the client is released when `fn` has settled. */
  run<T>(id: string, fn: (context: { tenant: Tenant; sql: SqlClient }) => T | Promise<T>): Promise<T>
  /**
   * For a library that is made once for all tenants: from now on each request and each `run` is followed for as long as its
   * code runs. Call it before the application is ready, and before hooks that need it.
   * @returns a function that returns the client of the calling code's tenant. It throws TENANT_CONTEXT_MISSING outside of any
   * request and `run`, and the error of `request.sql` in a request without a tenant
   */
  follow(): () => SqlClient
  /**
   * Calls `fn` after a tenant became ready in this service, in the process that has made it ready, with a client of its database
   * (rows, no schema). One call at a time. Once or more often for a tenant: `fn` must be repeatable. If it throws, that is logged
   * with the tenant and it is not called again; a process that ends before its turn has not called it. The tenant is served
   * meanwhile. Rows that no tenant may be without belong in a migration, which is part of becoming ready.
   */
  onReady(fn: (context: { readonly tenant: Tenant; readonly sql: SqlClient }) => unknown): void
  /** Calls `fn` after a deleted tenant's database was dropped in this service, by this process. Failures are as of `onReady`. */
  onRemoved(fn: (removed: { readonly id: TenantId }) => unknown): void
  /** The registry's row, or null for an id that this service does not know. Deleted tenants are returned as such. */
  find(id: string): Promise<RegistryRow | null>
  /** Ordered by id; `after` is the last id of the page before. `limit` defaults to 100, at most 1000. */
  list(page?: { after?: string; limit?: number; lifecycle?: Lifecycle }): Promise<RegistryRow[]>
  /** The tenant a request names, without looking it up; null when it names none. @throws the 400s of identification */
  identify(request: FastifyRequest): Promise<TenantId | null>
  /** The status of a tenant's database here, kept for 5 s; never takes a connection when the budget is exhausted. */
  probe(id: string): Promise<TenantProbe>
  /** The state of the parts that this process depends on; each part within the given deadline. */
  health(deadlineMs?: number): Promise<TenancyHealth>
  /** Counts of stored and waiting rows. One statement and one request per consumer: keep the answer some seconds. */
  figures(deadlineMs?: number): Promise<Figures>
  connectionInfo(): ConnectionInfo
  /** Identifies this instance's steps on the diagnostics channels: for `subscribe`. */
  readonly origin: object
}

export type TenantProbe =
  | 'ready'
  | 'provisioning'
  | 'failed'
  /** Its schema is behind, and such tenants are refused here. */
  | 'outdated'
  | 'suspended'
  /** It is between two instances, and is served again in a moment. */
  | 'moving'
  | 'not_found'
  | 'unavailable'
  | 'busy'
  | 'unknown'

/** `off`: not configured, so it cannot be down. */
export interface HealthPart {
  readonly status: 'up' | 'down' | 'off'
  readonly latencyMs?: number
  /** Why it is down, without secrets. */
  readonly detail?: string
}

export interface TenancyHealth {
  readonly central: HealthPart
  readonly cache: HealthPart
  readonly events: HealthPart
  /** Down while the breaker of the instance is open: new tenants wait. */
  readonly provisioning: HealthPart
  /** The instances beside the one of the central database, where there are any. */
  readonly instances?: Readonly<Record<string, HealthPart>>
  readonly connections: ConnectionInfo
}

/** Numbers that cost a query. A part without an answer within the deadline is null. */
export interface Figures {
  readonly stored: {
    readonly registry: readonly {
      readonly lifecycle: Lifecycle
      readonly provisioned: Provisioned
      readonly count: number
    }[]
    /** Ready tenants whose schema is older than this release's. */
    readonly schemaBehind: number
    /** Rows that wait in the outbox, and the age of the oldest in seconds. */
    readonly outbox: { readonly waiting: number; readonly oldestSeconds: number }
    /** Since when the tenant that has been moved for longest is being moved; 0 when none is. */
    readonly movingSeconds: number
    /** Rows that the stream will never accept. */
    readonly outboxRefused: number
    /** Set aside for an operator. */
    readonly deadEvents: number
    /** Set aside until a newer release runs, which replays them by itself. */
    readonly parkedEvents: number
    readonly spares: number
    /** The instances that are marked full: no new tenant goes there. */
    readonly fullInstances: readonly string[]
    readonly centralBytes: number
  } | null
  /** By instance: bytes of its log that slots of moves keep. One that does not answer in time is missing. */
  readonly moveSlotBytes: Readonly<Record<string, number>>
  /** By durable. One that is not there yet is null; without NATS all of it is. */
  readonly consumers: Readonly<Record<string, ConsumerLag | null>> | null
}

export interface ConnectionInfo extends ConnectionCounts {
  readonly service: string
  readonly instance: { readonly host: string; readonly port: number }
  readonly budget: number
  /** Connections opened since the start. */
  readonly opened: number
  /** Idle connections closed since the start to make room for another tenant. */
  readonly evicted: number
  /** Waits since the start that ended in TENANT_BUSY. */
  readonly refused: number
  /**
   * By name of the database: every tenant that has a connection or waits for one, and those that had one since the start
   * (of more than 10,000 the newest). `evicted`: its connections that were closed for another.
   */
  readonly tenants: Readonly<Record<string, TenantConnections>>
  /** By name of the instance; `main` is the one of the central database. */
  readonly instances: Readonly<Record<string, InstanceConnections>>
}

/** As in {@link ConnectionInfo}, of one instance. `budget`: the most of this process's that it may have. */
export interface InstanceConnections extends ConnectionCounts {
  readonly host: string
  readonly port: number
  readonly budget: number
}

/** As in {@link ConnectionInfo}, of one tenant. */
export interface TenantConnections extends ConnectionCounts {
  readonly opened: number
  readonly evicted: number
  readonly refused: number
}
