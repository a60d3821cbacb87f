// A service's consumer loop: stream and durable ensured, messages pulled while there is room, until stop().
// Invariant: whatever ends an attempt (stream or consumer deleted, silence, lost connection), the next one starts within
// seconds; stop() starts nothing new, finishes running handlers and gives the rest back.
// If the server is down: the loop waits, reports and retries.
import { setTimeout as sleep } from 'node:timers/promises'
import type { JetStreamManager, NatsConnection } from 'nats'
import { backoffMs } from '../timing/backoff.js'
import { pause } from '../timing/pause.js'
import { every, guarded } from '../timing/timers.js'
import type { EventsConnection } from './connection.js'
import { obtainConsumer } from './consumer-requests.js'
import type { DeadLetter } from './dead-letters.js'
import { createDelivery, type Delivery, defaultRetryDelay, type Epoch, type Incoming } from './delivery.js'
import { checkConsumer, type DurableOptions, ensureConsumer } from './durable.js'
import { EventsUnavailable } from './failures.js'
import { createLanes } from './lanes.js'
import type { Parsed } from './messages.js'
import { pull } from './pull.js'
import { describe, type Ensured, guardReport, type Report } from './report.js'
import { ensureStream, type StreamOptions, type StreamState, streamState } from './stream.js'
import { STREAM } from './subjects.js'

export interface ConsumeOptions<E extends { id: string }> extends DurableOptions {
  connection: EventsConnection
  /** Names the dead subject. */
  service: string
  parse: (subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>) => Parsed<E>
  /** Resolves: acknowledged. Throws DeadEvent: stored as a dead letter. Throws anything else: delivered again later. Must end by itself. */
  handle: (event: E, incoming: Incoming) => Promise<void>
  /** Stores a dead letter. If it throws, the message is delivered again later. */
  onDead: (dead: DeadLetter) => Promise<void>
  report?: Report
  /** Tenants handled side by side. Default 4. */
  concurrency?: number
  /** Makes the stream and its own consumer when they are missing: identity alone. Default false: asks identity. */
  mayCreateStream?: boolean
  stream?: StreamOptions
  /** Milliseconds until the next delivery after a failure. Default 1 s doubling to 30 s, with jitter. */
  retryDelayMs?: (deliveryCount: number) => number
}

export interface ConsumerState {
  readonly phase: 'waiting' | 'consuming' | 'stopped'
  /** Handlers at work, and messages held for them. */
  readonly running: number
  readonly waiting: number
  readonly lastError: string | null
  /** ISO 8601; null before the first message. */
  readonly lastMessageAt: string | null
}

export interface EventsConsumer {
  state(): ConsumerState
  /** Waits up to `deadlineMs` (default 10000) for running handlers, then aborts their signal. Safe to call twice. */
  stop(deadlineMs?: number): Promise<void>
}

// Together with a request that times out they keep "noticed and replaced" under 5 s.
const API_TIMEOUT_MS = 2000
// How soon stop() takes effect while there is no connection.
const READY_SLICE_MS = 250
const FIRST_PAUSE_MS = 100
/** A cluster that has chosen a leader is noticed within this. */
const LONGEST_PAUSE_MS = 500

/** Starts at once and returns; the first attempt waits for the connection. */
export function consume<E extends { id: string }>(options: ConsumeOptions<E>): EventsConsumer {
  const { connection, durable } = options
  const report = guardReport(options.report)
  const stopping = new AbortController()
  const impatient = new AbortController()
  const concurrency = options.concurrency ?? 4
  const lanes = createLanes<Delivery>({ concurrency, capacity: concurrency * 2, run: one => one.process() })
  const rules = {
    ...options,
    report,
    signal: impatient.signal,
    retryDelayMs: options.retryDelayMs ?? defaultRetryDelay,
  }
  const stopKeepingAlive = every((options.ackWaitMs ?? 30_000) / 3, () => {
    for (const delivery of lanes.held()) guarded(() => delivery.working())
  })
  let epoch: Epoch | null = null
  let phase: ConsumerState['phase'] = 'waiting'
  let lastError: string | null = null
  let lastMessageAt: string | null = null
  const unstarted: Delivery[] = []
  let failures = 0
  let stopped: Promise<void> | null = null

  async function ensure(nc: NatsConnection) {
    const jsm = await nc.jetstreamManager({ timeout: API_TIMEOUT_MS, checkAPI: false })
    const stream: (StreamState & { action?: Ensured }) | null =
      options.mayCreateStream === true ? await ensureStream(jsm, options.stream) : await streamState(jsm)
    if (stream === null) throw new EventsUnavailable(`the stream ${STREAM} does not exist yet; identity creates it`)
    const { created, lastSeq } = stream
    if (stream.action !== undefined && stream.action !== 'unchanged') {
      report({ type: 'stream_ensured', action: stream.action, created, lastSeq })
    }
    if (epoch?.created !== created) {
      if (epoch !== null) epoch.gone = true
      // Messages that were not started belong to a lost stream; its events come again or through the feed.
      lanes.dropWaiting()
      epoch = { created, gone: false }
    }
    const { info, action } = await ensureOwn(nc, jsm)
    if (action !== 'unchanged') report({ type: 'consumer_ensured', durable, action })
    const consumer = nc.jetstream({ timeout: API_TIMEOUT_MS }).consumers.getPullConsumerFor(info)
    return { epoch, consumer }
  }

  async function ensureOwn(nc: NatsConnection, jsm: JetStreamManager) {
    if (options.stream?.managed === 'elsewhere') {
      const checked = await checkConsumer(jsm, options)
      report({ type: 'settings_differ', of: durable, differences: checked.differences })
      return checked
    }
    if (options.mayCreateStream === true) return ensureConsumer(jsm, options)
    return obtainConsumer(nc, jsm, options.service, options)
  }

  // Returns when the connection was replaced or stop() was called; throws for every other end.
  async function attempt(): Promise<void> {
    const nc = connection.client()
    const { epoch: current, consumer } = await ensure(nc)
    phase = 'consuming'
    report({ type: 'consuming', durable })
    while (!stopping.signal.aborted && connection.status() === 'connected') {
      const max = await lanes.room(stopping.signal)
      if (max === 0) return
      const missed = await pull({
        connection,
        consumer,
        max,
        signal: stopping.signal,
        accept: message => {
          lastMessageAt = new Date().toISOString()
          const delivery = createDelivery(rules, nc, message, current)
          if (stopping.signal.aborted) unstarted.push(delivery)
          else lanes.add(delivery.key, delivery)
        },
      })
      if (missed > 0) {
        report({ type: 'stalled', durable, missedHeartbeats: missed })
        throw new EventsUnavailable('the subscription went silent')
      }
      failures = 0
      lastError = null
    }
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        if (await connection.ready(READY_SLICE_MS)) await attempt()
        else if (connection.status() === 'closed') throw new EventsUnavailable('the connection was closed')
      } catch (error) {
        if (stopping.signal.aborted) return
        const retryInMs = backoffMs({ firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS }, failures++)
        lastError = describe(error)
        phase = 'waiting'
        report({ type: 'consume_failed', durable, error: lastError, retryInMs })
        await pause(retryInMs, stopping.signal)
      }
      phase = 'waiting'
    }
  }
  const looped = loop()

  // nats-server 2.9.10 (measured): a nak while the pull that just ended is still queued makes it drop that message
  // until its ack wait is over and deliver another one twice. Reading the consumer's info clears such pulls away.
  async function giveBack(): Promise<void> {
    if (unstarted.length === 0) return
    try {
      const jsm = await connection.client().jetstreamManager({ timeout: API_TIMEOUT_MS, checkAPI: false })
      await jsm.consumers.info(STREAM, durable)
    } catch (error) {
      // A failed nak is ignored: at worst the server waits for the ack wait.
      lastError = describe(error)
    }
    for (const delivery of unstarted) delivery.giveBack()
  }

  async function finish(deadlineMs: number): Promise<void> {
    const deadline = sleep(deadlineMs, undefined, { ref: false })
    stopping.abort()
    unstarted.push(...lanes.dropWaiting())
    await Promise.race([looped.then(giveBack), deadline])
    await Promise.race([lanes.idle(), deadline])
    const unfinished = lanes.size()
    if (unfinished > 0) impatient.abort()
    stopKeepingAlive()
    // The acknowledgements are sent, but may not have arrived: a process that exits now would lose them.
    if (connection.status() === 'connected') {
      await Promise.race([connection.client().flush(), deadline]).catch((error: unknown) => {
        lastError = describe(error)
      })
    }
    phase = 'stopped'
    report({ type: 'consumer_stopped', durable, returned: unstarted.length, unfinished })
  }

  return {
    state: () => ({
      phase,
      running: lanes.running(),
      waiting: lanes.size() - lanes.running(),
      lastError,
      lastMessageAt,
    }),
    stop(deadlineMs = 10_000) {
      stopped ??= finish(deadlineMs)
      return stopped
    },
  }
}
