// The publisher of one event, with the stream's acknowledgement.
// Invariant: a resolved publish is in the stream; nothing is queued, retried later or sent in the background
// (the outbox is the queue). If the server is down: EventsUnavailable at once.
import type { NatsConnection, PubAck } from 'nats'
import type { EventsConnection } from './connection.js'
import { classify, EventRejected, EventsUnavailable, isNoResponders } from './failures.js'
import { eventHeaders } from './headers.js'
import { describe, guardReport, type Report } from './report.js'
import { ensureStream, type StreamOptions } from './stream.js'
import { parseSubject, STREAM } from './subjects.js'

export interface PublisherOptions {
  /** Makes the stream when it is missing: identity alone. Default false. */
  mayCreate?: boolean
  stream?: StreamOptions
  report?: Report
}

export interface Publication {
  readonly subject: string
  readonly payload: Uint8Array
  /** The server drops a repeat of the same id within two minutes. */
  readonly messageId: string
  /** `traceparent` and the like. */
  readonly headers?: Readonly<Record<string, string>>
  /** CloudEvents time, ISO 8601: when it happened. Default now. */
  readonly time?: string
  /** Default 2000. */
  readonly timeoutMs?: number
}

export interface Published {
  readonly stream: string
  readonly seq: number
  /** True when the stream had this message id already: `seq` is the first one's. */
  readonly duplicate: boolean
}

export interface Publisher {
  /** Throws {@link EventsUnavailable} (retry: it may or may not be stored, the message id makes that harmless) or {@link EventRejected} (a retry never works). */
  publish(publication: Publication): Promise<Published>
}

export function createPublisher(connection: EventsConnection, options: PublisherOptions = {}): Publisher {
  const report = guardReport(options.report)

  async function send(nc: NatsConnection, publication: Publication, timeout: number): Promise<PubAck> {
    const { subject, messageId } = publication
    const headers = eventHeaders({
      subject,
      messageId,
      source: connection.name,
      time: publication.time ?? new Date().toISOString(),
      ...(publication.headers !== undefined && { extra: publication.headers }),
    })
    return nc.jetstream({ timeout }).publish(subject, publication.payload, {
      msgID: messageId,
      headers,
      timeout,
      expect: { streamName: STREAM },
    })
  }

  async function attempt(publication: Publication): Promise<PubAck> {
    const nc = connection.client()
    const type = parseSubject(publication.subject)?.type
    if (type !== 'lifecycle' && type !== 'status') throw new EventRejected('the subject is not one of the stream')
    const timeout = publication.timeoutMs ?? 2000
    try {
      return await send(nc, publication, timeout)
    } catch (error) {
      // No responder on the subject: there is no stream.
      if (!isNoResponders(error)) throw error
      if (options.mayCreate !== true) {
        throw new EventsUnavailable(`the stream ${STREAM} does not exist yet; identity creates it`, { cause: error })
      }
      const jsm = await nc.jetstreamManager({ timeout, checkAPI: false })
      const { action, created, lastSeq } = await ensureStream(jsm, options.stream)
      report({ type: 'stream_ensured', action, created, lastSeq })
      return send(nc, publication, timeout)
    }
  }

  return {
    async publish(publication) {
      const { subject, messageId } = publication
      try {
        const { stream, seq, duplicate } = await attempt(publication)
        // nats-server 2.9 in a cluster, of a repeat while the first one has no quorum yet: it may be lost with its leader.
        if (seq === 0) throw new EventsUnavailable('the stream has this message under way, and has not stored it yet')
        report({ type: 'published', subject, messageId, seq, duplicate })
        return { stream, seq, duplicate }
      } catch (error) {
        const failure = classify(error, 'the event could not be published')
        report({ type: 'publish_failed', subject, messageId, code: failure.code, error: describe(failure) })
        throw failure
      }
    },
  }
}
