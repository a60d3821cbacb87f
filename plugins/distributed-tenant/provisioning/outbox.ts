// Owns the outbox: rows written in the transaction of the change they tell of, and the relay that publishes them.
// Invariants: a row is published at least once and in order per tenant, by however many relays; one that can never be
// accepted is set aside and blocks nobody. While NATS is down rows wait; NOTIFY is a hint, the poll is the truth.
import type { TenantId } from '../../../events/index.js'
import { carry } from '../channels.js'
import type { JsonObject, QueryClient, SqlClient } from '../types.js'

export interface OutboxMessage {
  readonly tenantId: TenantId
  readonly subject: string
  /** The stream drops a second message of this id within its window. */
  readonly messageId: string
  readonly payload: object
  readonly headers?: Record<string, string>
}

/** Call it inside the transaction of the change. A message id that is there already is not written again. */
export async function writeOutbox(sql: QueryClient, message: OutboxMessage): Promise<void> {
  const headers = { ...message.headers }
  carry({ subject: message.subject, tenantId: message.tenantId, headers })
  await sql`
    insert into outbox (message_id, tenant_id, subject, payload, headers)
    values (${message.messageId}, ${message.tenantId}, ${message.subject}, ${sql.json(message.payload as never)},
            ${sql.json(headers)})
    on conflict (message_id) do nothing`
}

interface Row {
  readonly seq: string
  readonly messageId: string
  readonly subject: string
  readonly payload: JsonObject
  readonly headers: Record<string, string>
}

export interface RelayReport {
  readonly type: 'published' | 'publish_failed' | 'publish_refused' | 'relay_failed'
  readonly subject?: string
  /** Milliseconds the attempt took, and the headers of the row. */
  readonly ms?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly error?: unknown
}

export interface RelayOptions {
  readonly central: SqlClient
  readonly publish: (message: {
    subject: string
    payload: JsonObject
    messageId: string
    headers: Record<string, string>
  }) => Promise<{ seq: number }>
  /** True for an error after which the same message may be sent again. */
  readonly mayRetry: (error: unknown) => boolean
  readonly report: (event: RelayReport) => void
  /** Milliseconds between polls. Default 1,000. */
  readonly pollMs?: number
}

export interface Relay {
  /** Something was written: look now. */
  kick(): void
  stop(): Promise<void>
}

const BATCH = 100
const MAX_WAIT_MS = 5_000

export function startRelay(options: RelayOptions): Relay {
  const { report } = options
  const pollMs = options.pollMs ?? 1_000
  let stopped = false
  let kicked = false
  let failures = 0
  let wake: () => void = () => {}

  async function loop(): Promise<void> {
    while (!stopped) {
      kicked = false
      let progress = false
      try {
        const outcome = await relayBatch(options)
        progress = outcome === 'progress'
        failures = outcome === 'stuck' ? failures + 1 : 0
      } catch (error) {
        failures++
        report({ type: 'relay_failed', error })
      }
      if (!progress && !kicked && !stopped) await pause(wait())
    }
  }

  /** Grows while NATS or the database stays away, with jitter so that replicas do not knock together. */
  function wait(): number {
    if (failures === 0) return pollMs
    return Math.min(MAX_WAIT_MS, 100 * 2 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2)
  }

  function pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  const running = loop()
  return {
    kick() {
      kicked = true
      wake()
    },
    async stop() {
      stopped = true
      wake()
      await running
    },
  }
}

/** `progress`: something was published, so the next of its tenant may follow at once. `stuck`: nothing could be. */
async function relayBatch(options: RelayOptions): Promise<'empty' | 'progress' | 'stuck'> {
  return options.central.begin(async sql => {
    // Only each tenant's oldest row: another relay may hold it, and then the tenant waits for that one.
    const rows = await sql<Row[]>`
      select seq, message_id as "messageId", subject, payload, headers from outbox this
      where published_at is null and refused_at is null and not exists (
        select 1 from outbox older where older.tenant_id = this.tenant_id and older.seq < this.seq
          and older.published_at is null and older.refused_at is null)
      order by seq limit ${BATCH} for update skip locked`
    if (rows.length === 0) return 'empty'
    const outcomes = await Promise.all(rows.map(row => publishOne(options, row)))
    for (const outcome of outcomes) await record(sql, outcome)
    return outcomes.some(outcome => outcome.state !== 'failed') ? 'progress' : 'stuck'
  })
}

interface Outcome {
  readonly seq: string
  readonly state: 'published' | 'failed' | 'refused'
  readonly streamSeq?: number
  readonly error?: unknown
}

async function publishOne(options: RelayOptions, row: Row): Promise<Outcome> {
  const { seq, subject, payload, messageId, headers } = row
  const started = performance.now()
  const about = () => ({ subject, headers, ms: performance.now() - started })
  try {
    const ack = await options.publish({ subject, payload, messageId, headers })
    options.report({ type: 'published', ...about() })
    return { seq, state: 'published', streamSeq: ack.seq }
  } catch (error) {
    const state = options.mayRetry(error) ? 'failed' : 'refused'
    options.report({ type: state === 'failed' ? 'publish_failed' : 'publish_refused', ...about(), error })
    return { seq, state, error }
  }
}

async function record(sql: QueryClient, { seq, state, streamSeq, error }: Outcome): Promise<void> {
  if (state === 'published') {
    await sql`
      update outbox set published_at = now(), stream_seq = ${streamSeq as number}, attempts = attempts + 1, last_error = null
      where seq = ${seq}`
    return
  }
  const message = error instanceof Error ? error.message : String(error)
  await sql`
    update outbox set attempts = attempts + 1, last_error = ${message.slice(0, 500)}
      ${state === 'refused' ? sql`, refused_at = now()` : sql``}
    where seq = ${seq}`
}
