// One connection: one socket, one database, one life. Never reconnects: the driver's own reconnect runs a dead transaction's
// statements in a new session (docs/decisions/0001).
// If the server is down: the connection is closed and every query on it fails.

import { guarded } from '../../timing/timers.js'
import { sendCancel } from './cancel-request.js'
import type { Connection, StatementListener } from './connection.js'
import { createInstance, type DriverConnection, type DriverQuery, defaultCodecs } from './driver.js'
import { fromTheFirstRow, ROWLESS, withoutStatement } from './driver-faults.js'
import { connectionClosed, isStale } from './failures.js'
import { completed } from './late-types.js'
import { createSocket } from './open-socket.js'
import { createSessionCodecs } from './own-codecs.js'
import { endSession } from './session-end.js'
import { CountedSocket } from './socket.js'
import { createStatementNames } from './statement-names.js'
import { sessionOptions, type Target } from './target.js'
import { createTypeQuestions } from './type-questions.js'
import { createWire } from './wire.js'

/** Each distinct statement stays prepared in its session for good (docs/decisions/0001); past this many it is time for a new one. */
const WORN_AFTER_STATEMENTS = 1_000

type Writable<T> = { -readonly [Of in keyof T]: T[Of] }

/** Begins to connect; `opened` has the outcome. `connectTimeout` in milliseconds covers everything until ready. */
export function openConnection(target: Target, connectTimeout: number): Connection {
  // Plain properties: an object with getters has a hidden class of its own, which keeps it and all it holds until a full collection.
  const seen: Pick<Writable<Connection>, 'lost' | 'worn' | 'standby' | 'transacting'> = {
    lost: null,
    worn: false,
    standby: false,
    transacting: false,
  }
  let ready = false
  let taken = false
  /** The first query has its answer. */
  let answered = false
  let statements = 0
  /** The query being handed to the driver right now. */
  let handing: DriverQuery | null = null
  /** The query handed last, while it has no answer: it knows its backend, and whether it is running. */
  let latest: DriverQuery | null = null
  let resolveClosed: () => void
  const watchers = new Set<(error: Error) => void>()
  const closed = new Promise<void>(resolve => {
    resolveClosed = resolve
  })

  const lose = (error: Error): void => {
    if (seen.lost) return
    seen.lost = error
    clearTimeout(timer)
    for (const query of wire.drain()) query.reject(error)
    for (const onLost of watchers) onLost(error)
    watchers.clear()
  }

  const gone = (error: Error | null): void => {
    const over = (): void => {
      if (!seen.lost) lose(error ?? connectionClosed('the server closed the connection'))
      resolveClosed()
    }
    // A refused certificate closes the socket under TLS without an error; the driver reports the reason right after.
    if (error || ready || !target.tls) over()
    else socket.once('close', () => setImmediate(() => guarded(over)))
  }
  // PostgreSQL 14 and later report it at the start of a session, and when it changes.
  const onStandby = (is: boolean): void => {
    seen.standby = is
  }
  const { socket, begin } = createSocket(target, { gone, onStandby })

  const types = target.arrayTypes?.session()
  const session = createSessionCodecs(types?.codecs ?? defaultCodecs)
  const sql = createInstance({
    ...sessionOptions(target),
    ...session.codecs,
    onparameter(name: string, value: string) {
      if (name === 'in_hot_standby') onStandby(value === 'on')
    },
    // Called for every socket the driver wants. Only the first is real: a second would be a reconnect.
    socket: () => {
      if (!taken && !seen.lost) {
        taken = true
        return socket
      }
      const refused = new CountedSocket(() => {})
      setImmediate(() => refused.destroy(seen.lost ?? connectionClosed('the connection was closed')))
      return refused
    },
  })
  const wire = createWire(hand)
  const questions =
    types && createTypeQuestions(types, { query: queryOfOurs, enterFirst: wire.enterFirst, lost: () => seen.lost })
  const names =
    target.pooler && createStatementNames({ sql, pooler: target.pooler, database: target.database, execute, run })
  begin()

  function destroy(error: Error): void {
    if (seen.lost) return
    lose(error)
    if (ready) leave()
    else socket.destroy(error)
  }

  /** The queries have failed already: a connection is counted for as long as the server has its session. */
  function leave(): void {
    const byDriver = () => void sql.end({ timeout: 0 })
    endSession({ socket, target, closed, latest, quiet: answered && !wire.isBusy(), byDriver })
  }

  function execute(query: DriverQuery, listener?: StatementListener): void {
    const { resolve, reject } = query
    if (target.pooler) query.pooled = true
    if (seen.lost) {
      if (listener) listener.rejected(seen.lost)
      else reject(seen.lost)
      return
    }
    let over = false
    const settled = (): void => {
      if (query.codecs && query.active) session.current = null
      if (over) return
      over = true
      // An idle session keeps no reference to a query.
      if (latest === query) latest = null
      // A query that was never sent must not be sent any more.
      if (query.state === null) query.cancelled = true
      else wire.answered()
      if (query.prepare && !query.prepared && ++statements >= WORN_AFTER_STATEMENTS) seen.worn = true
    }
    query.resolve = value => {
      settled()
      if (query.unread) {
        const { reason } = query.unread
        if (listener) listener.rejected(reason)
        else reject(reason)
        return
      }
      const whole = fromTheFirstRow(value)
      const answer = (): void => {
        if (listener) listener.resolved(whole)
        else resolve(whole)
      }
      const late = types && questions && types.unknown.size > 0 ? completed(whole, types, questions.ask) : null
      if (late) {
        late.then(answer, error => {
          if (listener) listener.rejected(error)
          else reject(error)
        })
      } else answer()
    }
    query.reject = error => {
      if (handing && handing !== query) {
        misdirected(handing, error)
      } else {
        settled()
        if (target.pooler && isStale(error)) {
          target.pooler.refused(target.database)
          names?.allow(false)
        }
        if (!seen.lost) recount()
        if (session.threw) seen.worn = true
        // One reason for every query of a lost connection: the driver's codes vary with timing.
        if (listener) listener.rejected(seen.lost ?? error)
        else reject(seen.lost ?? error)
        if (session.threw) destroy(connectionClosed('a parser of a caller’s own has thrown'))
      }
    }
    if (query.codecs) query.turn = its => readAs(its ? query : null)
    // Its rows are passed on one by one: types they may hold are read before, at the cost of a query on the way.
    if (questions && (query.cursorFn || query.forEachFn)) wire.enter(questions.question(() => {}))
    wire.enter(query)
  }

  /** A query of this connection's own, beside its callers'. */
  function queryOfOurs(text: string, settled: (error: unknown, answer?: unknown) => void): DriverQuery {
    const query = sql.unsafe(text) as unknown as DriverQuery
    query.resolve = answer => {
      if (latest === query) latest = null
      wire.answered()
      settled(undefined, answer)
    }
    query.reject = error => {
      if (handing && handing !== query) {
        misdirected(handing, error)
        return
      }
      if (query.state !== null) wire.answered()
      settled(error)
    }
    return query
  }

  function readAs(query: DriverQuery | null): void {
    session.current = query?.codecs ? (query as NonNullable<typeof session.current>) : null
  }

  /**
   * A statement with parameters, and a cursor, are sent without a Sync at first. Behind another statement that loses the answer
   * through PgBouncer (1.18, outside of a transaction): its server connection is free once the one in front is answered.
   */
  const mayPipeline = (): boolean => !target.pooler || seen.transacting

  function hand(driver: DriverConnection, query: DriverQuery): boolean {
    handing = query
    latest = query
    const { current } = session
    readAs(query)
    const more = driver.execute(query)
    // It waits behind another, whose answer comes first.
    if (!query.active) session.current = current
    handing = null
    return more && mayPipeline()
  }

  /**
   * After a statement that failed half way the driver continues its count of rows, so that the next result begins with as
   * many holes. A command that returns no rows resets the count, for statements that are not sent yet. Inside a failed
   * transaction it is refused, and then only the rollback comes next, which does the same.
   */
  function recount(): void {
    wire.enterFirst(queryOfOurs(ROWLESS, () => {}))
  }

  /**
   * A query that cannot be built (an undefined value, say) behind a running one: the driver fails the running one in its
   * place and then waits for the answer to a query that it never sent. The right one is rejected, and the connection is closed.
   */
  function misdirected(culprit: DriverQuery, error: unknown): void {
    handing = null
    // Rejected before the connection is lost, whose error it would get otherwise; and not leased in between.
    seen.worn = true
    culprit.reject(withoutStatement(error))
    destroy(connectionClosed('a statement behind this one could not be built'))
  }

  /** Past the driver's lazy start of a query, which takes three promises more. */
  function run(text: string): Promise<readonly unknown[] & { command: string }> {
    return new Promise((resolve, reject) => {
      const query = sql.unsafe(text) as unknown as DriverQuery
      query.executed = true
      execute(query, { resolved: resolve as (value: unknown) => void, rejected: reject })
    })
  }

  const late = () =>
    destroy(Object.assign(new Error(`no connection within ${connectTimeout} ms`), { code: 'CONNECT_TIMEOUT' }))
  const timer = setTimeout(() => guarded(late), connectTimeout)

  const opened = new Promise<void>((resolve, reject) => {
    const open = (): void => {
      ready = true
      clearTimeout(timer)
      resolve()
    }
    const question = sql.unsafe(types?.first ?? (types && !target.pooler ? '' : 'select 1'), [], {
      // Called when the server is ready for queries. A pooler sends that before it has a server: there only an answer
      // proves it. Otherwise the first statement need not wait for this one.
      onexecute(driver: DriverConnection) {
        if (!target.pooler) open()
        wire.connect(driver)
        return true
      },
    } as object) as unknown as DriverQuery
    question.resolve = answer => {
      answered = true
      types?.learn(answer)
      if (target.pooler?.mustAsk) {
        // Not yet: the driver is still busy with the answer.
        queueMicrotask(() => {
          names?.learn().then(open, error => {
            destroy(error as Error)
            reject(seen.lost ?? error)
          })
        })
      } else open()
    }
    question.reject = error => {
      // A first statement that cannot be built, behind this one.
      if (handing) {
        misdirected(handing, error)
        return
      }
      destroy(error as Error)
      reject(seen.lost ?? error)
    }
    question.execute()
  })
  // `opened` may be awaited late or never; its failure is also in `lost`.
  opened.catch(() => {})

  return Object.assign(seen, {
    opened,
    closed,
    watch(onLost: (error: Error) => void) {
      if (seen.lost) onLost(seen.lost)
      else watchers.add(onLost)
      return () => watchers.delete(onLost)
    },
    execute,
    run,
    async cancel(query: DriverQuery) {
      if (query.state) await sendCancel(target, query.state)
    },
    destroy,
    close() {
      destroy(connectionClosed('the connection was closed'))
      return closed
    },
  })
}
