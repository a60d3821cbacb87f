// The types this plugin shares with its users: a tenant, a row of the registry, and the client that a handler gets. Types only.
import type { TenantId } from '../../events/index.js'
import type { TransactionClient } from '../../postgres/types.js'

export type {
  ClientOptions,
  Notifications,
  QueryClient,
  SessionClient,
  SessionLease,
  Settled,
  SqlClient,
  TransactionClient,
} from '../../postgres/types.js'
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
  /** Frozen, in depth: handlers share it. */
  readonly settings: Readonly<TenantSettings>
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

/** Route and scope policy: `required` refuses in `onRequest`; `false` skips all; unset resolves when the request names one. */
export type TenantPolicy = 'required' | false
