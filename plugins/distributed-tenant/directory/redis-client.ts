// The Redis client: every command has its own short deadline, none is queued, none is sent twice. A dead or frozen Redis then
// costs a command at most a tenth of a second, and callers take every failure for a miss.
import type { Cluster, Redis } from 'ioredis'
import { startLoop } from '../../../timing/loop.js'
import type { RedisClient } from '../config/options.js'
import { requirePeer } from '../optional-peer.js'
import { parseRedisUrl, type RedisAddress } from './redis-address.js'

/** The part of `ioredis`'s client that is used here: an application without Redis does not install its types. */
export interface RedisConnection extends RedisClient {
  readonly status: string
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'ready', listener: () => void): unknown
  once(event: 'ready', listener: () => void): unknown
  getBuffer(key: string): Promise<Buffer | null>
  disconnect(): void
}

/** A request asks the registry rather than wait for longer. */
const COMMAND_DEADLINE_MS = 100

interface Deadlines {
  readonly commandTimeout?: number
}

/** Milliseconds that a command may take, also on a client passed in: what its options say, or else ours. */
export function commandDeadlineOf({ options }: Pick<RedisClient, 'options'>): number {
  const { commandTimeout, redisOptions } = (options ?? {}) as Deadlines & { redisOptions?: Deadlines }
  return commandTimeout ?? redisOptions?.commandTimeout ?? COMMAND_DEADLINE_MS
}

/** Errors that hold commands: of a Redis Cluster, the error of the node asked last. */
interface OfClient {
  command?: unknown
  readonly lastNodeError?: unknown
}

/**
 * The same error of a client without its commands, which a logger would print: that of a refused login holds the password, that of a
 * lookup the entry.
 */
export function withoutCommand<E>(error: E): E {
  if (typeof error !== 'object' || error === null) return error
  const held = error as OfClient
  delete held.command
  withoutCommand(held.lastNodeError)
  return error
}

/** What a server is that answers and cannot be used as the cache, and the cure; any other error as it is. Without its commands. */
export function namedFault(error: unknown): unknown {
  withoutCommand(error)
  const { message = '' } = error as Partial<Error>
  const cure = faults.find(({ starts }) => message.startsWith(starts))?.cure
  return cure ? new Error(cure, { cause: error }) : error
}

const faults = [
  { starts: 'READONLY', cure: 'it is a read-only replica: REDIS_URL must lead to the primary' },
  {
    starts: 'MOVED',
    cure: 'it is one node of a Redis Cluster: write REDIS_URL=redis+cluster://…, or pass a Cluster client',
  },
  {
    starts: 'ERR unknown command',
    cure: 'it takes no EVAL, as a sentinel: write REDIS_URL=redis+sentinel://…/<name of the primary>, or lead it to the server itself',
  },
]

/**
 * A client that connects in the background, for ever. It needs a listener for `error` from its maker.
 * The URL leads to one server, to a primary by its sentinels, or to a Redis Cluster: `redis-address.ts`.
 * Each option is needed: without any one of them a command hangs, waits for a reconnect, or runs twice (docs/decisions/0007).
 * With `rediss` the servers' certificates are verified: chain, time and name.
 * @param ca certificates of the trusted authorities, in PEM; default: Node's own authorities
 * @param commandTimeout milliseconds; default 100: a request asks the registry rather than wait
 * @throws CONFIGURATION_INVALID for a URL that cannot be read
 */
export function connectRedis(
  url: string,
  connectionName: string,
  ca?: string,
  commandTimeout = COMMAND_DEADLINE_MS,
): RedisConnection {
  const address = parseRedisUrl(url)
  // Loaded when there is a Redis: the operator's command and many services have none, and it takes a tenth of a second.
  const library = requirePeer<typeof import('ioredis')>('ioredis')
  const client = create(library, address, { connectionName, commandTimeout, tls: tlsOf(address, ca) })
  // The first listener: those behind it get the error of a refused login without the password.
  client.on('error', withoutCommand)
  return client
}

interface Given {
  readonly connectionName: string
  readonly commandTimeout: number
  readonly tls: { rejectUnauthorized: true; ca?: string } | undefined
}

const CONNECT_MS = 500
const SLOTS_MS = 2_000
const retryStrategy = (attempt: number): number => Math.min(50 * attempt, 500)

function create(
  { Redis, Cluster }: typeof import('ioredis'),
  address: RedisAddress,
  { connectionName, commandTimeout, tls }: Given,
): Redis | Cluster {
  const ofNode = {
    ...(tls && { tls }),
    connectionName,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout,
    connectTimeout: CONNECT_MS,
  }
  const own = { ...ofNode, enableOfflineQueue: false, retryStrategy }
  if (address.kind === 'server') return new Redis(address.tls ? withoutTls(address.url) : address.url, own)
  const { username, password } = address
  const login = { ...(username !== undefined && { username }), ...(password !== undefined && { password }) }
  if (address.kind === 'sentinel') {
    const { name, db, sentinels, sentinelUsername, sentinelPassword } = address
    return new Redis({
      ...own,
      ...login,
      name,
      db,
      sentinels: [...sentinels],
      ...(sentinelUsername !== undefined && { sentinelUsername }),
      ...(sentinelPassword !== undefined && { sentinelPassword }),
      ...(tls && { sentinelTLS: tls, enableTLSForSentinelMode: true }),
      sentinelCommandTimeout: CONNECT_MS,
      sentinelRetryStrategy: retryStrategy,
      // A frozen primary keeps its connections: the sentinels report that another one has taken its place.
      failoverDetector: true,
      // A former primary that came back as a replica: the next connection leads to the new one.
      reconnectOnError: error => error.message.startsWith('READONLY'),
    })
  }
  const cluster = new Cluster([...address.nodes], {
    enableOfflineQueue: false,
    clusterRetryStrategy: retryStrategy,
    // A command that meets a moved slot follows it. One that meets a dead node is given up: its caller asks the registry.
    maxRedirections: 3,
    retryDelayOnFailover: 20,
    retryDelayOnClusterDown: 20,
    slotsRefreshTimeout: CONNECT_MS,
    // A certificate names the host that the node announces, not its address.
    ...(tls && { dnsLookup: (host: string, found: (error: null, address: string) => void) => found(null, host) }),
    redisOptions: { ...ofNode, ...login },
  })
  refreshSlots(cluster)
  return cluster
}

/**
 * Asks for the slots now and then, so that a fail-over is seen without a command that meets it. In place of `slotsRefreshInterval`, which
 * goes on after `disconnect` when an answer is awaited at that moment (ioredis 5.4 to 6.0), and then no process ends.
 */
function refreshSlots(cluster: Cluster): void {
  const loop = startLoop(async () => {
    // A failure is an error event of the node; the next one asks another.
    if (cluster.status === 'ready') cluster.refreshSlotsCache(() => {})
    return SLOTS_MS
  })
  cluster.once('end', () => void loop.stop())
}

const tlsOf = ({ tls }: RedisAddress, ca: string | undefined): Given['tls'] =>
  tls ? { rejectUnauthorized: true, ...(ca !== undefined && { ca }) } : undefined

/** TLS is set by options: the URL's query parameters would win over them. */
function withoutTls(url: string): string {
  const address = new URL(url)
  address.searchParams.delete('tls')
  return address.href
}
