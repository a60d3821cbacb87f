// One delivered message, until it is answered: parsed, handled, then exactly one of ack, nak or term.
// Invariant: nothing is acknowledged before its effect is done or its dead letter is stored. A message of a stream that
// was since deleted is never answered: the new stream counts from 1 again, and the answer would acknowledge another event.

import type { JsMsg, NatsConnection } from 'nats'
import { backoffMs } from '../timing/backoff.js'
import { DeadEvent, type DeadLetter } from './dead-letters.js'
import { headerRecord } from './headers.js'
import { natsLibrary } from './libraries.js'
import type { Parsed } from './messages.js'
import { describe, type Report } from './report.js'
import { deadSubject } from './subjects.js'

/** The context of a handler, beside the event. */
export interface Incoming {
  readonly subject: string
  readonly data: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  readonly streamSeq: number
  /** 1 the first time. Not to be trusted after a server crash: handlers are idempotent by themselves. */
  readonly deliveryCount: number
  /** Aborted when the deadline of stop() has passed. */
  readonly signal: AbortSignal
}

export interface DeliveryRules<E extends { id: string }> {
  readonly service: string
  readonly durable: string
  readonly parse: (subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>) => Parsed<E>
  readonly handle: (event: E, incoming: Incoming) => Promise<void>
  readonly onDead: (dead: DeadLetter) => Promise<void>
  readonly retryDelayMs: (deliveryCount: number) => number
  readonly report: Report
  readonly signal: AbortSignal
}

/** The stream a message came from; `gone` once it was found replaced. */
export interface Epoch {
  readonly created: string
  gone: boolean
}

export interface Delivery {
  /** Deliveries of one key are handled in order: the tenant's id, or the message's own number if it has none. */
  readonly key: string
  process(): Promise<void>
  /** Extends the server's ack wait. */
  working(): void
  /** Gives it back unhandled, for another replica or a later start. */
  giveBack(): void
}

/** 1 s, doubling to 30 s, with a fifth of it at random either way so that retries do not come together. */
export const defaultRetryDelay = (deliveryCount: number): number =>
  backoffMs({ firstMs: 1_000, longestMs: 30_000 }, deliveryCount - 1)

/** @internal */
export function createDelivery<E extends { id: string }>(
  rules: DeliveryRules<E>,
  nc: NatsConnection,
  message: JsMsg,
  epoch: Epoch,
): Delivery {
  const headers = headerRecord(message.headers)
  const parsed = parseSafely(rules, message, headers)
  const streamSeq = message.info.streamSequence
  const deliveryCount = message.info.deliveryCount
  const about = {
    durable: rules.durable,
    subject: message.subject,
    streamSeq,
    deliveryCount,
    tenantId: parsed.ok ? parsed.event.id : null,
  }

  const answer = (give: () => void): boolean => {
    if (epoch.gone) return false
    try {
      give()
      return true
    } catch (error) {
      rules.report({ type: 'reply_lost', ...about, error: describe(error) })
      return false
    }
  }

  async function bury({ reason, parked }: DeadEvent): Promise<void> {
    const { subject, data } = message
    const streamCreated = epoch.created
    try {
      await rules.onDead({ subject, data, headers, streamCreated, streamSeq, deliveryCount, reason, parked })
    } catch (error) {
      const delayMs = rules.retryDelayMs(deliveryCount)
      rules.report({ type: 'dead_failed', ...about, reason, error: describe(error), delayMs })
      answer(() => message.nak(delayMs))
      return
    }
    try {
      nc.publish(deadSubject(rules.service), message.data, { headers: deadHeaders(message, reason) })
    } catch (error) {
      rules.report({ type: 'dead_copy_failed', ...about, error: describe(error) })
    }
    rules.report({ type: parked ? 'parked' : 'dead', ...about, reason })
    // Without a text: nats-server 2.9 ignores term('reason') and delivers again.
    answer(() => message.term())
  }

  return {
    key: parsed.ok ? parsed.event.id : `#${streamSeq}`,
    async process() {
      const started = performance.now()
      rules.report({ type: 'received', ...about })
      try {
        if (!parsed.ok) throw new DeadEvent(parsed.reason, { parked: parsed.newer === true })
        const { subject, data } = message
        await rules.handle(parsed.event, { subject, data, headers, streamSeq, deliveryCount, signal: rules.signal })
      } catch (error) {
        if (error instanceof DeadEvent) return bury(error)
        const delayMs = rules.retryDelayMs(deliveryCount)
        rules.report({ type: 'retried', ...about, error: describe(error), delayMs })
        answer(() => message.nak(delayMs))
        return
      }
      rules.report({ type: 'applied', ...about })
      if (answer(() => message.ack())) {
        rules.report({ type: 'acked', ...about, durationMs: performance.now() - started })
      }
    },
    working: () => void answer(() => message.working()),
    giveBack: () => void answer(() => message.nak()),
  }
}

// A parser that throws must not stop the consumer, nor be retried without end on the same bytes.
function parseSafely<E extends { id: string }>(
  rules: DeliveryRules<E>,
  message: JsMsg,
  headers: Readonly<Record<string, string>>,
): Parsed<E> {
  try {
    return rules.parse(message.subject, message.data, headers)
  } catch (error) {
    return { ok: false, reason: `the message could not be parsed: ${describe(error)}` }
  }
}

function deadHeaders(message: JsMsg, reason: string) {
  const copy = natsLibrary().headers()
  for (const [name, value] of Object.entries(headerRecord(message.headers))) {
    // Nats-* are instructions to the server (dedupe, expectations), not part of the event.
    if (!name.toLowerCase().startsWith('nats-')) copy.set(name, value)
  }
  copy.set('Dead-Reason', reason)
  copy.set('Dead-Subject', message.subject)
  copy.set('Dead-Stream-Seq', String(message.info.streamSequence))
  return copy
}
