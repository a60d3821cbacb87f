// The one NATS connection of a process: made in the background, reconnected without end, every change reported.
// Invariant: until close() there is a connection or an attempt at one; a connection the client gave up is replaced.
// If the server is down: status() reports it at once, nothing is queued, attempts go on with jitter.
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from 'nats'
import { pause } from '../timing/pause.js'
import { type Address, parseAddress } from './address.js'
import { EventsUnavailable } from './failures.js'
import { natsLibrary } from './libraries.js'
import { describe, guardReport, type Report } from './report.js'
import { inboxOf, isServiceName } from './subjects.js'
import { serverCheck } from './tls.js'

export type ConnectionStatus = 'connecting' | 'connected' | 'reconnecting' | 'closed'

export interface ConnectOptions {
  /** `nats://user:password@host:port`, several separated by commas. */
  url: string
  /** Certificates of the trusted authorities for tls://, in PEM. Default: those Node knows. */
  ca?: string | undefined
  /** Shown in the server's monitoring, e.g. `employee`; a service's short name also names its inbox. */
  name: string
  report?: Report
  /** TCP and handshake together. Default 2000. */
  connectTimeoutMs?: number
  /** Wait between attempts; up to half as much again is added at random. Default 250. */
  reconnectWaitMs?: number
}

export interface EventsConnection {
  readonly name: string
  status(): ConnectionStatus
  /** Why the last attempt or connection ended, without credentials; null once connected. */
  lastError(): string | null
  /** True as soon as connected, false after `timeoutMs` or once closed. */
  ready(timeoutMs: number): Promise<boolean>
  /** Whether the server demands authentication; null before the first connection. */
  secured(): boolean | null
  /** Calls back on every change of status; returns how to stop that. */
  watch(listener: (status: ConnectionStatus) => void): () => void
  /** The client's live connection, for this folder alone. Throws {@link EventsUnavailable} unless connected. @internal */
  client(): NatsConnection
  /** Sends what is buffered (at most `deadlineMs`, default 2000) and closes. Safe to call twice. */
  close(deadlineMs?: number): Promise<void>
}

// A frozen server or a half-open TCP connection is noticed after two unanswered pings: 4 to 6 s.
const PING_INTERVAL_MS = 2000

/** Returns at once and connects in the background. Throws TypeError for a URL that cannot be read. */
export function connectEvents(options: ConnectOptions): EventsConnection {
  const address = parseAddress(options.url)
  const report = guardReport(options.report)
  const timeout = options.connectTimeoutMs ?? 2000
  const wait = options.reconnectWaitMs ?? 250
  const delay = () => wait + Math.random() * (wait / 2)
  const closing = new AbortController()
  const listeners = new Set<(status: ConnectionStatus) => void>()
  let status: ConnectionStatus = 'connecting'
  let lastError: string | null = null
  let secured: boolean | null = null
  let live: NatsConnection | null = null
  let closed: Promise<void> | null = null

  const text = (error: unknown) => address.redact(describe(error))
  const become = (next: ConnectionStatus) => {
    if (status === next || status === 'closed') return
    status = next
    for (const listener of [...listeners]) listener(next)
  }

  const onConnected = (nc: NatsConnection, again: boolean) => {
    lastError = null
    secured = nc.info?.auth_required === true
    report({ type: 'connected', server: nc.getServer(), secured, again })
    become('connected')
  }

  // One connection of the client from its start to its close; the client itself reconnects in between.
  const liveThrough = async (nc: NatsConnection, again: boolean) => {
    live = nc
    onConnected(nc, again)
    // Not awaited: in nats 2.29 a status iterator never ends, not even with its connection (measured).
    void follow(nc)
    const error = await nc.closed()
    live = null
    const expected = closing.signal.aborted
    if (!expected) {
      lastError = error ? text(error) : 'the connection was closed'
      become('reconnecting')
    }
    report({ type: 'connection_closed', expected, error: error ? text(error) : null })
  }

  const follow = async (nc: NatsConnection) => {
    for await (const event of nc.status()) {
      if (event.type === 'disconnect') {
        lastError ??= 'the connection was lost'
        become('reconnecting')
        report({ type: 'disconnected', error: lastError })
      } else if (event.type === 'reconnect') {
        onConnected(nc, true)
      } else if (event.type === 'error') {
        const subject = event.permissionContext
          ? ` (${event.permissionContext.operation} ${event.permissionContext.subject})`
          : ''
        lastError = address.redact(`${String(event.data)}${subject}`)
        report({ type: 'server_error', error: lastError })
      }
    }
  }

  const keepConnected = async () => {
    let again = false
    for (let attempt = 1; !closing.signal.aborted; attempt++) {
      try {
        const nc = await natsLibrary().connect(clientOptions(address, options, timeout, delay))
        if (closing.signal.aborted) return await nc.close()
        await liveThrough(nc, again)
        again = true
        attempt = 0
      } catch (error) {
        lastError = text(error)
        report({ type: 'connect_failed', attempt, error: lastError })
      }
      await pause(delay(), closing.signal)
    }
  }
  const kept = keepConnected()

  return {
    name: options.name,
    status: () => status,
    lastError: () => lastError,
    secured: () => secured,
    watch(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    ready(timeoutMs) {
      if (status === 'connected' || status === 'closed') return Promise.resolve(status === 'connected')
      return new Promise(resolve => {
        const settle = () => {
          clearTimeout(timer)
          listeners.delete(check)
          resolve(status === 'connected')
        }
        const check = () => {
          if (status === 'connected' || status === 'closed') settle()
        }
        const timer = setTimeout(settle, timeoutMs)
        listeners.add(check)
      })
    },
    client() {
      if (live === null || status !== 'connected')
        throw new EventsUnavailable(`not connected to NATS: ${lastError ?? status}`)
      return live
    },
    close(deadlineMs = 2000) {
      closed ??= (async () => {
        closing.abort()
        const nc = live
        if (nc !== null) {
          if (status === 'connected')
            await Promise.race([nc.drain().catch(() => nc.close()), sleep(deadlineMs, undefined, { ref: false })])
          // A drain that missed its deadline, or a connection that is down: end it as it is.
          if (!nc.isClosed()) await nc.close()
        }
        become('closed')
        await kept
      })()
      return closed
    },
  }
}

function clientOptions(address: Address, { name, ca }: ConnectOptions, timeout: number, delay: () => number) {
  return {
    ...address.credentials,
    ...(address.tls && { tls: serverCheck(address, ca) }),
    servers: address.servers,
    name,
    // An inbox of its own, so that a NATS user can be denied the replies of others.
    ...(isServiceName(name) && { inboxPrefix: inboxOf(name) }),
    timeout,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: 2,
    reconnect: true,
    // The default of 10 attempts closes the connection for good after 20 s without the server.
    maxReconnectAttempts: -1,
    reconnectDelayHandler: delay,
  }
}
