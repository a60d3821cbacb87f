// The creation of a service's consumer by identity, on the service's request: both ends.
// Invariant: identity alone chooses the settings; a request names a service and holds nothing else, so a service that may
// ask cannot have messages delivered anywhere but to its own pulls.
// If identity is down: the service's consumer loop retries; a consumer that exists is read meanwhile.
// Where NATS has one account for all, a service without an answer makes its consumer by itself, as it may there.
import type { ConsumerInfo, JetStreamManager, Msg, NatsConnection } from 'nats'
import type { EventsConnection } from './connection.js'
import { type DurableOptions, ensureConsumer, findConsumer, isAsWanted, madeElsewhere } from './durable.js'
import { EventsUnavailable, hasCode, isNoResponders } from './failures.js'
import { describe, type Ensured, guardReport, type Report } from './report.js'
import {
  CONSUMER_REQUESTS,
  consumerRequestSubject,
  DURABLE_FILTERS,
  isServiceName,
  STREAM,
  tenantsDurable,
} from './subjects.js'

// A lost consumer is noticed and made again within 5 s: both ends together stay below that.
const API_TIMEOUT_MS = 2000

interface Answer {
  action?: Ensured | 'recreated'
  error?: string
}

export interface ConsumerRequestsOptions extends Pick<DurableOptions, 'ackWaitMs' | 'maxAckPending'> {
  connection: EventsConnection
  /** Where consumers are made; `elsewhere`: every request is refused by name. Default `here`. */
  managed?: 'here' | 'elsewhere' | undefined
  report?: Report
}

/** Answers for identity until stop(); its replicas share the requests. */
export function answerConsumerRequests(options: ConsumerRequestsOptions): { stop(): void } {
  const { connection, ackWaitMs, maxAckPending } = options
  const report = guardReport(options.report)
  /** One at a time for each service: requests meanwhile get the same answer. */
  const running = new Map<string, Promise<Answer>>()
  let subscribed: NatsConnection | null = null

  async function ensure(nc: NatsConnection, service: string): Promise<Answer> {
    const durable = tenantsDurable(service)
    if (options.managed === 'elsewhere') return { error: madeElsewhere(durable) }
    try {
      const jsm = await nc.jetstreamManager({ timeout: API_TIMEOUT_MS, checkAPI: false })
      const settings = {
        durable,
        filter: DURABLE_FILTERS.tenants,
        ...(ackWaitMs !== undefined && { ackWaitMs }),
        ...(maxAckPending !== undefined && { maxAckPending }),
      }
      const { action } = await ensureConsumer(jsm, settings)
      if (action !== 'unchanged') report({ type: 'consumer_ensured', durable, action })
      return { action }
    } catch (error) {
      const text = describe(error)
      report({ type: 'consumer_request_failed', durable, error: text })
      return { error: text }
    }
  }

  async function answer(nc: NatsConnection, message: Msg): Promise<void> {
    const service = message.subject.split('.').at(-1) ?? ''
    if (!isServiceName(service)) return
    let answered = running.get(service)
    if (!answered) {
      answered = ensure(nc, service).finally(() => running.delete(service))
      running.set(service, answered)
    }
    const body = JSON.stringify(await answered)
    // A connection that closed meanwhile cannot answer: the service retries.
    if (!nc.isClosed()) message.respond(Buffer.from(body))
  }

  const subscribe = () => {
    if (connection.status() !== 'connected') return
    const nc = connection.client()
    // The client subscribes again by itself when it reconnects; only another client needs it anew.
    if (nc === subscribed) return
    subscribed = nc
    nc.subscribe(CONSUMER_REQUESTS, {
      queue: 'identity',
      callback: (error, message) => {
        if (error) report({ type: 'server_error', error: describe(error) })
        else void answer(nc, message)
      },
    })
  }
  const unwatch = connection.watch(subscribe)
  subscribe()
  return { stop: unwatch }
}

/**
 * A service's own consumer, made or corrected by identity when it is missing or has other settings.
 * Throws EventsUnavailable or NatsError; the consumer loop retries.
 * @internal
 */
export async function obtainConsumer(
  nc: NatsConnection,
  jsm: JetStreamManager,
  service: string,
  options: DurableOptions,
): Promise<{ info: ConsumerInfo; action: Ensured | 'recreated' }> {
  const found = await findConsumer(jsm, options.durable)
  if (found && isAsWanted(found, options)) return { info: found, action: 'unchanged' }
  const answer = await askIdentity(nc, service)
  if (answer === null) return makeByItself(jsm, options)
  if (answer.error !== undefined) {
    throw new EventsUnavailable(`identity could not make the consumer ${options.durable}: ${answer.error}`)
  }
  return { info: await jsm.consumers.info(STREAM, options.durable), action: answer.action ?? 'unchanged' }
}

/** null: identity does not answer requests now, or this user may not ask. nats-server 2.9 reports neither before a timeout. */
async function askIdentity(nc: NatsConnection, service: string): Promise<Answer | null> {
  try {
    const reply = await nc.request(consumerRequestSubject(service), '', { timeout: API_TIMEOUT_MS })
    return reply.json<Answer>()
  } catch (error) {
    if (isNoResponders(error) || isRefused(error) || isTimeout(error)) return null
    throw error
  }
}

async function makeByItself(jsm: JetStreamManager, options: DurableOptions) {
  try {
    return await ensureConsumer(jsm, options)
  } catch (error) {
    if (!isRefused(error)) throw error
    throw new EventsUnavailable(`the consumer ${options.durable} is not there; identity makes it when it runs`, {
      cause: error,
    })
  }
}

const isRefused = (error: unknown): boolean => hasCode(error, 'PermissionsViolation')

const isTimeout = (error: unknown): boolean => hasCode(error, 'Timeout')
