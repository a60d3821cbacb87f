// The relay: publishes the waiting rows of the outbox, watches the stream, sweeps. Invariants: a row is published at least
// once and in order per tenant, by however many relays; a row that can never be accepted is set aside and blocks no other.
// NOTIFY only shortens the wait; every row is found by polling.
// If NATS is down: rows wait.

import { backoffMs } from '../../../timing/backoff.js'
import { startLoop } from '../../../timing/loop.js'
import type { RelayReport, Sent } from '../diagnostics/steps.js'
import { claimRows, type OutboxRow, type Outcome, recordOutcomes, sweepOutbox } from '../registry/outbox.js'
import type { JsonObject, SqlClient } from '../types.js'
import { createStreamWatch, type StreamFacts } from './stream-loss.js'

export interface RelayOptions {
  readonly central: SqlClient
  readonly stream: string
  readonly publish: (message: {
    subject: string
    payload: JsonObject
    messageId: string
    headers: Record<string, string>
  }) => Promise<{ seq: number; duplicate: boolean }>
  /** The stream as it is, made where that is allowed. */
  readonly readStream: () => Promise<StreamFacts>
  /** The sequences between its first and its last message that are gone. */
  readonly readMissing: () => Promise<number[]>
  /** True for an error after which the same message may be sent again. */
  readonly mayRetry: (error: unknown) => boolean
  readonly report: (event: RelayReport) => void
  /** Milliseconds between polls. Default 1,000. */
  readonly pollMs?: number
}

export interface Relay {
  /** A row was written: publish now. */
  kick(): void
  /** The stream may be another one: check now. */
  look(): void
  stop(): Promise<void>
}

const BATCH = 100
const AFTER_FAILURE = { firstMs: 100, longestMs: 5_000 }
/** While the stream does not answer no row is claimed: asking costs one read of the database. */
const UNANSWERED = { firstMs: 100, longestMs: 500 }
/** A stream that was replaced is noticed within this. */
const LOOK_MS = 3_000
const SWEEP_MS = 3_600_000

export function startRelay(options: RelayOptions): Relay {
  const { central, report } = options
  const pollMs = options.pollMs ?? 1_000
  const watch = createStreamWatch({
    central,
    stream: options.stream,
    read: options.readStream,
    readMissing: options.readMissing,
  })
  let created: string | null = null
  let lookAt = 0
  // Replicas that start together do not sweep together.
  let sweepAt = performance.now() + Math.random() * 60_000
  let failures = 0
  let unanswered = 0

  /** The wait grows while the database is down or the stream takes nothing, and stays short while it does not answer. */
  async function run(): Promise<number> {
    try {
      const outcome = await turn()
      unanswered = 0
      if (outcome === 'stuck') {
        // A publish waits longer for an answer, and writes its failure: the stream is asked first.
        lookAt = 0
        return backoffMs(AFTER_FAILURE, failures++)
      }
      failures = 0
      return outcome === 'progress' ? 0 : pollMs
    } catch (error) {
      report({ type: 'relay_failed', error })
      return options.mayRetry(error) ? backoffMs(UNANSWERED, unanswered++) : backoffMs(AFTER_FAILURE, failures++)
    }
  }

  async function turn(): Promise<BatchOutcome> {
    const now = performance.now()
    if (created === null || now >= lookAt) {
      lookAt = now + LOOK_MS
      try {
        await look()
      } catch (error) {
        lookAt = 0
        throw error
      }
    }
    if (now >= sweepAt) {
      sweepAt = now + SWEEP_MS
      report({ type: 'swept', rows: await sweepOutbox(central) })
    }
    try {
      return await relayBatch(options, created as string, seq => {
        if (!watch.confirmed(seq)) lookAt = 0
      })
    } finally {
      watch.batchEnded()
    }
  }

  async function look(): Promise<void> {
    const seen = await watch.look()
    created = seen.created
    if (seen.loss) report({ type: seen.loss, rows: seen.refed })
    report({ type: 'looked' })
  }

  const loop = startLoop(run)
  return {
    kick: loop.wake,
    look() {
      lookAt = 0
      loop.wake()
    },
    stop: () => loop.stop(),
  }
}

/** `progress`: a row was published, so the next of its tenant may follow at once. `stuck`: no row could be. */
type BatchOutcome = 'empty' | 'progress' | 'stuck'

async function relayBatch(
  options: RelayOptions,
  streamCreated: string,
  confirmed: (seq: number) => void,
): Promise<BatchOutcome> {
  const outcomes = await options.central.begin(async sql => {
    const rows = await claimRows(sql, BATCH)
    if (rows.length === 0) return []
    options.report({ type: 'claimed', rows: rows.length })
    const all = await Promise.all(rows.map(row => publishOne(options, row, confirmed)))
    await recordOutcomes(sql, all, streamCreated)
    return all
  })
  if (outcomes.length === 0) return 'empty'
  options.report({ type: 'recorded', rows: outcomes.length })
  return outcomes.some(outcome => outcome.state !== 'failed') ? 'progress' : 'stuck'
}

async function publishOne(
  options: RelayOptions,
  { seq, subject, payload, messageId, headers }: OutboxRow,
  confirmed: (seq: number) => void,
): Promise<Outcome> {
  const started = performance.now()
  const sent = (): Sent => ({ subject, headers, ms: performance.now() - started })
  try {
    const ack = await options.publish({ subject, payload, messageId, headers })
    if (!ack.duplicate) confirmed(ack.seq)
    options.report({ type: 'published', ...sent() })
    return { seq, state: 'published', streamSeq: ack.seq }
  } catch (error) {
    const state = options.mayRetry(error) ? 'failed' : 'refused'
    options.report({ type: state === 'failed' ? 'publish_failed' : 'publish_refused', ...sent(), error })
    return { seq, state, error: (error instanceof Error ? error.message : String(error)).slice(0, 500) }
  }
}
