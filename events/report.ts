// The reports of events/ to its owner: one callback, one union. events/ itself logs and counts nothing.
// Invariant: no report holds a credential or a message body. A report that throws becomes a process warning, because
// an observer must neither stop a consumer nor be silenced.

interface Delivered {
  readonly durable: string
  readonly subject: string
  readonly streamSeq: number
  readonly deliveryCount: number
  /** null when the message could not be parsed. */
  readonly tenantId: string | null
}

export type EventsReport =
  // connection
  | { readonly type: 'connected'; readonly server: string; readonly secured: boolean; readonly again: boolean }
  | { readonly type: 'connect_failed'; readonly attempt: number; readonly error: string }
  | { readonly type: 'disconnected'; readonly error: string | null }
  /** The client closed the connection; `expected` after our own close(), otherwise a new one is being made. */
  | { readonly type: 'connection_closed'; readonly expected: boolean; readonly error: string | null }
  | { readonly type: 'server_error'; readonly error: string }
  // stream and consumer
  | { readonly type: 'stream_ensured'; readonly action: Ensured; readonly created: string; readonly lastSeq: number }
  /** The stream has fewer replicas than it should have. */
  | { readonly type: 'fewer_replicas'; readonly reason: string }
  /** Stream or consumer, managed elsewhere, as compared with ours; none: as they should be. */
  | { readonly type: 'settings_differ'; readonly of: string; readonly differences: readonly string[] }
  | { readonly type: 'consumer_ensured'; readonly durable: string; readonly action: Ensured | 'recreated' }
  /** Identity could not make a service's consumer; the service retries. */
  | { readonly type: 'consumer_request_failed'; readonly durable: string; readonly error: string }
  /** Pulling has started or restarted. */
  | { readonly type: 'consuming'; readonly durable: string }
  | { readonly type: 'consume_failed'; readonly durable: string; readonly error: string; readonly retryInMs: number }
  | { readonly type: 'stalled'; readonly durable: string; readonly missedHeartbeats: number }
  | {
      readonly type: 'consumer_stopped'
      readonly durable: string
      readonly returned: number
      readonly unfinished: number
    }
  // messages
  | ({ readonly type: 'received' } & Delivered)
  /** Its effect is durable; the acknowledgement comes next. */
  | ({ readonly type: 'applied' } & Delivered)
  | ({ readonly type: 'acked'; readonly durationMs: number } & Delivered)
  | ({ readonly type: 'retried'; readonly error: string; readonly delayMs: number } & Delivered)
  /** Stored as one that can never be handled, or (`parked`) as one that a newer release may know. */
  | ({ readonly type: 'dead' | 'parked'; readonly reason: string } & Delivered)
  | ({
      readonly type: 'dead_failed'
      readonly reason: string
      readonly error: string
      readonly delayMs: number
    } & Delivered)
  /** The row is stored but the copy on `dead.tenant.<service>` was not sent. */
  | ({ readonly type: 'dead_copy_failed'; readonly error: string } & Delivered)
  /** An acknowledgement was lost with its connection: the message will come again. */
  | ({ readonly type: 'reply_lost'; readonly error: string } & Delivered)
  // publisher
  | {
      readonly type: 'published'
      readonly subject: string
      readonly messageId: string
      readonly seq: number
      readonly duplicate: boolean
    }
  | {
      readonly type: 'publish_failed'
      readonly subject: string
      readonly messageId: string
      readonly code: string
      readonly error: string
    }

export type Ensured = 'created' | 'updated' | 'unchanged'
export type Report = (event: EventsReport) => void

/** Wraps a caller's callback: its failure is reported and has no other effect. */
export function guardReport(report: Report | undefined): Report {
  if (report === undefined) return () => {}
  return event => {
    try {
      report(event)
    } catch (error) {
      process.emitWarning(`the events report callback threw on ${event.type}: ${describe(error)}`)
    }
  }
}

/** One line for a report: class or code and message, at most 300 characters. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error).slice(0, 300)
  const code = 'code' in error && typeof error.code === 'string' ? `${error.code}: ` : ''
  return `${code}${error.message}`.slice(0, 300)
}
