// The questions of `doctor` to NATS: the servers of the URL one by one, and the stream with its copies and a service's consumer.
// Changes nothing. If a server is down: its entry says so, and the others are asked all the same.
import type { JetStreamManager, StreamInfo } from 'nats'
import { parseAddress } from './address.js'
import { connectEvents, type EventsConnection } from './connection.js'
import { consumerDifferences, type DurableOptions, findConsumer } from './durable.js'
import { classify } from './failures.js'
import { findStream } from './stream.js'
import { type StreamSettings, streamDifferences } from './stream-settings.js'

/** A server that was killed is not marked as offline for a minute and more; a living one sends something every second. @internal */
export const SILENT_NANOS = 10_000_000_000

export interface NatsServerFacts {
  /** `host:port` of the URL, without credentials. */
  readonly address: string
  /** Like `2.10.27`; null when it does not answer. */
  readonly version: string | null
  /** The name of its cluster; null without one. */
  readonly cluster: string | null
  readonly error: string | null
}

/** Each server that the URL names, within the deadline. Throws TypeError for a URL that cannot be read. */
export async function askServers(
  url: string,
  { ca, name, timeoutMs }: { ca?: string | undefined; name: string; timeoutMs: number },
): Promise<NatsServerFacts[]> {
  const { servers, credentials, tls } = parseAddress(url)
  const parts = credentials === null ? [] : 'token' in credentials ? [credentials.token] : Object.values(credentials)
  const login = credentials === null ? '' : `${parts.map(encodeURIComponent).join(':')}@`
  return Promise.all(
    servers.map(async address => {
      const connection = connectEvents({ url: `${tls ? 'tls' : 'nats'}://${login}${address}`, ca, name })
      try {
        if (!(await connection.ready(timeoutMs))) {
          const error = connection.lastError() ?? `no connection within ${timeoutMs / 1000} s`
          return { address, version: null, cluster: null, error }
        }
        // `cluster` is not in the types of nats 2.29.
        const { version, cluster } = connection.client().info as unknown as { version: string; cluster?: string }
        return { address, version, cluster: cluster ?? null, error: null }
      } finally {
        await connection.close(500)
      }
    }),
  )
}

export interface StreamInspection {
  readonly replicas: number
  /** The server that leads it; null without a cluster, and while there is no leader. */
  readonly leader: string | null
  /** The cluster it lives in; null without one. */
  readonly cluster: string | null
  /** Copies that are offline or behind, by their servers' names. */
  readonly lagging: readonly { readonly server: string; readonly offline: boolean; readonly behind: number }[]
  /** Settings by which events are lost or refused. */
  readonly differences: readonly string[]
  /** Bytes of its files that the server could not read. */
  readonly lostBytes: number
  /** The consumer's settings that differ; null when there is no consumer. */
  readonly consumer: readonly string[] | null
}

/** The stream, or null when there is none. Throws EventsUnavailable or EventRejected. */
export async function inspectStream(
  connection: EventsConnection,
  { durable, timeoutMs, ...wanted }: StreamSettings & { durable: DurableOptions; timeoutMs: number },
): Promise<StreamInspection | null> {
  try {
    const jsm: JetStreamManager = await connection.client().jetstreamManager({ timeout: timeoutMs, checkAPI: false })
    const stream = await findStream(jsm)
    if (stream === null) return null
    const consumer = await findConsumer(jsm, durable.durable)
    return { ...factsOf(stream, wanted), consumer: consumer && consumerDifferences(consumer, durable) }
  } catch (error) {
    throw classify(error, 'the stream could not be read')
  }
}

function factsOf({ config, cluster, state }: StreamInfo, wanted: StreamSettings) {
  const lagging = (cluster?.replicas ?? []).filter(({ offline, current }) => offline || !current)
  // Not in the types of nats 2.29.
  const { lost } = state as { lost?: { bytes?: number } }
  return {
    replicas: config.num_replicas,
    leader: cluster?.leader || null,
    cluster: cluster?.name ?? null,
    lagging: lagging.map(({ name, offline, active, lag }) => ({
      server: name,
      offline: offline === true || active > SILENT_NANOS,
      behind: lag ?? 0,
    })),
    differences: streamDifferences(config, wanted),
    lostBytes: lost?.bytes ?? 0,
  }
}
