// The primary among several servers of one PostgreSQL, found anew at each connect: the one that took the last connection first,
// the others when it fails, refuses, is a standby, or does not answer for a while. As `target_session_attrs=primary` of libpq.
// Invariant: no connection to a standby is handed out. Once another server is found to be the primary, every connection to the
// former one is closed: it may be frozen or cut off, and come back.
// If no server is a primary: each connect fails once all have answered, and the next one searches again.

import { guarded } from '../../timing/timers.js'
import type { DatabaseOptions } from '../address.js'
import type { Connect, Connection } from './connection.js'
import { deferConnection } from './deferred-connection.js'
import { connectionClosed, noPrimary } from './failures.js'
import { openConnection } from './open-connection.js'
import { type Target, tlsOptions } from './target.js'

interface Server extends Pick<Target, 'host' | 'port' | 'tls'> {
  readonly at: number
}

/** After this another server is tried beside one that does not answer: longer than a connect takes on a busy machine. */
const BESIDE_AFTER_MS = 1_000
/** While another server is silent, one that is a standby or cannot be reached is asked again so soon: it may be promoted meanwhile. */
const AGAIN_AFTER_MS = 250

/** Connects to the primary of several servers, whatever host, port and TLS the target has; one server is connected to as it is. */
export function connectorOf(database: DatabaseOptions): Connect {
  const { servers = [] } = database
  if (servers.length < 2) return openConnection
  return connectToPrimary(servers.map((server, at) => ({ ...server, at, tls: tlsOptions({ ...database, ...server }) })))
}

function connectToPrimary(servers: readonly Server[]): Connect {
  let last = 0
  const live = new Map<Connection, number>()

  function found(connection: Connection, { at, host, port }: Server): void {
    live.set(connection, at)
    connection.watch(() => live.delete(connection))
    if (at === last) return
    last = at
    const former = [...live].filter(([, server]) => server !== at)
    for (const [other] of former) other.destroy(connectionClosed(`${host}:${port} is the primary now`))
  }

  return (target, connectTimeout) => {
    const line = [...servers.slice(last), ...servers.slice(0, last)]
    const connect = (server: Server) => openConnection({ ...target, ...server }, connectTimeout)
    return deferConnection(startSearch(line, connect, found))
  }
}

function startSearch(
  line: readonly Server[],
  connect: (server: Server) => Connection,
  onFound: (connection: Connection, server: Server) => void,
) {
  const begun = new Set<Connection>()
  const timers = new Set<NodeJS.Timeout>()
  /** The last answer of each server that has answered and is no primary; null: it is a standby. */
  const answers = new Map<Server, Error | null>()
  let asked = 0
  let over = false
  let resolve: (connection: Connection) => void
  let reject: (error: Error) => void
  const found = new Promise<Connection>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })

  /** Ends the search; all but the chosen one are closed. */
  function end(error: Error, chosen: Connection | null): void {
    over = true
    for (const timer of timers) clearTimeout(timer)
    for (const connection of begun) if (connection !== chosen) connection.destroy(error)
  }

  function fail(error: Error): void {
    if (over) return
    end(error, null)
    reject(error)
  }

  function later(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      guarded(work)
    }, ms)
    timers.add(timer)
  }

  /** The first `count` servers of the line are asked from now on. */
  function askUpTo(count: number): void {
    while (!over && asked < Math.min(count, line.length)) {
      const place = asked++
      ask(line[place] as Server)
      later(BESIDE_AFTER_MS, () => askUpTo(place + 2))
    }
  }

  function ask(server: Server): void {
    if (over) return
    const connection = connect(server)
    begun.add(connection)
    connection.closed.then(() => begun.delete(connection))
    connection.opened.then(
      () => {
        if (over) return
        if (connection.standby) {
          void connection.close()
          return isNoPrimary(server, null)
        }
        end(connectionClosed('another server is the primary'), connection)
        onFound(connection, server)
        resolve(connection)
      },
      // A refusal ends no search: a standby that is behind lacks the newest databases and roles.
      (error: Error) => isNoPrimary(server, error),
    )
  }

  function isNoPrimary(server: Server, answer: Error | null): void {
    answers.set(server, answer)
    if (over) return
    if (answers.size === line.length) fail(verdict())
    else {
      askUpTo(line.indexOf(server) + 2)
      if (answer === null || !isRefusal(answer)) later(AGAIN_AFTER_MS, () => ask(server))
    }
  }

  function verdict(): Error {
    const failures = line.flatMap(server => answers.get(server) ?? [])
    const standbys = line.filter(server => answers.get(server) === null).map(({ host, port }) => `${host}:${port}`)
    const refusal = failures.find(isRefusal)
    // It names what to correct, whatever the others are.
    if (refusal) return refusal
    const [failure] = failures
    if (standbys.length === 0 && failure) return failure
    const rest = failure ? `; another: ${failure.message}` : ''
    return noPrimary(`${standbys.join(', ')} ${standbys.length > 1 ? 'are standbys' : 'is a standby'}${rest}`)
  }

  askUpTo(1)
  const closed = found.then(
    () => allClosed(),
    () => allClosed(),
  )
  const allClosed = async (): Promise<void> => {
    await Promise.all([...begun].map(connection => connection.closed))
  }
  return { found, closed, abandon: fail }
}

/** An answer of the server about this login or database; not that it is starting, stopping or full. */
const isRefusal = (error: Error): boolean => /^(28|3D)/.test(String((error as { code?: unknown }).code ?? ''))
