// This service's connection to the stream: the relay that publishes its outbox, the durable that provisions, and the one
// that receives every service's status.
// If NATS is down: all three wait, report it and go on when it is back.
import {
  answerConsumerRequests,
  type ConsumerLag,
  connectEvents,
  consume,
  createPublisher,
  DeadEvent,
  type EventsConnection,
  type EventsConsumer,
  type EventsReport,
  EventsUnavailable,
  encode,
  ensureTenantStream,
  type Incoming,
  LIFECYCLE_FILTER,
  ledgerDurable,
  type Parsed,
  parseLifecycle,
  parseStatus,
  parseSubject,
  readConsumerLag,
  readStreamState,
  STATUS_FILTER,
  STREAM,
  type StatusEvent,
  type TenantId,
  tenantsDurable,
} from '../../../events/index.js'
import type { Settings } from '../config/settings.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { IncomingEvent } from '../diagnostics/steps.js'
import type { DeadLetters } from '../registry/dead-letters.js'
import type { Notifications, SqlClient } from '../types.js'
import { type ApplyOptions, applyLifecycle } from './apply-event.js'
import { type Relay, startRelay } from './outbox-relay.js'
import type { StreamFacts } from './stream-loss.js'

export interface Streams {
  status(): ReturnType<EventsConnection['status']>
  lastError(): string | null
  secured(): boolean | null
  /** Pending messages of each durable; null for one that does not exist yet. @throws when NATS does not answer */
  lag(): Promise<Record<string, ConsumerLag | null>>
  /** Takes no more events and publishes no more; running handlers are finished within the deadline. */
  stop(deadlineMs: number): Promise<void>
  close(): Promise<void>
}

export function startStreams(options: {
  readonly url: string
  readonly settings: Settings
  readonly central: SqlClient
  readonly notifications: Notifications
  readonly apply: ApplyOptions
  readonly deadLetters: DeadLetters
  readonly publish: PublishStep
}): Streams {
  const { settings, central, deadLetters, publish } = options
  const { service, onStatus } = settings
  const report = (event: EventsReport): void => {
    publish({ area: 'events', event })
    // Whichever process made the stream: its content is compared at once.
    if (event.type === 'stream_ensured' && event.action === 'created') relay.look()
  }
  const connection = connectEvents({ url: options.url, ca: settings.natsCa, name: service, report })
  const publisher = createPublisher(connection, { mayCreate: settings.source, report })

  const relay: Relay = startRelay({
    central,
    stream: STREAM,
    publish: message => publisher.publish({ ...message, payload: encode(message.payload) }),
    readStream: () => streamFacts(connection, settings.source),
    mayRetry: error => error instanceof EventsUnavailable,
    report: event => publish({ area: 'relay', event }),
  })
  const offOutbox = options.notifications.subscribe('fdt_outbox', relay.kick, relay.kick)
  const offStatus = connection.watch(status => status === 'connected' && relay.look())

  function arrive({ id }: { id: TenantId }, message: Incoming, run: () => Promise<void>): Promise<void> {
    const { subject, headers, deliveryCount } = message
    const event: IncomingEvent = { subject, headers, deliveryCount, tenantId: id, run }
    publish({ area: 'incoming', event })
    return event.run()
  }

  const common = {
    connection,
    service,
    report,
    mayCreateStream: settings.source,
    // Messages of a killed process are delivered again after this; a handler that runs extends it three times in between.
    ackWaitMs: 10_000,
    onDead: deadLetters.keep,
  }
  const requests = settings.source
    ? answerConsumerRequests({ connection, report, ackWaitMs: common.ackWaitMs })
    : undefined
  const consumers: EventsConsumer[] = [
    consume({
      ...common,
      durable: tenantsDurable(service),
      filter: LIFECYCLE_FILTER,
      parse: parseLifecycle,
      handle: (event, incoming) => arrive(event, incoming, () => applyLifecycle(event, options.apply)),
    }),
  ]
  if (onStatus) {
    consumers.push(
      consume({
        ...common,
        durable: ledgerDurable(service),
        filter: STATUS_FILTER,
        parse: parseStatus,
        handle: (event, incoming) => arrive(event, incoming, () => onStatus(event, central)),
        concurrency: 8,
      }),
    )
  }

  return {
    status: connection.status,
    lastError: connection.lastError,
    secured: connection.secured,
    async lag() {
      const durables = [tenantsDurable(service), ...(onStatus ? [ledgerDurable(service)] : [])]
      const lags = await Promise.all(durables.map(durable => readConsumerLag(connection, durable)))
      return Object.fromEntries(durables.map((durable, at) => [durable, lags[at] ?? null]))
    },
    async stop(deadlineMs) {
      await Promise.all(consumers.map(consumer => consumer.stop(deadlineMs)))
      requests?.stop()
      offOutbox()
      offStatus()
      await relay.stop()
    },
    close: () => connection.close(),
  }
}

async function streamFacts(connection: EventsConnection, mayCreate: boolean): Promise<StreamFacts> {
  const facts = mayCreate ? await ensureTenantStream(connection) : await readStreamState(connection)
  if (!facts) throw new EventsUnavailable(`the stream ${STREAM} does not exist yet; identity creates it`)
  return facts
}

/** Replays a dead letter through the handler of its kind. @throws DeadEvent for one that is still not understood */
export function createHandler(
  apply: ApplyOptions,
  onStatus: ((event: StatusEvent, central: SqlClient) => Promise<void>) | undefined,
) {
  return async (subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>): Promise<void> => {
    if (parseSubject(subject)?.type === 'status' && onStatus) {
      return onStatus(understood(parseStatus(subject, data, headers)), apply.central)
    }
    return applyLifecycle(understood(parseLifecycle(subject, data, headers)), apply)
  }
}

function understood<E>(parsed: Parsed<E>): E {
  if (parsed.ok) return parsed.event
  throw new DeadEvent(parsed.reason, { parked: parsed.newer === true })
}
