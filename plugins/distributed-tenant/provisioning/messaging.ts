// This service's connection to the stream: the relay that publishes its outbox, the durable that provisions, and the one
// that receives every service's status.
// If NATS is down: all three wait, report it and go on when it is back.
import {
  ACK_WAIT_MS,
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
  readMissing,
  readStreamState,
  STATUS_FILTER,
  STREAM,
  type StatusEvent,
  type StreamOptions,
  type TenantId,
  tenantsDurable,
} from '../../../events/index.js'
import { lockNames, lockTransaction } from '../../../postgres/advisory-locks.js'
import type { Settings } from '../config/settings.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { IncomingEvent } from '../diagnostics/steps.js'
import type { DeadLetters } from '../registry/dead-letters.js'
import type { Notifications, SqlClient } from '../types.js'
import { type ApplyOptions, applyLifecycle } from './apply-event.js'
import { type Relay, startRelay } from './outbox-relay.js'
import type { StreamFacts } from './stream-loss.js'
import { createSilenceWatch, type Silence } from './stream-silence.js'

export interface Streams {
  status(): ReturnType<EventsConnection['status']>
  lastError(): string | null
  /** Whether events do not come although NATS is connected: the stream or the consumer is gone or without a leader. */
  waiting(): boolean
  /** How long the stream itself has not answered, and why; null when its last answer was one. */
  silence(): Silence | null
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
  /** Called at each question without an answer, every few seconds while events do not come. */
  readonly onWaiting: () => void
}): Streams {
  const { settings, central, deadLetters, publish } = options
  const { service, onStatus } = settings
  const own = tenantsDurable(service)
  const silent = new Set<'stream' | 'consumer'>()
  const found = (what: 'stream' | 'consumer', isSilent: boolean): void => {
    if (!isSilent || connection.status() !== 'connected') return void silent.delete(what)
    silent.add(what)
    options.onWaiting()
  }
  const report = (event: EventsReport): void => {
    publish({ area: 'events', event })
    // Whichever process made the stream: its content is compared at once.
    if (event.type === 'stream_ensured' && event.action === 'created') relay.look()
    if (event.type === 'consuming' && event.durable === own) found('consumer', false)
    if (event.type === 'consume_failed' && event.durable === own) found('consumer', true)
  }
  const answers = createSilenceWatch()
  const managed = settings.streamManaged
  const stream: StreamOptions = { replicas: settings.streamReplicas, managed, oneAtATime: oneAtATime(central) }
  const connection = connectEvents({ url: options.url, ca: settings.natsCa, name: service, report })
  const publisher = createPublisher(connection, { mayCreate: settings.source, stream, report })

  const relay: Relay = startRelay({
    central,
    stream: STREAM,
    publish: message => answers.of(publisher.publish({ ...message, payload: encode(message.payload) })),
    readStream: async () => {
      const facts = await answers.of(settings.source ? keepStream() : streamFacts(connection))
      leader = facts.leader ?? leader
      return facts
    },
    readMissing: () => readMissing(connection),
    mayRetry: error => error instanceof EventsUnavailable,
    report: event => {
      publish({ area: 'relay', event })
      if (event.type === 'looked') found('stream', false)
      // The consumer may have a leader while the stream has none.
      if (event.type === 'relay_failed' && event.error instanceof EventsUnavailable) found('stream', true)
    },
  })
  /** The last one of the stream, for when it does not answer. */
  let leader: string | null = null
  let fewer: string | null = null
  async function keepStream(): Promise<StreamFacts & { leader: string | null }> {
    const { fewerReplicas, differences, ...facts } = await ensureTenantStream(connection, stream)
    if (fewerReplicas !== null && fewerReplicas !== fewer) report({ type: 'fewer_replicas', reason: fewerReplicas })
    fewer = fewerReplicas
    if (managed === 'elsewhere') report({ type: 'settings_differ', of: STREAM, differences })
    return facts
  }
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
    stream,
    ackWaitMs: ACK_WAIT_MS,
    onDead: deadLetters.keep,
  }
  const requests = settings.source
    ? answerConsumerRequests({ connection, managed, report, ackWaitMs: common.ackWaitMs })
    : undefined
  const consumers: EventsConsumer[] = [
    consume({
      ...common,
      durable: own,
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
    waiting: () => silent.size > 0,
    silence() {
      const silence = answers.silence()
      return silence && { ...silence, error: `${silence.error}${whenGone(leader)}` }
    },
    secured: connection.secured,
    async lag() {
      const durables = [own, ...(onStatus ? [ledgerDurable(service)] : [])]
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

/** In this process, and by a lock of the central database in all of the service. */
function oneAtATime(central: SqlClient): NonNullable<StreamOptions['oneAtATime']> {
  let last: Promise<unknown> = Promise.resolve()
  return create => {
    const turn = last.then(() =>
      central.begin(async tx => {
        await lockTransaction(tx, lockNames.stream)
        return create()
      }),
    )
    last = turn.catch(() => {})
    return turn as ReturnType<typeof create>
  }
}

/** A server of a cluster that is gone for good takes a stream of one copy with it, and NATS does not say so. */
const whenGone = (leader: string | null): string =>
  leader === null
    ? ''
    : `; it was led by the NATS server ${leader}: start that server, or, if it is gone for good, remove it with \`distributed-tenant nats-remove ${leader}\`: docs/clusters.md`

async function streamFacts(connection: EventsConnection): Promise<StreamFacts & { leader: string | null }> {
  const facts = await readStreamState(connection)
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
