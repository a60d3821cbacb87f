// The stream: made, kept to its settings, and its facts read. Only a caller that may create it calls ensureStream.
// Invariants: afterwards TENANTS holds tenant.> in files, drops nothing before maxAge and remembers message ids; it has as many
// replicas as asked for, or more where an operator has set more, or as many as before where the servers cannot have so many.
// A stream that is managed elsewhere is read and compared, and never changed.
// If the server is down: throws; the callers' loops retry.
import type { JetStreamManager, StreamInfo } from 'nats'
import { firstAnswer } from '../timing/first-answer.js'
import type { EventsConnection } from './connection.js'
import { ASK_AGAIN_MS, apiErrorCode, classify, EventRejected, EventsUnavailable } from './failures.js'
import { describe, type Ensured } from './report.js'
import { isLimited, type StreamSettings, settingsOf, streamDifferences } from './stream-settings.js'
import { STREAM, STREAM_SUBJECTS } from './subjects.js'

export interface StreamOptions extends StreamSettings {
  /** `elsewhere`: by NACK, Terraform or by hand; stream and consumers are compared and never changed. Default `here`. */
  managed?: 'here' | 'elsewhere'
  /** Runs one creation at a time, over all processes: nats-server 2.10 takes several at once for several streams. */
  oneAtATime?: <T>(create: () => Promise<T>) => Promise<T>
}

/** The facts that the relay and the reconciler compare: a new `created` or a smaller `lastSeq` is a stream made anew or rewound. */
export interface StreamState {
  readonly created: string
  readonly firstSeq: number
  /** When the first message was stored, to the nanosecond. */
  readonly firstTime: string
  readonly lastSeq: number
  readonly messages: number
  /** Messages between the first and the last that are gone; 0 where a limit of the stream's own drops some. */
  readonly missing: number
  /** The server that leads it; null without a cluster, and while there is no leader. */
  readonly leader: string | null
}

export interface EnsuredStream extends StreamState {
  readonly action: Ensured
  /** Why it has fewer replicas than asked for; null when it has them. */
  readonly fewerReplicas: string | null
  /** By which events are lost or refused; of a stream that is managed elsewhere. */
  readonly differences: readonly string[]
}

const STREAM_NOT_FOUND = 10059
const STREAM_NAME_IN_USE = 10058
const SUBJECTS_OVERLAP = 10065
/** Too few servers in the cluster, or none. */
const NO_PLACE = new Set([10005, 10023, 10074])
const API_TIMEOUT_MS = 2000

/**
 * Creates TENANTS or brings its settings back. Two creators at once both succeed.
 * Throws {@link EventRejected} if another stream holds its subjects or the settings cannot be changed; NatsError otherwise.
 * @internal
 */
export async function ensureStream(jsm: JetStreamManager, options: StreamOptions = {}): Promise<EnsuredStream> {
  if (options.managed === 'elsewhere') return checkStream(jsm, options)
  const { replicas = 1, oneAtATime = create => create() } = options
  const wanted = settingsOf(options)
  const ensured = (info: StreamInfo, action: Ensured, fewerReplicas: string | null = null): EnsuredStream => ({
    ...facts(info),
    action,
    fewerReplicas,
    differences: [],
  })
  try {
    let found = await findStream(jsm)
    if (found === null) {
      const made = await oneAtATime(() => createStream(jsm, { ...wanted, num_replicas: replicas }))
      if (made.created) return ensured(made.info, 'created')
      found = made.info
    }
    const has = found.config.num_replicas
    const fewer = replicas > has ? await raiseReplicas(jsm, found, replicas) : null
    const rest = { ...wanted, num_replicas: fewer === null ? Math.max(has, replicas) : has }
    if (agrees(found, rest)) return ensured(found, 'unchanged', fewer)
    return ensured(await jsm.streams.update(STREAM, rest), 'updated', fewer)
  } catch (error) {
    if (apiErrorCode(error) === SUBJECTS_OVERLAP) {
      throw new EventRejected(
        `another stream already holds subjects of ${STREAM_SUBJECTS.join(', ')} (JetStream ${SUBJECTS_OVERLAP}): delete it or take those subjects from it`,
        { cause: error },
      )
    }
    throw error
  }
}

/** Throws {@link EventsUnavailable} when it is not there. */
async function checkStream(jsm: JetStreamManager, options: StreamOptions): Promise<EnsuredStream> {
  const found = await findStream(jsm)
  if (found === null) {
    throw new EventsUnavailable(
      `the stream ${STREAM} does not exist, and NATS_STREAM_MANAGED=elsewhere leaves it to what manages NATS: docs/clusters.md has its settings`,
    )
  }
  const differences = streamDifferences(found.config, options)
  return { ...facts(found), action: 'unchanged', fewerReplicas: null, differences }
}

async function createStream(jsm: JetStreamManager, settings: { num_replicas: number; subjects: string[] }) {
  // Another process had its turn before.
  const found = await findStream(jsm)
  if (found) return { info: found, created: false }
  try {
    return { info: await jsm.streams.add({ name: STREAM, ...settings }), created: true }
  } catch (error) {
    // Another creator with other settings was faster: go on as if it had existed before.
    if (apiErrorCode(error) === STREAM_NAME_IN_USE) return { info: await jsm.streams.info(STREAM), created: false }
    if (settings.num_replicas > 1 && NO_PLACE.has(apiErrorCode(error) ?? 0)) {
      throw new EventsUnavailable(needsCluster(settings.num_replicas, describe(error)), { cause: error })
    }
    throw error
  }
}

/** @returns why not; what is published meanwhile goes into the stream as it is */
async function raiseReplicas(jsm: JetStreamManager, found: StreamInfo, replicas: number): Promise<string | null> {
  // nats-server 2.9 and 2.10 without a cluster accept it, and keep one copy.
  if (!found.cluster?.name) return needsCluster(replicas, 'this server is in none')
  try {
    await jsm.streams.update(STREAM, { num_replicas: replicas })
    return null
  } catch (error) {
    if (apiErrorCode(error) === undefined) throw error
    return needsCluster(replicas, describe(error))
  }
}

const needsCluster = (replicas: number, reason: string): string =>
  `NATS_STREAM_REPLICAS=${replicas} needs a cluster of at least ${replicas} NATS servers with JetStream: ${reason}`

/** {@link ensureStream} for callers outside this folder. Throws EventsUnavailable or EventRejected. */
export async function ensureTenantStream(
  connection: EventsConnection,
  options: StreamOptions = {},
): Promise<EnsuredStream> {
  try {
    return await ensureStream(await manager(connection), options)
  } catch (error) {
    throw classify(error, `the stream ${STREAM} could not be ensured`)
  }
}

/** The stream's facts, or null when there is none. Throws EventsUnavailable or EventRejected. */
export async function readStreamState(connection: EventsConnection): Promise<StreamState | null> {
  try {
    return await streamState(await manager(connection))
  } catch (error) {
    throw classify(error, `the stream ${STREAM} could not be read`)
  }
}

/** The sequences between its first and its last message that are gone. Throws EventsUnavailable or EventRejected. */
export async function readMissing(connection: EventsConnection): Promise<number[]> {
  try {
    const { state } = await (await manager(connection)).streams.info(STREAM, { deleted_details: true })
    return state.deleted ?? []
  } catch (error) {
    throw classify(error, `the stream ${STREAM} could not be read`)
  }
}

function manager(connection: EventsConnection): Promise<JetStreamManager> {
  return connection.client().jetstreamManager({ timeout: API_TIMEOUT_MS, checkAPI: false })
}

/** The stream's facts, or null when there is none. Throws NatsError. @internal */
export async function streamState(jsm: JetStreamManager): Promise<StreamState | null> {
  const info = await findStream(jsm)
  return info === null ? null : facts(info)
}

/** Null when there is none. Throws NatsError. @internal */
export async function findStream(jsm: JetStreamManager): Promise<StreamInfo | null> {
  try {
    return await firstAnswer(() => jsm.streams.info(STREAM), ASK_AGAIN_MS)
  } catch (error) {
    if (apiErrorCode(error) === STREAM_NOT_FOUND) return null
    throw error
  }
}

// Compared as text: `subjects` is a list, everything else a number or a name.
function agrees(info: StreamInfo, wanted: object): boolean {
  const config = info.config as unknown as Record<string, unknown>
  return Object.entries(wanted).every(([key, value]) => JSON.stringify(config[key]) === JSON.stringify(value))
}

function facts({ created, config, state, cluster }: StreamInfo): StreamState {
  const { first_seq, last_seq, messages } = state
  return {
    created,
    firstSeq: first_seq,
    firstTime: String(state.first_ts),
    lastSeq: last_seq,
    messages,
    missing: messages === 0 || isLimited(config) ? 0 : Math.max(0, last_seq - first_seq + 1 - messages),
    leader: cluster?.leader || null,
  }
}
