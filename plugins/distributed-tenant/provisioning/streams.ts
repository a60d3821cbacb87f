// Owns this service's ties to the stream: the relay that publishes its outbox, the durable that provisions, and the one
// that hears every service's status. All of them outlive NATS: while it is away they wait and tell.
import {
  type ConsumerLag,
  connectEvents,
  consume,
  createPublisher,
  type DeadLetter,
  type EventsConnection,
  type EventsConsumer,
  EventsUnavailable,
  encode,
  type Incoming,
  LIFECYCLE_FILTER,
  ledgerDurable,
  parseLifecycle,
  parseStatus,
  readConsumerLag,
  STATUS_FILTER,
  type TenantId,
  tenantsDurable,
} from '../../../events/index.js'
import type { Tell } from '../channels.js'
import type { Settings } from '../options.js'
import type { JsonObject, Notifications, SqlClient } from '../types.js'
import { type ApplyOptions, applyLifecycle } from './apply.js'
import { type Relay, startRelay } from './outbox.js'

export interface Streams {
  status(): ReturnType<EventsConnection['status']>
  lastError(): string | null
  secured(): boolean | null
  /** How far each durable is behind; null for one that is not there yet. @throws when NATS does not say */
  lag(): Promise<Record<string, ConsumerLag | null>>
  /** Takes no more events and publishes no more; what runs is finished within the deadline. */
  stop(deadlineMs: number): Promise<void>
  close(): Promise<void>
}

export function startStreams(options: {
  readonly url: string
  readonly settings: Settings
  readonly central: SqlClient
  readonly notifications: Notifications
  readonly apply: ApplyOptions
  readonly tell: Tell
}): Streams {
  const { settings, central, tell } = options
  const { service, onStatus } = settings
  const report = (event: Parameters<NonNullable<Parameters<typeof connectEvents>[0]['report']>>[0]) =>
    tell({ area: 'events', event })
  const connection = connectEvents({ url: options.url, name: service, report })
  const publisher = createPublisher(connection, { mayCreate: settings.source, report })

  const relay: Relay = startRelay({
    central,
    publish: message => publisher.publish({ ...message, payload: encode(message.payload as JsonObject) }),
    mayRetry: error => error instanceof EventsUnavailable,
    report: event => tell({ area: 'relay', event }),
  })
  const offOutbox = options.notifications.subscribe('fdt_outbox', relay.kick, relay.kick)
  const offStatus = connection.watch(status => status === 'connected' && relay.kick())

  function arrive({ id }: { id: TenantId }, incoming: Incoming, run: () => Promise<void>): Promise<void> {
    const { subject, headers, deliveryCount } = incoming
    const arrival = { subject, headers, deliveryCount, tenantId: id, run }
    tell({ area: 'arrival', event: arrival })
    return arrival.run()
  }

  const common = {
    connection,
    service,
    report,
    mayCreateStream: settings.source,
    // What a killed process held comes again after this; one that lives says so three times in between.
    ackWaitMs: 10_000,
    onDead: (dead: DeadLetter) => keepDead(central, dead),
  }
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
      offOutbox()
      offStatus()
      await relay.stop()
    },
    close: () => connection.close(),
  }
}

/** The same message buried twice (its answer was lost) is one row. */
async function keepDead(central: SqlClient, dead: DeadLetter): Promise<void> {
  await central`
    insert into dead_events (subject, stream_seq, reason, data, headers)
    values (${dead.subject}, ${dead.streamSeq}, ${dead.reason}, ${Buffer.from(dead.data)}, ${central.json(dead.headers)})
    on conflict (stream_seq, subject) where stream_seq is not null do nothing`
}
