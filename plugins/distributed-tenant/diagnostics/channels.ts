// Owns the diagnostics channels on which every step is told, one for each area. Metrics, traces, logs, consoles and tests
// subscribe; no code that does the work counts, logs or traces. What nobody listens to costs one look per step, and whoever
// wants the rare steps does not make the frequent ones (`lease`, `lookup`, `query`, `access`) cost anything.
import { type Channel, channel } from 'node:diagnostics_channel'
import type { FastifyRequest } from 'fastify'
import type { EventsReport } from '../../../events/index.js'
import type { TransferReport } from '../../../operations/copying/parts.js'
import type { RoleReport } from '../databases/mender.js'
import type { SpareReport } from '../databases/spares.js'
import type { DirectoryReport } from '../directory/directory.js'
import type { RemoteReport } from '../directory/redis-cache.js'
import type { BreakerReport } from '../instances/breaker.js'
import type { LeaseReport, PoolReport } from '../pool/pool.js'
import type { RetryReport } from '../provisioning/attempt.js'
import type { RelayReport } from '../provisioning/outbox-relay.js'
import type { ProvisionStep } from '../provisioning/provisioner.js'
import type { PurgeStep } from '../provisioning/purge.js'
import type { SourceReport } from '../provisioning/tenant-source.js'
import type { ReconcileReport } from '../reconciliation/reconciler.js'
import type { DeadLettersReport } from '../registry/dead-letters.js'
import type { QueryReport } from '../sql/connection-use.js'
import type { ServiceName, TenantId } from '../types.js'

/** How a request's business with a tenant ended. Told while the request is at hand. */
export type AccessReport =
  /** It had a connection, `leases` times. Told when its client's life is over. */
  | { readonly type: 'used'; readonly request: FastifyRequest; readonly tenant: TenantId; readonly leases: number }
  /** `tenants.run` outside any request. */
  | { readonly type: 'ran'; readonly tenant: TenantId; readonly leases: number }
  /** It named a tenant, and was refused before it had a client. */
  | {
      readonly type: 'refused'
      readonly request: FastifyRequest
      readonly error: unknown
      /** The one it tried to reach. */
      readonly tenant: TenantId | null
      /** The one its token is for. */
      readonly holds: TenantId | null
    }

export type PoolName = 'tenant' | 'central' | 'provisioning'

/** From the transaction that accepts a tenant, told before it commits, to the end of what was remembered. */
export type FirstUserStep = 'remembered' | 'due' | 'made' | 'forgotten'

/** What is told, by area. Durations in milliseconds. Keys of connections are database names. */
export type Step =
  | { readonly area: 'connection'; readonly pool: PoolName; readonly event: PoolReport }
  /** Tens of thousands a second: listened to only by who needs each. */
  | { readonly area: 'lease'; readonly pool: PoolName; readonly event: LeaseReport }
  | { readonly area: 'lookup'; readonly event: DirectoryReport }
  | { readonly area: 'access'; readonly event: AccessReport }
  | { readonly area: 'cache'; readonly event: RemoteReport }
  | { readonly area: 'listener'; readonly event: { type: 'listening' | 'listener_lost'; error?: unknown } }
  | {
      readonly area: 'provision'
      readonly event: { step: ProvisionStep | 'failed'; id: TenantId; ms: number; error?: unknown }
    }
  | { readonly area: 'change'; readonly event: SourceReport }
  | { readonly area: 'reconcile'; readonly event: ReconcileReport }
  | { readonly area: 'first_user'; readonly event: { type: FirstUserStep; id: string } }
  | { readonly area: 'purge'; readonly event: { step: PurgeStep; id: TenantId } }
  | { readonly area: 'role'; readonly event: RoleReport }
  | { readonly area: 'transfer'; readonly event: TransferReport }
  | { readonly area: 'spare'; readonly event: SpareReport }
  | { readonly area: 'relay'; readonly event: RelayReport }
  | { readonly area: 'retry'; readonly event: RetryReport | BreakerReport }
  | { readonly area: 'dead'; readonly event: DeadLettersReport }
  | { readonly area: 'events'; readonly event: EventsReport }
  /** One message per statement, twice: when it is sent, in the context of who asks, and when it is over. */
  | { readonly area: 'query'; readonly pool: PoolName; readonly event: QueryReport }
  | { readonly area: 'arrival'; readonly event: Arrival }
  | { readonly area: 'start'; readonly event: { type: 'warning' | 'note'; message: string } }

/** An event is about to be written down, in the context of what caused it: who carries something along adds headers. */
export interface Departure {
  readonly subject: string
  readonly tenantId: TenantId
  readonly headers: Record<string, string>
}

/** An event is about to be handled: who follows it puts itself around `run`, which must be run once. */
export interface Arrival {
  readonly subject: string
  readonly tenantId: TenantId
  readonly headers: Readonly<Record<string, string>>
  readonly deliveryCount: number
  run: () => Promise<void>
}

/** A step with its origin: several services may live in one process (tests do). */
export type Told = Step & { readonly service: ServiceName; readonly origin: object }

export type Area = Step['area']

/** Every area, and those whose steps come with every request. */
export const areas = [
  'connection',
  'lease',
  'lookup',
  'access',
  'cache',
  'listener',
  'provision',
  'change',
  'reconcile',
  'purge',
  'first_user',
  'role',
  'transfer',
  'spare',
  'relay',
  'retry',
  'dead',
  'events',
  'query',
  'arrival',
  'start',
] as const satisfies readonly Area[]
export const frequent: ReadonlySet<Area> = new Set<Area>(['lease', 'lookup', 'query', 'access'])

/** The name of an area's channel: `distributed-tenant:<area>`. */
export const channelName = (area: Area): string => `distributed-tenant:${area}`

const channels = Object.fromEntries(areas.map(area => [area, channel(channelName(area))])) as Record<Area, Channel>

const departures = channel('distributed-tenant:departure')

/** Lets whoever listens add headers to an event before it is written. Of no origin: what is carried is the caller's context. */
export function carry(departure: Departure): void {
  if (departures.hasSubscribers) departures.publish(departure)
}

/** @returns how to stop */
export function onDeparture(add: (departure: Departure) => void): () => void {
  const listener = (message: unknown): void => add(message as Departure)
  departures.subscribe(listener)
  return () => departures.unsubscribe(listener)
}

export interface Tell {
  (step: Step): void
  /** Whether anybody listens: asked before a frequent step is put into words. */
  heard(area: Area): boolean
}

export function createTell(service: ServiceName, origin: object): Tell {
  const tell = (step: Step): void => {
    const to = channels[step.area]
    if (!to.hasSubscribers) return
    // Spelled out: a spread of the same costs 1.5 µs instead of 5 ns (measured), which a request pays several times.
    const { area, event } = step
    to.publish({ area, pool: 'pool' in step ? step.pool : undefined, event, service, origin })
  }
  return Object.assign(tell, { heard: (area: Area) => channels[area].hasSubscribers })
}

/**
 * Hears the steps of one origin, or of all.
 * @param of the areas to listen to; default all of them. Leave the frequent ones out where they are not needed.
 * @returns how to stop
 */
export function hear(onStep: (step: Told) => void, origin?: object, of: Iterable<Area> = areas): () => void {
  const listener = (message: unknown): void => {
    const told = message as Told
    if (origin === undefined || told.origin === origin) onStep(told)
  }
  const chosen = [...of].map(area => channels[area])
  for (const one of chosen) one.subscribe(listener)
  return () => {
    for (const one of chosen) one.unsubscribe(listener)
  }
}
