// The log lines: which steps are logged, and at which level. A subscriber of the diagnostics channels like any other: the code
// that does the work logs nothing. A failure that repeats while a server is down is logged once per change, not once per try.

import type { FastifyBaseLogger } from 'fastify'
import { areas, highVolumeAreas, subscribe } from './channels.js'
import type { Area, PublishedStep } from './steps.js'

type EventOf<A extends Area> = Extract<PublishedStep, { area: A }>['event']
type KeyOf<E> = E extends { readonly type: infer K } ? K : E extends { readonly step: infer K } ? K : never
type OfKey<E, K> = E extends unknown ? (K extends KeyOf<E> ? E : never) : never

/** The line of each type of an area's events, and of those that are not named; without either an event has none. */
type Lines<E> = { readonly [K in KeyOf<E> & string]?: (event: OfKey<E, K>) => void } & {
  readonly other?: (event: E) => void
}

/** The subject of replies is another one for each request to NATS: a refusal of it is the same failure. */
const REPLIES = /_INBOX\.[^\s"')]+/g

/** A failure with a code is an outage that the reason names: its stack says nothing more. */
const isUnexpected = (error: unknown): boolean => error instanceof Error && !('code' in error)

const REFUSED = 'refused by NATS'

export function logSteps(log: FastifyBaseLogger, origin: object): () => void {
  /** The last failure logged per area, so that an outage is one line and its end another. */
  const trouble = new Map<string, string>()

  const logOnce = (area: string, error: unknown, message: string): void => {
    const text = error instanceof Error ? error.message : String(error)
    const same = text.replace(REPLIES, '_INBOX.…')
    if (trouble.get(area) === same) return
    trouble.set(area, same)
    log.warn({ ...(isUnexpected(error) && { err: error }), reason: text }, message)
  }
  const over = (area: string, message: string): void => {
    if (trouble.delete(area)) log.info(message)
  }
  const published = () => over('relay', 'events are published again')
  const waits = ({ error }: { readonly error: unknown }) => logOnce('relay', error, 'events wait in the outbox')
  const lost = ({ type, rows }: { readonly type: string; readonly rows: number }) =>
    log.warn({ loss: type, rows }, 'the stream has lost events; they are published again')
  const noNats = ({ error }: { readonly error: string | null }) =>
    logOnce('events', error ?? 'disconnected', 'NATS does not answer')
  const again = ({ subject, tenantId, error }: OfKey<EventOf<'events'>, 'retried' | 'dead_failed'>) =>
    log.warn({ subject, tenant: tenantId, reason: error }, 'event will be delivered again')

  const lines: { readonly [A in Area]?: Lines<EventOf<A>> } = {
    start: {
      warning: ({ message }) => log.warn(message),
      note: ({ message }) => log.info(message),
    },
    provision: {
      failed: ({ id, error }) => log.error({ err: error, tenant: id }, 'tenant not provisioned'),
      hook_failed: ({ id, error }) =>
        log.error(
          { err: error, tenant: id },
          'a function of tenants.onReady or onRemoved failed; it is not called again',
        ),
      ready: ({ id }) => log.info({ tenant: id }, 'tenant ready'),
      other: ({ step, id, ms }) => log.debug({ tenant: id, step, ms }, 'tenant provisioning step done'),
    },
    change: { other: event => log.debug(event, 'tenant change') },
    reconcile: {
      drift: ({ kind, id, action, detail }) =>
        log[action === 'repaired' ? 'warn' : 'error']({ tenant: id, kind, action }, `drift: ${detail}`),
      rewound: ({ cursor, head }) =>
        log.warn({ cursor, head }, 'identity’s feed ends earlier than it did; all of it is read'),
      identity_unreachable: ({ error }) =>
        logOnce('identity', error, 'identity does not answer; tenants are served as last known'),
      identity_back: () => over('identity', 'identity answers again'),
      pass_failed: ({ error }) => logOnce('reconcile', error, 'the registry could not be compared; it is tried again'),
      pass(event) {
        over('reconcile', 'the registry is compared again')
        log.trace(event, 'compared')
      },
      other: event => log.trace(event, 'reconcile step'),
    },
    purge: {
      removed: ({ id }) => log.info({ tenant: id }, 'database of a deleted tenant dropped'),
      other: ({ id, step }) => log.debug({ tenant: id, step }, 'purge step done'),
    },
    first_user: { other: ({ id, type }) => log.debug({ tenant: id, step: type }, 'first user step done') },
    role: {
      repaired: ({ id }) => log.info({ tenant: id }, 'tenant role repaired'),
      other: ({ type, id, error }) => log.warn({ err: error, tenant: id, step: type }, 'tenant role unusable'),
    },
    spare: {
      other({ type, error, ...rest }) {
        if (type === 'failed') logOnce('spare', error, 'spare databases cannot be made; tenants are made without them')
        else if (type === 'refused')
          log.warn({ err: error, tenant: rest.id }, 'spare database not usable; the tenant is made without it')
        else if (type === 'made') over('spare', 'spare databases are made again')
        log.debug({ ...rest, step: type }, 'spare step')
      },
    },
    listener: {
      listener_lost: ({ error }) => logOnce('listener', error, 'notifications lost'),
      listening: () => over('listener', 'notifications received again'),
    },
    cache: {
      remote_failed: ({ error }) => logOnce('cache', error, 'Redis does not answer; lookups go to the registry'),
      other: ({ type }) => log.warn({ flaw: type }, 'invalid entry in Redis ignored'),
    },
    relay: {
      published,
      looked: published,
      publish_refused: ({ error, subject }) => log.error({ err: error, subject }, 'an event was refused and set aside'),
      publish_failed: waits,
      relay_failed: waits,
      found_new: lost,
      rewound: lost,
      hole: lost,
      purged: lost,
      other: event => log.trace(event, 'relay step'),
    },
    retry: {
      breaker_opened: ({ reason }) =>
        logOnce('breaker', reason, 'PostgreSQL instance unavailable; provisioning paused'),
      breaker_closed: () => over('breaker', 'PostgreSQL instance available; provisioning resumed'),
      retry_failed: ({ error }) => logOnce('retry', error, 'tenants that are due cannot be read'),
      claimed: () => over('retry', 'tenants that are due can be read again'),
      other: event => log.debug(event, 'retry step'),
    },
    dead: {
      replay_failed: ({ id, error }) => log.warn({ dead: id, reason: error }, 'replay of a dead event failed'),
      other: event => log.debug(event, 'dead events'),
    },
    events: {
      connected({ secured }) {
        if (!secured) {
          log.warn(
            'NATS needs no login, so that any client can publish events: create users there and put this service’s into NATS_URL.',
          )
        }
        // The user may have other rights now.
        for (const area of [...trouble.keys()]) if (area.startsWith(REFUSED)) trouble.delete(area)
        over('events', 'NATS is back')
      },
      connect_failed: noNats,
      disconnected: noNats,
      server_error: ({ error }) =>
        // Each subject once: several refusals would take turns.
        logOnce(
          `${REFUSED} ${error.replace(REPLIES, '')}`,
          error,
          'NATS refused a request: compare its user with deploy/nats.conf',
        ),
      settings_differ: ({ of, differences }) =>
        differences.length > 0
          ? logOnce(
              `settings ${of}`,
              differences.join('; '),
              `settings of ${of} in NATS differ, and it is managed elsewhere`,
            )
          : over(`settings ${of}`, `settings of ${of} in NATS are right again`),
      fewer_replicas: ({ reason }) => log.warn({ reason }, 'the stream keeps the replicas it has'),
      consumer_request_failed: ({ durable, error }) =>
        log.warn({ durable, reason: error }, 'consumer of a service could not be made'),
      consume_failed: ({ durable, error }) => logOnce(`consume ${durable}`, error, 'the consumer waits'),
      consuming: ({ durable }) => over(`consume ${durable}`, 'the consumer works again'),
      dead: ({ subject, tenantId, reason }) =>
        log.error({ subject, tenant: tenantId, reason }, 'event to the dead letters'),
      parked: ({ subject, reason }) =>
        log.warn({ subject, reason }, 'event of a newer release parked until an upgrade'),
      retried: again,
      dead_failed: again,
      other: event => log.trace(event, 'event step'),
    },
    connection: {
      open_failed: ({ error, key }) => log.warn({ err: error, database: key }, 'a connection could not be opened'),
    },
  }

  function onStep({ area, event }: PublishedStep): void {
    const ofArea = lines[area] as Readonly<Record<string, (event: unknown) => void>> | undefined
    const key = 'type' in event ? event.type : 'step' in event ? event.step : 'other'
    ;(ofArea?.[key] ?? ofArea?.other)?.(event)
  }

  return subscribe(
    onStep,
    origin,
    areas.filter(area => !highVolumeAreas.has(area)),
  )
}
