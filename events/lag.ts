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
  /** Whether a process waits for the next event, so that one that is pending was published just now. */
  readonly awaited: boolean
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
    const info = await jsm.consumers.info(STREAM, durable)
    const { num_pending: pending, num_ack_pending: ackPending, num_redelivered: redelivered, num_waiting } = info
    return { pending, ackPending, redelivered, awaited: num_waiting > 0 }
  } catch (error) {
    if (NOT_THERE.has(apiErrorCode(error) ?? 0)) return null
    throw classify(error, `the consumer ${durable} could not be read`)
  }
}
