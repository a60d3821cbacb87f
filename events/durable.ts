// The durable consumer's settings on the server, shared by all replicas of a service.
// Invariant: explicit ack, delivery without end (retry state lives in the service's table, never in max_deliver), and
// few unacknowledged messages. If the server is down: throws; the consumer loop retries.
import type { ConsumerInfo, JetStreamManager } from 'nats'
import { firstAnswer } from '../timing/first-answer.js'
import { ASK_AGAIN_MS, apiErrorCode, EventsUnavailable } from './failures.js'
import { natsLibrary } from './libraries.js'
import type { Ensured } from './report.js'
import { STREAM } from './subjects.js'

/**
 * The ack wait of services' consumers: messages of a killed process are delivered again after this; a handler that runs
 * extends it three times in between.
 */
export const ACK_WAIT_MS = 10_000

export interface DurableOptions {
  durable: string
  /** One subject filter, e.g. `tenant.*`. */
  filter: string
  /** Ack wait: how long until the server delivers again. Default 30000. */
  ackWaitMs?: number
  /** Most unacknowledged messages, over all replicas together. Default 16. */
  maxAckPending?: number
}

const CONSUMER_NOT_FOUND = 10014
const NOT_UPDATABLE = 10012
const NANOS_PER_MS = 1_000_000

/**
 * Creates the consumer or brings its settings back. Settings that the server cannot change in place mean delete and
 * create: then the position is gone and **every event in the stream is delivered again**, oldest first. Nothing is
 * lost, and handlers that go by version change nothing; the action is `recreated`, so that it is reported.
 * @internal
 */
export async function ensureConsumer(
  jsm: JetStreamManager,
  options: DurableOptions,
): Promise<{ info: ConsumerInfo; action: Ensured | 'recreated' }> {
  const wanted = settingsOf(options)
  const config = { durable_name: options.durable, ...wanted }
  const found = await findConsumer(jsm, options.durable)
  if (found === null) return { info: await jsm.consumers.add(STREAM, config), action: 'created' }
  if (isAsWanted(found, options)) return { info: found, action: 'unchanged' }
  try {
    return { info: await jsm.consumers.update(STREAM, options.durable, wanted), action: 'updated' }
  } catch (error) {
    if (apiErrorCode(error) !== NOT_UPDATABLE) throw error
    await jsm.consumers.delete(STREAM, options.durable)
    return { info: await jsm.consumers.add(STREAM, config), action: 'recreated' }
  }
}

/**
 * The consumer as it is, and its settings that differ from ours.
 * Throws EventsUnavailable when it is not there: what manages NATS makes it.
 * @internal
 */
export async function checkConsumer(
  jsm: JetStreamManager,
  options: DurableOptions,
): Promise<{ info: ConsumerInfo; action: Ensured; differences: string[] }> {
  const info = await findConsumer(jsm, options.durable)
  if (info === null) throw new EventsUnavailable(madeElsewhere(options.durable))
  return { info, action: 'unchanged', differences: consumerDifferences(info, options) }
}

/** @internal */
export const madeElsewhere = (durable: string): string =>
  `the consumer ${durable} is not there, and NATS_STREAM_MANAGED=elsewhere leaves it to what manages NATS: docs/clusters.md has its settings`

const settingsOf = (options: DurableOptions) => ({
  filter_subject: options.filter,
  ack_policy: natsLibrary().AckPolicy.Explicit,
  deliver_policy: natsLibrary().DeliverPolicy.All,
  ack_wait: (options.ackWaitMs ?? 30_000) * NANOS_PER_MS,
  max_deliver: -1,
  max_ack_pending: options.maxAckPending ?? 16,
})

/** @internal */
export const isAsWanted = (found: ConsumerInfo, options: DurableOptions): boolean =>
  consumerDifferences(found, options).length === 0

/** @internal */
export function consumerDifferences(found: ConsumerInfo, options: DurableOptions): string[] {
  const current = found.config as unknown as Record<string, unknown>
  return Object.entries(settingsOf(options))
    .filter(([key, value]) => current[key] !== value)
    .map(([key, value]) => `${key} is ${String(current[key])} and must be ${value}`)
}

/** The consumer, or null when there is none. @internal */
export async function findConsumer(jsm: JetStreamManager, durable: string): Promise<ConsumerInfo | null> {
  try {
    return await firstAnswer(() => jsm.consumers.info(STREAM, durable), ASK_AGAIN_MS)
  } catch (error) {
    if (apiErrorCode(error) === CONSUMER_NOT_FOUND) return null
    throw error
  }
}
