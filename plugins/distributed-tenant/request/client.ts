// Owns the client a handler gets: tagged queries that lease a connection when they are first awaited, transactions on a
// connection of their own. Invariant: once its scope is over no query reaches the wire and every lease is back; a query
// still running then costs its connection. When the server is gone, each query in flight fails once, with one code.
import { type Driver, type DriverQuery, unheard } from '../connections/driver.js'
import { connectionClosed, toCaller, withCause } from '../connections/failures.js'
import type { Lease, Pool } from '../connections/pool.js'
import type { Scope } from '../connections/queue.js'
import { TenantClientReleased } from '../errors.js'
import type { QueryClient, Settled, SqlClient, TransactionClient } from '../types.js'
import { createTag } from './tag.js'
import { bind, transaction, untilLost } from './transaction.js'
import { createUse, type Follow, type Use } from './use.js'

export interface ClientOptions {
  readonly pool: Pool
  /** The key in the pool: the database. */
  readonly key: string
  readonly builder: Driver
  /** Milliseconds for one statement. */
  readonly queryTimeout: number
  readonly unavailable: () => Error
  readonly follow?: Follow
}

/** A client and the end of its life. */
export interface ClientScope {
  readonly sql: SqlClient
  /** Ends the scope: refuses what comes later, cuts what still runs, gives everything back. Safe to call twice. */
  release(): void
  readonly over: boolean
  /** A connection for statements that must share a session (advisory locks, DDL outside transactions). */
  session<T>(fn: (sql: SessionClient) => Promise<T>): Promise<T>
}

/** Statements on one connection, with transactions on that same connection. */
export interface SessionClient extends QueryClient {
  begin<T>(fn: (sql: TransactionClient) => T | Promise<T>): Promise<Settled<T>>
}

export function createClient(options: ClientOptions): ClientScope {
  const { pool, key, builder, queryTimeout, unavailable, follow } = options
  let over = false
  const isOver = () => over
  const uses = new Set<Use>()
  const leavers = new Set<() => void>()
  const scope: Scope = {
    get over() {
      return over
    },
    onOver(leave) {
      leavers.add(leave)
      return () => leavers.delete(leave)
    },
  }
  const useOptions = {
    queryTimeout,
    unavailable,
    end: builder.CLOSE,
    over: isOver,
    onReadOnly: () => void pool.evict(key),
    follow,
  }
  const bindTo = (use: Use) => bind(use, builder, isOver)

  async function take(): Promise<Use> {
    if (over) throw new TenantClientReleased()
    let lease: Lease
    const waited = follow?.wait(key)
    try {
      lease = await pool.acquire(key, scope)
      waited?.()
    } catch (error) {
      waited?.(error)
      if (over) throw new TenantClientReleased()
      throw toCaller(error, {
        connecting: true,
        cancelled: false,
        lost: false,
        readOnly: false,
        unavailable: cause => withCause(unavailable(), cause),
      })
    }
    if (over) {
      lease.release('clean')
      throw new TenantClientReleased()
    }
    const use = createUse(lease, useOptions)
    uses.add(use)
    return use
  }

  function giveBack(use: Use): void {
    uses.delete(use)
    use.finish()
  }

  async function single(query: DriverQuery): Promise<void> {
    unheard(query)
    if (query.cancelled) return
    let use: Use
    try {
      use = await take()
    } catch (error) {
      query.reject(error)
      return
    }
    if (query.cancelled) giveBack(use)
    else use.send(query, () => giveBack(use))
  }

  async function begin<T>(
    optionsOrFn: string | ((sql: TransactionClient) => T | Promise<T>),
    maybeFn?: (sql: TransactionClient) => T | Promise<T>,
  ): Promise<Settled<T>> {
    const [how, fn] = typeof optionsOrFn === 'function' ? ['', optionsOrFn] : [optionsOrFn, maybeFn]
    const use = await take()
    try {
      return await transaction(use, bindTo, how, fn as (sql: TransactionClient) => T | Promise<T>)
    } finally {
      giveBack(use)
    }
  }

  async function session<T>(fn: (sql: SessionClient) => Promise<T>): Promise<T> {
    const use = await take()
    use.leaves('reset')
    const bound = bindTo(use)
    const sql = Object.assign(bound.tag, {
      begin: <R>(work: (sql: TransactionClient) => R | Promise<R>) => transaction(use, bindTo, '', work),
    }) as SessionClient
    try {
      return await untilLost(use, async () => fn(sql))
    } finally {
      bound.end()
      giveBack(use)
    }
  }

  const sql = Object.assign(
    createTag(builder, query => void single(query)),
    { begin },
  ) as SqlClient

  return {
    sql,
    session,
    get over() {
      return over
    },
    release() {
      if (over) return
      over = true
      for (const leave of [...leavers]) leave()
      for (const use of [...uses]) {
        use.connection.destroy(connectionClosed('the request was over while its query was running'))
        giveBack(use)
      }
    },
  }
}
