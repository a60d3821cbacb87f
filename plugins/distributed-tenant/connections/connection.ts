// Owns one connection: one socket, one database, one life. Never reconnects: the driver's own reconnect runs a dead
// transaction's statements in a new session (facts C). When its server is gone, it is closed and every query on it fails.

import { readFileSync } from 'node:fs'
import net from 'node:net'
import postgres from 'postgres'
import type { DatabaseOptions } from '../options.js'
import { type Driver, type DriverOptions, type DriverQuery, entrance } from './driver.js'
import { connectionClosed } from './failures.js'

/** Where to connect and how the session begins. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string | undefined
  /** From {@link tlsOptions}. */
  readonly tls: false | string | object
  readonly applicationName: string
  /** Milliseconds; the server's own guard behind our deadlines. 0: none. */
  readonly statementTimeout: number
  /** A pooler in transaction mode takes no startup parameters and no prepared statements (facts C3). */
  readonly pooler?: boolean
  readonly onNotify?: (channel: string, payload: string) => void
}

export interface Connection {
  readonly database: string
  /** Resolves when the server is ready for queries; rejects with the driver's error. */
  readonly opened: Promise<void>
  /** Resolves once the socket is closed: the server has let go. Never rejects. */
  readonly closed: Promise<void>
  /** Why it was lost, or null while it lives. */
  readonly lost: Error | null
  /** Calls back once when it is lost, at once if it is already; returns how to stop watching. */
  watch(onLost: (error: Error) => void): () => void
  /** Hands a query to the wire. */
  execute(query: DriverQuery): void
  /** Runs our own text in the simple protocol and resolves with its result. */
  run(text: string): Promise<{ command: string }>
  /** Says goodbye and waits for the server to close. */
  close(): Promise<void>
  /** Cuts the socket; queries in flight fail with `error`. */
  destroy(error: Error): void
}

/** A socket that tells when it is gone even after TLS has taken its listeners away. */
class CountedSocket extends net.Socket {
  readonly #gone: (error: Error | null) => void
  constructor(gone: (error: Error | null) => void) {
    super()
    this.#gone = gone
  }
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    super._destroy(error, result => {
      callback(result)
      this.#gone(error)
    })
  }
}

/** Begins to connect; `opened` tells the outcome. `connectTimeout` in milliseconds covers everything until ready. */
export function openConnection(target: Target, connectTimeout: number): Connection {
  let lost: Error | null = null
  let socket: CountedSocket | null = null
  let tellClosed: () => void
  const watchers = new Set<(error: Error) => void>()
  const closed = new Promise<void>(resolve => {
    tellClosed = resolve
  })

  const lose = (error: Error): void => {
    if (lost) return
    lost = error
    for (const onLost of watchers) onLost(error)
    watchers.clear()
  }

  const sql = postgres({
    ...sessionOptions(target),
    // Called for every socket the driver wants. Only the first is real: a second would be a reconnect.
    socket: () => {
      const mine = new CountedSocket(error => {
        if (socket !== mine) return
        clearTimeout(timer)
        lose(error ?? connectionClosed('the connection was closed'))
        tellClosed()
      })
      if (socket || lost) {
        setImmediate(() => mine.destroy(lost ?? connectionClosed('the connection was closed')))
        return mine
      }
      socket = mine
      mine.setNoDelay(true)
      // The driver reads `host` for TLS; it sets it only on sockets of its own.
      Object.assign(mine, { host: target.host, port: target.port })
      mine.connect({ host: target.host, port: target.port })
      return mine
    },
  } as DriverOptions) as Driver

  const enter = entrance(sql)
  const destroy = (error: Error): void => {
    if (lost) return
    lose(error)
    if (socket) socket.destroy(error)
    else tellClosed()
  }
  const timer = setTimeout(
    () => destroy(Object.assign(new Error(`no connection within ${connectTimeout} ms`), { code: 'CONNECT_TIMEOUT' })),
    connectTimeout,
  )
  const run = async (text: string): Promise<{ command: string }> => {
    if (lost) throw lost
    return (await sql.unsafe(text)) as unknown as { command: string }
  }
  const opened = run('select 1').then(
    () => clearTimeout(timer),
    error => {
      destroy(error as Error)
      throw error
    },
  )
  // `opened` may be awaited late or never; its failure is also told through `lost`.
  opened.catch(() => {})

  return {
    database: target.database,
    opened,
    closed,
    get lost() {
      return lost
    },
    watch(onLost) {
      if (lost) onLost(lost)
      else watchers.add(onLost)
      return () => watchers.delete(onLost)
    },
    execute(query) {
      if (lost) query.reject(lost)
      else enter(query)
    },
    run,
    destroy,
    async close() {
      if (!lost) {
        lose(connectionClosed('the connection was closed'))
        // `end` says goodbye and resolves when the server has closed; without a timeout it may never resolve (facts C).
        await sql.end({ timeout: 2 })
        socket?.destroy()
      }
      await closed
    },
  }
}

function sessionOptions(target: Target): object {
  return {
    host: target.host,
    port: target.port,
    database: target.database,
    user: target.user,
    pass: target.password,
    password: target.password,
    ssl: target.tls,
    max: 1,
    idle_timeout: null,
    max_lifetime: null,
    connect_timeout: null,
    prepare: !target.pooler,
    onnotice() {},
    ...(target.onNotify ? { onnotify: target.onNotify } : {}),
    connection: target.pooler
      ? {}
      : {
          application_name: target.applicationName,
          statement_timeout: target.statementTimeout,
          // The server notices within a second that we are gone and ends what it was running for us.
          client_connection_check_interval: 1000,
        },
  }
}

/** What the driver takes as `ssl`; reads the CA certificate, so call it once. */
export function tlsOptions(database: DatabaseOptions): Target['tls'] {
  if (database.ssl === 'disable') return false
  if (database.ssl !== 'verify-full') return database.ssl
  return {
    rejectUnauthorized: true,
    ca: readFileSync(database.sslRootCert as string, 'utf8'),
    // An address has no SNI, but its certificate is still checked against it.
    ...(net.isIP(database.host) ? { host: database.host } : { servername: database.host }),
  }
}
