// The steps that this plugin publishes on its diagnostics channels, by area. Types only, imported by the parts that publish
// steps and by their subscribers. Durations are in milliseconds.
import type { FastifyRequest } from 'fastify'
import type { EventsReport, LifecycleKind } from '../../../events/index.js'
import type { LeaseReport, PoolReport, QueryReport } from '../../../postgres/reports.js'
import type { ServiceName, TenantId } from '../types.js'

// Connections and pool.

export type { CloseReason, LeaseReport, PoolReport, QueryReport } from '../../../postgres/reports.js'

export type PoolName = 'tenant' | 'central' | 'provisioning'

// Lookups and requests.

/** `stale`: the registry could not be read, and the last answer was served. */
export type LookupSource = 'memory' | 'remote' | 'registry' | 'stale'

export type DirectoryReport =
  | { readonly type: 'lookup'; readonly source: LookupSource; readonly found: boolean; readonly ms: number }
  | { readonly type: 'lookup_failed'; readonly ms: number }
  /** The changes of the last hour are known: older entries in Redis can be recognised. */
  | { readonly type: 'remote_trusted' }
  /** An entry in Redis was older than the revision this replica was notified of. */
  | { readonly type: 'remote_outdated' }

/**
 * `garbage`: nothing that this service has sealed. `foreign`: another tenant's or service's. `oversized`: longer than any
 * entry may be. `outdated`: right, and written too long ago, by an earlier release, or about a registry that was set back since.
 */
export type RemoteFlaw = 'garbage' | 'foreign' | 'oversized' | 'outdated'

export type RemoteReport = { type: 'remote_failed' | `remote_${RemoteFlaw}`; error?: unknown }

/** The end of a request's use of a tenant. Published while the request is at hand. */
export type AccessReport =
  /** It had a connection, `leases` times. Published when its client is released. */
  | { readonly type: 'used'; readonly request: FastifyRequest; readonly tenant: TenantId; readonly leases: number }
  /** `tenants.run` outside any request. */
  | { readonly type: 'ran'; readonly tenant: TenantId; readonly leases: number }
  /** It named a tenant, and was refused before it had a client. */
  | {
      readonly type: 'refused'
      readonly request: FastifyRequest
      readonly error: unknown
      /** The tenant it tried to reach. */
      readonly tenant: TenantId | null
      /** The tenant of its token. */
      readonly holds: TenantId | null
    }

// Provisioning.

export type ProvisionStep = 'claim' | 'database' | 'certificate' | 'rights' | 'schema' | 'ready'

export type PurgeStep = 'confirmed' | 'dropped' | 'removed'

export interface RoleReport {
  readonly type: 'login_refused' | 'repaired' | 'repair_failed'
  readonly id: TenantId
  readonly error?: unknown
}

/**
 * Published before and after each lasting effect. `failed`: making spares pauses; `interrupted`: by the process's own stop;
 * `refused`: a tenant got no spare.
 */
export interface SpareReport {
  readonly type:
    | 'making'
    | 'cloned'
    | 'certified'
    | 'made'
    | 'dropping'
    | 'dropped'
    | 'taking'
    | 'taken'
    | 'refused'
    | 'failed'
    | 'interrupted'
  readonly name?: string
  readonly id?: TenantId
  readonly error?: unknown
}

export type RetryReport =
  /** Claimed by this process, about to be tried again. */
  | { readonly type: 'claimed'; readonly ids: readonly TenantId[] }
  | { readonly type: 'done' | 'failed'; readonly id: TenantId; readonly error?: unknown }
  /** Not tried: the breaker of its instance is open. */
  | { readonly type: 'deferred'; readonly id: TenantId; readonly error: string }
  | { readonly type: 'retry_failed'; readonly error: unknown }

export type BreakerReport =
  | { readonly type: 'breaker_opened'; readonly reason: string; readonly retryInMs: number }
  | { readonly type: 'breaker_closed' }

/** `written`: all of it, in a transaction that is still to be committed. `accepted`: it is. */
export type SourceReport = {
  readonly type: 'written' | 'accepted'
  readonly kind: LifecycleKind
  readonly id: TenantId
}

/** From the transaction that accepts a tenant, published before it commits, to the removal of the stored first user. */
export type FirstUserStep = 'remembered' | 'due' | 'made' | 'forgotten'

// Events.

export interface Sent {
  readonly subject: string
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds the attempt took. */
  readonly ms: number
}

export type Loss = 'found_new' | 'rewound' | 'purged' | 'hole'

export type RelayReport =
  /** Locked for this relay, about to be sent. */
  | { readonly type: 'claimed'; readonly rows: number }
  | ({ readonly type: 'published' } & Sent)
  | ({ readonly type: 'publish_failed' | 'publish_refused'; readonly error: unknown } & Sent)
  /** The results of a batch are committed. */
  | { readonly type: 'recorded'; readonly rows: number }
  /** The stream had lost messages; `rows` wait again. */
  | { readonly type: Loss; readonly rows: number }
  | { readonly type: 'looked' }
  | { readonly type: 'swept'; readonly rows: number }
  | { readonly type: 'relay_failed'; readonly error: unknown }

export type DeadLettersReport =
  /** Stored, not yet acknowledged. */
  | { readonly type: 'kept'; readonly subject: string; readonly reason: string; readonly parked: boolean }
  | { readonly type: 'replaying' | 'replayed' | 'dropped'; readonly id: string }
  | { readonly type: 'replay_failed'; readonly id: string; readonly error: string }
  | { readonly type: 'swept'; readonly rows: number }
  | { readonly type: 'upkeep_failed'; readonly error: unknown }

/** An event before it is handled: a subscriber that traces it wraps `run`, which must be called once. */
export interface IncomingEvent {
  readonly subject: string
  readonly tenantId: TenantId
  readonly headers: Readonly<Record<string, string>>
  readonly deliveryCount: number
  run: () => Promise<void>
}

// Reconciliation.

/** `overwritten` and `repaired`: cured. `stopped`: no longer served. `reported`: needs a person. */
export interface Drift {
  readonly type: 'drift'
  readonly kind: string
  /** A tenant's id, or the name of an object without an owner. */
  readonly id: string
  readonly action: 'overwritten' | 'repaired' | 'stopped' | 'reported'
  readonly detail: string
}

export type ComparisonReport =
  | { readonly type: 'applying'; readonly count: number }
  | { readonly type: 'applied'; readonly count: number }
  /** Identity's feed ends before the last change read here: it was restored, so everything is read anew. */
  | { readonly type: 'rewound'; readonly cursor: number; readonly head: number }

export type ReconcileReport =
  | ComparisonReport
  | Drift
  | { readonly type: 'pass'; readonly everything: boolean; readonly ms: number }
  | { readonly type: 'pass_failed'; readonly error: unknown }
  /** Another replica holds the lock. */
  | { readonly type: 'skipped' }
  | { readonly type: 'identity_unreachable'; readonly error: unknown }
  | { readonly type: 'identity_back' }

// Operations: imports, moves, archives.

/** How far a tenant has come in one service; each is recorded when its work is done, those with -ing before. */
export type TransferStep =
  | 'pending'
  | 'preparing'
  | 'prepared'
  | 'freezing'
  | 'frozen'
  | 'copying'
  | 'copied'
  | 'verified'
  | 'publishing'
  | 'published'
  | 'following_up'
  | 'caught_up'
  | 'relocated'
  | 'following'
  | 'returning'
  | 'returned'
  | 'accepted'
  | 'registering'
  | 'ready'
  | 'closing'
  | 'closed'
  | 'switched'
  | 'dropped'
  | 'undoing'
  | 'failed'
  | 'undone'

/** Of a backup and a restore. `restored` is in its place and not served; `committed`: identity has it. */
export type ArchiveStep = 'dumping' | 'dumped' | 'building' | 'built' | 'pending' | 'swapped' | 'committed' | 'finished'

/** Published after a step is recorded, and between: `created` and `closed` are done and not yet recorded. */
export interface TransferReport {
  readonly type:
    | TransferStep
    | ArchiveStep
    | 'created'
    | 'closed'
    | 'restored'
    | 'handed_over'
    | 'registered'
    | 'removed'
    | 'thawed'
    | 'closed_to_writers'
    | 'replicating'
    | 'held'
    | 'quiet'
    | 'marker_applied'
  readonly id: TenantId
}

/** How a move without a freeze goes on: published about once a second while it waits. Bytes, milliseconds. */
export interface MoveProgress {
  readonly type: 'progress'
  readonly id: TenantId
  /** `copying`: done and all are bytes of the database. `following`: `lagBytes` of the log are not applied yet. */
  readonly phase: 'snapshot' | 'copying' | 'comparing' | 'following' | 'waiting' | 'switching'
  readonly done: number | null
  readonly all: number | null
  readonly lagBytes: number | null
  /** Bytes a second. */
  readonly rate: number | null
  readonly leftMs: number | null
  /** What it waits for, where it does. */
  readonly waitsFor: string | null
}

// Every step.

/** Every step, by area. Durations in milliseconds. Keys of connections are database names. */
export type Step =
  | { readonly area: 'connection'; readonly pool: PoolName; readonly event: PoolReport }
  /** Tens of thousands a second: subscribe only where each is needed. */
  | { readonly area: 'lease'; readonly pool: PoolName; readonly event: LeaseReport }
  | { readonly area: 'lookup'; readonly event: DirectoryReport }
  | { readonly area: 'access'; readonly event: AccessReport }
  | { readonly area: 'cache'; readonly event: RemoteReport }
  | { readonly area: 'listener'; readonly event: { type: 'listening' | 'listener_lost'; error?: unknown } }
  | {
      readonly area: 'provision'
      /** `hook_failed`: a function of `tenants.onReady` or `onRemoved` has thrown; the tenant is as it was. */
      readonly event: { step: ProvisionStep | 'failed' | 'hook_failed'; id: TenantId; ms: number; error?: unknown }
    }
  | { readonly area: 'change'; readonly event: SourceReport }
  | { readonly area: 'reconcile'; readonly event: ReconcileReport }
  | { readonly area: 'first_user'; readonly event: { type: FirstUserStep; id: string } }
  | { readonly area: 'purge'; readonly event: { step: PurgeStep; id: TenantId } }
  | { readonly area: 'role'; readonly event: RoleReport }
  | { readonly area: 'transfer'; readonly event: TransferReport | MoveProgress }
  | { readonly area: 'spare'; readonly event: SpareReport }
  | { readonly area: 'relay'; readonly event: RelayReport }
  | { readonly area: 'retry'; readonly event: RetryReport | BreakerReport }
  | { readonly area: 'dead'; readonly event: DeadLettersReport }
  | { readonly area: 'events'; readonly event: EventsReport }
  /** One message per statement, twice: when it is sent, in the context of the caller, and when it is over. */
  | { readonly area: 'query'; readonly pool: PoolName; readonly event: QueryReport }
  | { readonly area: 'incoming'; readonly event: IncomingEvent }
  | { readonly area: 'start'; readonly event: { type: 'warning' | 'note'; message: string } }

/** A step with its origin: several services may live in one process (tests do). */
export type PublishedStep = Step & { readonly service: ServiceName; readonly origin: object }

export type Area = Step['area']
