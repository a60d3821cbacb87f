// The stream: made, kept to its settings, and its facts read. Only a caller that may create it calls ensureStream.
// Invariant: afterwards TENANTS holds tenant.> in files, drops nothing before maxAge and remembers message ids.
// If the server is down: throws; the callers' loops retry.
import { DiscardPolicy, type JetStreamManager, RetentionPolicy, StorageType, type StreamInfo } from 'nats'
import type { EventsConnection } from './connection.js'
import { apiErrorCode, classify, EventRejected } from './failures.js'
import type { Ensured } from './report.js'
import { STREAM, STREAM_SUBJECTS } from './subjects.js'

export interface StreamOptions {
  /** Copies in a cluster. Default 1. */
  replicas?: number
  /** How long events are kept, in milliseconds. Default 30 days, as long as the outbox keeps its rows. */
  maxAgeMs?: number
}

/** The facts that the relay and the reconciler compare: a new `created` or a smaller `lastSeq` is a stream made anew or rewound. */
export interface StreamState {
  readonly created: string
  readonly firstSeq: number
  readonly lastSeq: number
  readonly messages: number
}

const STREAM_NOT_FOUND = 10059
const STREAM_NAME_IN_USE = 10058
const SUBJECTS_OVERLAP = 10065
const API_TIMEOUT_MS = 2000
const NANOS_PER_MS = 1_000_000
const DEDUPE_WINDOW_MS = 2 * 60 * 1000
const DEFAULT_MAX_AGE_MS = 30 * 24 * 60 * 60 * 1000

/**
 * Creates TENANTS or brings its settings back. Two creators at once both succeed.
 * Throws {@link EventRejected} if another stream holds its subjects or the settings cannot be changed; NatsError otherwise.
 */
export async function ensureStream(
  jsm: JetStreamManager,
  options: StreamOptions = {},
): Promise<StreamState & { action: Ensured }> {
  const wanted = {
    subjects: STREAM_SUBJECTS,
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    num_replicas: options.replicas ?? 1,
    max_age: (options.maxAgeMs ?? DEFAULT_MAX_AGE_MS) * NANOS_PER_MS,
    duplicate_window: DEDUPE_WINDOW_MS * NANOS_PER_MS,
  }
  try {
    let found = await findStream(jsm)
    if (found === null) {
      try {
        return { ...facts(await jsm.streams.add({ name: STREAM, ...wanted })), action: 'created' }
      } catch (error) {
        // Another creator with other settings was faster: go on as if it had existed before.
        if (apiErrorCode(error) !== STREAM_NAME_IN_USE) throw error
        found = await jsm.streams.info(STREAM)
      }
    }
    if (agrees(found, wanted)) return { ...facts(found), action: 'unchanged' }
    return { ...facts(await jsm.streams.update(STREAM, wanted)), action: 'updated' }
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

/** {@link ensureStream} for callers outside this folder. Throws EventsUnavailable or EventRejected. */
export async function ensureTenantStream(
  connection: EventsConnection,
  options: StreamOptions = {},
): Promise<StreamState & { action: Ensured }> {
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

function manager(connection: EventsConnection): Promise<JetStreamManager> {
  return connection.client().jetstreamManager({ timeout: API_TIMEOUT_MS, checkAPI: false })
}

/** The stream's facts, or null when there is none. Throws NatsError. */
export async function streamState(jsm: JetStreamManager): Promise<StreamState | null> {
  const info = await findStream(jsm)
  return info === null ? null : facts(info)
}

async function findStream(jsm: JetStreamManager): Promise<StreamInfo | null> {
  try {
    return await jsm.streams.info(STREAM)
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

function facts(info: StreamInfo): StreamState {
  return {
    created: info.created,
    firstSeq: info.state.first_seq,
    lastSeq: info.state.last_seq,
    messages: info.state.messages,
  }
}
