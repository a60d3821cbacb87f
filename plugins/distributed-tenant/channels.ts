// Owns the one diagnostics channel on which every step is told. Metrics, traces, logs, consoles and tests subscribe; no
// code that does the work counts, logs or traces. Costs one check while nobody listens.
import { channel } from 'node:diagnostics_channel'
import type { EventsReport } from '../../events/index.js'
import type { PoolReport } from './connections/pool.js'
import type { DirectoryReport } from './directory/directory.js'
import type { ProvisionStep } from './provisioning/provisioner.js'
import type { ServiceName, TenantId } from './types.js'

export const CHANNEL = 'distributed-tenant'
const steps = channel(CHANNEL)

/** What is told, by area. Durations in milliseconds. Keys of connections are database names. */
export type Step =
  | { readonly area: 'connection'; readonly pool: 'tenant' | 'central' | 'provisioning'; readonly event: PoolReport }
  | { readonly area: 'lookup'; readonly event: DirectoryReport }
  | { readonly area: 'cache'; readonly event: { type: 'remote_failed' | 'remote_garbage'; error?: unknown } }
  | { readonly area: 'listener'; readonly event: { type: 'listening' | 'listener_lost'; error?: unknown } }
  | {
      readonly area: 'provision'
      readonly event: { step: ProvisionStep | 'failed'; id: TenantId; ms: number; error?: unknown }
    }
  | { readonly area: 'relay'; readonly event: { type: string; subject?: string; error?: unknown } }
  | { readonly area: 'events'; readonly event: EventsReport }
  | { readonly area: 'start'; readonly event: { type: 'warning' | 'note'; message: string } }

/** A step with its origin: several services may live in one process (tests do). */
export type Told = Step & { readonly service: ServiceName; readonly origin: object }

export type Tell = (step: Step) => void

export function createTell(service: ServiceName, origin: object): Tell {
  return step => {
    if (steps.hasSubscribers) steps.publish({ ...step, service, origin })
  }
}

/** Hears every step of one origin, or of all. @returns how to stop */
export function hear(onStep: (step: Told) => void, origin?: object): () => void {
  const listener = (message: unknown): void => {
    const told = message as Told
    if (origin === undefined || told.origin === origin) onStep(told)
  }
  steps.subscribe(listener)
  return () => steps.unsubscribe(listener)
}
