// Owns the diagnostics channels on which every step is told, one for each area. Metrics, traces, logs, consoles and tests
// subscribe; no code that does the work counts, logs or traces. What nobody listens to costs one look per step, and whoever
// wants the rare steps does not make the frequent ones (`lease`, `lookup`) cost anything.
import { type Channel, channel } from 'node:diagnostics_channel'
import type { EventsReport } from '../../events/index.js'
import type { LeaseReport, PoolReport } from './connections/pool.js'
import type { DirectoryReport } from './directory/directory.js'
import type { ProvisionStep } from './provisioning/provisioner.js'
import type { ServiceName, TenantId } from './types.js'

export type PoolName = 'tenant' | 'central' | 'provisioning'

/** What is told, by area. Durations in milliseconds. Keys of connections are database names. */
export type Step =
  | { readonly area: 'connection'; readonly pool: PoolName; readonly event: PoolReport }
  /** Tens of thousands a second: listened to only by who needs each. */
  | { readonly area: 'lease'; readonly pool: PoolName; readonly event: LeaseReport }
  | { readonly area: 'lookup'; readonly event: DirectoryReport }
  | { readonly area: 'cache'; readonly event: { type: 'remote_failed' | 'remote_garbage'; error?: unknown } }
  | { readonly area: 'listener'; readonly event: { type: 'listening' | 'listener_lost'; error?: unknown } }
  | {
      readonly area: 'provision'
      readonly event: { step: ProvisionStep | 'failed'; id: TenantId; ms: number; error?: unknown }
    }
  | { readonly area: 'relay'; readonly event: { type: string; subject?: string; error?: unknown } }
  | { readonly area: 'events'; readonly event: EventsReport }
  /** A request that may not act for the tenant it names: what its token says is another. */
  | { readonly area: 'access'; readonly event: { type: 'forbidden'; requestId: string; address: string } }
  | { readonly area: 'start'; readonly event: { type: 'warning' | 'note'; message: string } }

/** A step with its origin: several services may live in one process (tests do). */
export type Told = Step & { readonly service: ServiceName; readonly origin: object }

export type Area = Step['area']

/** Every area, and those whose steps come with every request. */
export const areas = [
  'connection',
  'lease',
  'lookup',
  'cache',
  'listener',
  'provision',
  'relay',
  'events',
  'access',
  'start',
] as const satisfies readonly Area[]
export const frequent: ReadonlySet<Area> = new Set<Area>(['lease', 'lookup'])

/** The name of an area's channel: `distributed-tenant:<area>`. */
export const channelName = (area: Area): string => `distributed-tenant:${area}`

const channels = Object.fromEntries(areas.map(area => [area, channel(channelName(area))])) as Record<Area, Channel>

export interface Tell {
  (step: Step): void
  /** Whether anybody listens: asked before a frequent step is put into words. */
  heard(area: Area): boolean
}

export function createTell(service: ServiceName, origin: object): Tell {
  const tell = (step: Step): void => {
    const to = channels[step.area]
    if (to.hasSubscribers) to.publish({ ...step, service, origin })
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
