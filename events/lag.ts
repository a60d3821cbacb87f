// The lag of a durable consumer. Asks the server each time and changes nothing.
// If the server is down: EventsUnavailable; a consumer that does not exist yet is null, not zero.
import type { EventsConnection } from './connection.js'
import { apiErrorCode, classify } from './failures.js'
import { STREAM } from './subjects.js'

export interface ConsumerLag {
  /** Events in the stream that were not delivered yet. */
  readonly pending: number
  /** Delivered, and not acknowledged yet. */
  readonly ackPending: number
  /** Of those, delivered more than once. */
  readonly redelivered: number
}

const NOT_THERE = new Set([10014, 10059])

/** Throws EventsUnavailable or EventRejected. */
export async function readConsumerLag(
  connection: EventsConnection,
  durable: string,
  timeoutMs = 1000,
): Promise<ConsumerLag | null> {
  try {
    const jsm = await connection.client().jetstreamManager({ timeout: timeoutMs, checkAPI: false })
    const { num_pending, num_ack_pending, num_redelivered } = await jsm.consumers.info(STREAM, durable)
    return { pending: num_pending, ackPending: num_ack_pending, redelivered: num_redelivered }
  } catch (error) {
    if (NOT_THERE.has(apiErrorCode(error) ?? 0)) return null
    throw classify(error, `the consumer ${durable} could not be read`)
  }
}
