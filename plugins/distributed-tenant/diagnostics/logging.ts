// The log lines: which steps are logged, and at which level. A subscriber of the diagnostics channels like any other: the code
// that does the work logs nothing. A failure that repeats while a server is down is logged once per change, not once per try.

import type { FastifyBaseLogger } from 'fastify'
import { areas, highVolumeAreas, subscribe } from './channels.js'
import type { PublishedStep } from './steps.js'

export function logSteps(log: FastifyBaseLogger, origin: object): () => void {
  /** The last failure logged per area, so that an outage is one line and its end another. */
  const trouble = new Map<string, string>()

  const logOnce = (area: string, error: unknown, message: string): void => {
    const text = error instanceof Error ? error.message : String(error)
    if (trouble.get(area) === text) return
    trouble.set(area, text)
    log.warn({ err: error instanceof Error ? error : undefined, reason: text }, message)
  }
  const over = (area: string, message: string): void => {
    if (trouble.delete(area)) log.info(message)
  }

  return subscribe(
    published => onStep(published),
    origin,
    areas.filter(area => !highVolumeAreas.has(area)),
  )

  function onStep(published: PublishedStep): void {
    switch (published.area) {
      case 'start':
        log[published.event.type === 'warning' ? 'warn' : 'info'](published.event.message)
        return
      case 'provision': {
        const { step, id, ms, error } = published.event
        if (step === 'failed') log.error({ err: error, tenant: id }, 'tenant not provisioned')
        else if (step === 'ready') log.info({ tenant: id }, 'tenant ready')
        else log.debug({ tenant: id, step, ms }, 'tenant provisioning step done')
        return
      }
      case 'change':
        log.debug(published.event, 'tenant change')
        return
      case 'reconcile':
        onReconcile(published.event)
        return
      case 'purge':
        if (published.event.step === 'removed')
          log.info({ tenant: published.event.id }, 'database of a deleted tenant dropped')
        else log.debug({ tenant: published.event.id, step: published.event.step }, 'purge step done')
        return
      case 'first_user':
        log.debug({ tenant: published.event.id, step: published.event.type }, 'first user step done')
        return
      case 'role': {
        const { type, id, error } = published.event
        if (type === 'repaired') log.info({ tenant: id }, 'tenant role repaired')
        else log.warn({ err: error, tenant: id, step: type }, 'tenant role unusable')
        return
      }
      case 'spare': {
        const { type, error, ...rest } = published.event
        if (type === 'failed') logOnce('spare', error, 'spare databases cannot be made; tenants are made without them')
        else if (type === 'refused')
          log.warn({ err: error, tenant: rest.id }, 'spare database not usable; the tenant is made without it')
        else if (type === 'made') over('spare', 'spare databases are made again')
        log.debug({ ...rest, step: type }, 'spare step')
        return
      }
      case 'listener':
        if (published.event.type === 'listener_lost') logOnce('listener', published.event.error, 'notifications lost')
        else over('listener', 'notifications received again')
        return
      case 'cache':
        if (published.event.type !== 'remote_failed') {
          log.warn({ flaw: published.event.type }, 'invalid entry in Redis ignored')
        } else logOnce('cache', published.event.error, 'Redis does not answer; lookups go to the registry')
        return
      case 'relay':
        onRelay(published.event)
        return
      case 'retry':
        onRetry(published.event)
        return
      case 'dead':
        if (published.event.type === 'replay_failed') {
          log.warn({ dead: published.event.id, reason: published.event.error }, 'replay of a dead event failed')
        } else log.debug(published.event, 'dead events')
        return
      case 'events':
        onEvents(published.event)
        return
      case 'connection':
        if (published.event.type === 'open_failed') {
          log.warn({ err: published.event.error, database: published.event.key }, 'a connection could not be opened')
        }
        return
      default:
        return
    }
  }

  function onReconcile(event: Extract<PublishedStep, { area: 'reconcile' }>['event']): void {
    switch (event.type) {
      case 'drift': {
        const { kind, id, action, detail } = event
        log[action === 'repaired' ? 'warn' : 'error']({ tenant: id, kind, action }, `drift: ${detail}`)
        return
      }
      case 'rewound':
        log.warn(
          { cursor: event.cursor, head: event.head },
          'identity’s feed ends earlier than it did; all of it is read',
        )
        return
      case 'identity_unreachable':
        logOnce('identity', event.error, 'identity does not answer; tenants are served as last known')
        return
      case 'identity_back':
        over('identity', 'identity answers again')
        return
      case 'pass_failed':
        logOnce('reconcile', event.error, 'the registry could not be compared; it is tried again')
        return
      case 'pass':
        over('reconcile', 'the registry is compared again')
        log.trace(event, 'compared')
        return
      default:
        log.trace(event, 'reconcile step')
    }
  }

  function onRelay(event: Extract<PublishedStep, { area: 'relay' }>['event']): void {
    switch (event.type) {
      case 'published':
      case 'looked':
        over('relay', 'events are published again')
        return
      case 'publish_refused':
        log.error({ err: event.error, subject: event.subject }, 'an event was refused and set aside')
        return
      case 'publish_failed':
      case 'relay_failed':
        logOnce('relay', event.error, 'events wait in the outbox')
        return
      case 'found_new':
      case 'rewound':
      case 'purged':
        log.warn({ loss: event.type, rows: event.rows }, 'the stream has lost events; they are published again')
        return
      default:
        log.trace(event, 'relay step')
    }
  }

  function onRetry(event: Extract<PublishedStep, { area: 'retry' }>['event']): void {
    switch (event.type) {
      case 'breaker_opened':
        logOnce('breaker', event.reason, 'PostgreSQL instance unavailable; provisioning paused')
        return
      case 'breaker_closed':
        over('breaker', 'PostgreSQL instance available; provisioning resumed')
        return
      case 'retry_failed':
        logOnce('retry', event.error, 'tenants that are due cannot be read')
        return
      case 'claimed':
        over('retry', 'tenants that are due can be read again')
        return
      default:
        log.debug(event, 'retry step')
    }
  }

  function onEvents(event: Extract<PublishedStep, { area: 'events' }>['event']): void {
    switch (event.type) {
      case 'connected':
        if (!event.secured) {
          log.warn(
            'NATS needs no login, so that any client can publish events: create users there and put this service’s into NATS_URL.',
          )
        }
        over('events', 'NATS is back')
        return
      case 'connect_failed':
      case 'disconnected':
        logOnce('events', event.error ?? 'disconnected', 'NATS does not answer')
        return
      case 'server_error':
        logOnce('refused by NATS', event.error, 'NATS refused a request: compare its user with deploy/nats.conf')
        return
      case 'consumer_request_failed':
        log.warn({ durable: event.durable, reason: event.error }, 'consumer of a service could not be made')
        return
      case 'consume_failed':
        logOnce(`consume ${event.durable}`, event.error, 'the consumer waits')
        return
      case 'consuming':
        over(`consume ${event.durable}`, 'the consumer works again')
        return
      case 'dead':
        log.error({ subject: event.subject, tenant: event.tenantId, reason: event.reason }, 'event to the dead letters')
        return
      case 'parked':
        log.warn({ subject: event.subject, reason: event.reason }, 'event of a newer release parked until an upgrade')
        return
      case 'retried':
      case 'dead_failed':
        log.warn(
          { subject: event.subject, tenant: event.tenantId, reason: event.error },
          'event will be delivered again',
        )
        return
      default:
        log.trace(event, 'event step')
    }
  }
}
