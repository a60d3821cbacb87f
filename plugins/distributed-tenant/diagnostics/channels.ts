// The diagnostics channels on which every step is published, one for each area. Metrics, traces, logs, consoles and tests
// subscribe; no code that does the work counts, logs or traces. A step without a subscriber costs one check, and a subscriber
// of the rare steps does not make the frequent ones (`lease`, `lookup`, `query`, `access`) cost anything.

import { type Channel, channel } from 'node:diagnostics_channel'
import { guarded } from '../../../timing/timers.js'
import type { ServiceName } from '../types.js'
import type { Area, PublishedStep, Step } from './steps.js'

/** Every area, and those that publish steps with every request. */
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
  'incoming',
  'start',
] as const satisfies readonly Area[]
export const highVolumeAreas: ReadonlySet<Area> = new Set<Area>(['lease', 'lookup', 'query', 'access'])

/** The name of an area's channel: `distributed-tenant:<area>`. */
export const channelName = (area: Area): string => `distributed-tenant:${area}`

const channels = Object.fromEntries(areas.map(area => [area, channel(channelName(area))])) as Record<Area, Channel>

export interface PublishStep {
  (step: Step): void
  /** Whether the area has a subscriber: checked before a frequent step is built. */
  hasSubscribers(area: Area): boolean
}

export function createStepPublisher(service: ServiceName, origin: object): PublishStep {
  const publish = (step: Step): void => {
    const to = channels[step.area]
    if (!to.hasSubscribers) return
    // Spelled out: a spread of the same costs 1.5 µs instead of 5 ns (measured), which a request pays several times.
    const { area, event } = step
    to.publish({ area, pool: 'pool' in step ? step.pool : undefined, event, service, origin })
  }
  return Object.assign(publish, { hasSubscribers: (area: Area) => channels[area].hasSubscribers })
}

/**
 * Subscribes to the steps of one origin, or of all.
 * @param of the areas; default all of them. Leave the frequent ones out where they are not needed.
 * @returns the function that unsubscribes
 */
export function subscribe(
  onStep: (step: PublishedStep) => void,
  origin?: object,
  of: Iterable<Area> = areas,
): () => void {
  const listener = (message: unknown): void => {
    const published = message as PublishedStep
    if (origin === undefined || published.origin === origin) guarded(() => onStep(published))
  }
  const chosen = [...of].map(area => channels[area])
  for (const one of chosen) one.subscribe(listener)
  return () => {
    for (const one of chosen) one.unsubscribe(listener)
  }
}
