// Owns the client a handler gets: tagged queries that lease a connection when they are first awaited, transactions on a
// connection of their own. Invariant: once its scope is over no query reaches the wire and every lease is back; a query
// still running then costs its connection. When the server is gone, each query in flight fails once, with one code.
import type { Connection } from '../connections/connection.js'
import type { Driver, DriverQuery } from '../connections/driver.js'
import { connectionClosed, toCaller, withCause } from '../connections/failures.js'
import type { Lease, Pool } from '../connections/pool.js'
import { leavesNoState } from '../connections/state.js'
import { TenantClientReleased, TenantCommitUnknown, TenantQueryTimeout } from '../errors.js'
import type { QueryClient, Settled, SqlClient, TransactionClient } from '../types.js'
import { createTag } from './tag.js'

export interface ClientOptions {
  readonly pool: Pool
  /** The key in the pool: the database. */
  readonly key: string
  readonly builder: Driver
  /** Milliseconds for one statement. */
  readonly queryTimeout: number
  readonly unavailable: () => Error
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

/** A connection in use by one statement sequence, and whether all of it was clean. */
interface Use {
  readonly lease: Lease
  readonly connection: Connection
  clean: boolean
  running: number
}

export function createClient(options: ClientOptions): ClientScope {
  const { pool, key, queryTimeout } = options
  const state = { over: false }
  const uses = new Set<Use>()

  async function take(): Promise<Use> {
    if (state.over) throw new TenantClientReleased()
    let lease: Lease
    try {
      lease = await pool.acquire(key, state)
    } catch (error) {
      if (state.over) throw new TenantClientReleased()
      throw failure(error, true, false)
    }
    const use: Use = { lease, connection: lease.connection, clean: true, running: 0 }
    if (state.over) {
      lease.release('clean')
      throw new TenantClientReleased()
    }
    uses.add(use)
    return use
  }

  function giveBack(use: Use): void {
    uses.delete(use)
    use.lease.release(use.running > 0 ? 'destroy' : use.clean ? 'clean' : 'reset')
  }

  const failure = (error: unknown, connecting: boolean, cancelled: boolean): unknown =>
    toCaller(error, { connecting, cancelled, unavailable: cause => withCause(options.unavailable(), cause) })

  /** Sends one query on a connection and watches its deadline; `done` runs once, before the caller hears of it. */
  function send(query: DriverQuery, use: Use, done: () => void): void {
    const { resolve, reject } = query
    let timedOut = false
    let over = false
    const expire = () => {
      timedOut = true
      use.connection.destroy(new TenantQueryTimeout())
    }
    let timer = setTimeout(expire, queryTimeout)
    const finish = (): boolean => {
      if (over) return false
      over = true
      clearTimeout(timer)
      use.running--
      done()
      return true
    }
    use.running++
    if (!leavesNoState(query)) use.clean = false
    query.resolve = value => {
      finish()
      resolve(value)
    }
    query.reject = error => {
      finish()
      reject(timedOut ? new TenantQueryTimeout() : failure(error, false, Boolean(query.cancelled)))
    }
    const { cursorFn } = query
    if (cursorFn) {
      // The deadline is the server's, batch by batch; the reader may take as long as it likes.
      query.cursorFn = async rows => {
        clearTimeout(timer)
        const answer = await cursorFn(rows)
        if (!over) timer = setTimeout(expire, queryTimeout)
        return answer
      }
    }
    use.connection.execute(query)
  }

  async function single(query: DriverQuery): Promise<void> {
    let use: Use
    try {
      use = await take()
    } catch (error) {
      query.reject(error)
      return
    }
    if (query.cancelled) giveBack(use)
    else send(query, use, () => giveBack(use))
  }

  /** A tag whose queries all run on one connection, until `end` makes it refuse. */
  function bind(use: Use): { tag: QueryClient; end(): void; firstError(): unknown } {
    let ended = false
    let first: unknown = null
    const tag = createTag(options.builder, query => {
      if (ended || state.over) return query.reject(new TenantClientReleased())
      // A statement nobody awaits must still fail the transaction.
      query.catch(error => {
        first ??= error
      })
      send(query, use, () => {})
    })
    return {
      tag,
      end: () => {
        ended = true
      },
      firstError: () => first,
    }
  }

  /** Runs our own BEGIN, COMMIT and the like within the statement deadline. */
  async function command(use: Use, text: string): Promise<string> {
    use.running++
    const timer = setTimeout(() => use.connection.destroy(new TenantQueryTimeout()), queryTimeout)
    try {
      return (await use.connection.run(text)).command
    } catch (error) {
      throw failure(error, false, false)
    } finally {
      clearTimeout(timer)
      use.running--
    }
  }

  async function transaction<T>(use: Use, options: string, fn: (sql: TransactionClient) => T | Promise<T>) {
    await command(use, `begin ${options.replace(/[^a-z, ]/gi, '')}`)
    const bound = bind(use)
    let result: Settled<T>
    try {
      result = await raceLoss(use, settleAll(fn(withSavepoints(use, bound))))
      if (bound.firstError()) throw bound.firstError()
    } catch (error) {
      bound.end()
      // A rollback that fails leaves a session nobody may have again.
      if (!use.connection.lost) await command(use, 'rollback').catch(reason => use.connection.destroy(reason))
      throw error
    }
    bound.end()
    await commit(use)
    return result
  }

  async function commit(use: Use): Promise<void> {
    let answer: string
    try {
      answer = await command(use, 'commit')
    } catch (error) {
      if (use.connection.lost) throw withCause(new TenantCommitUnknown(), error)
      throw error
    }
    // A transaction whose failure was swallowed inside answers COMMIT with ROLLBACK.
    if (answer !== 'COMMIT') {
      throw Object.assign(new Error('the transaction had failed and was rolled back'), { code: '25P02' })
    }
  }

  /** Fails as soon as the connection is lost, even while the function waits for something else. */
  function raceLoss<T>(use: Use, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const off = use.connection.watch(error => reject(failure(error, false, false)))
      work.then(resolve, reject).finally(off)
    })
  }

  function withSavepoints(use: Use, bound: { tag: QueryClient; firstError(): unknown }): TransactionClient {
    let count = 0
    async function savepoint<T>(
      nameOrFn: string | ((sql: TransactionClient) => T | Promise<T>),
      maybeFn?: (sql: TransactionClient) => T | Promise<T>,
    ): Promise<Settled<T>> {
      const fn = typeof nameOrFn === 'function' ? nameOrFn : (maybeFn as (sql: TransactionClient) => T | Promise<T>)
      const name = `s${count++}`
      await command(use, `savepoint ${name}`)
      const inner = bind(use)
      try {
        const result = await raceLoss(use, settleAll(fn(Object.assign(inner.tag, { savepoint }) as TransactionClient)))
        if (inner.firstError()) throw inner.firstError()
        inner.end()
        await command(use, `release savepoint ${name}`)
        return result
      } catch (error) {
        inner.end()
        if (!use.connection.lost) await command(use, `rollback to savepoint ${name}`)
        throw error
      }
    }
    return Object.assign(bound.tag, { savepoint }) as TransactionClient
  }

  async function begin<T>(
    optionsOrFn: string | ((sql: TransactionClient) => T | Promise<T>),
    maybeFn?: (sql: TransactionClient) => T | Promise<T>,
  ): Promise<Settled<T>> {
    const [how, fn] = typeof optionsOrFn === 'function' ? ['', optionsOrFn] : [optionsOrFn, maybeFn]
    const use = await take()
    try {
      return await transaction(use, how, fn as (sql: TransactionClient) => T | Promise<T>)
    } finally {
      giveBack(use)
    }
  }

  async function session<T>(fn: (sql: SessionClient) => Promise<T>): Promise<T> {
    const use = await take()
    use.clean = false
    const bound = bind(use)
    const sql = Object.assign(bound.tag, {
      begin: <R>(work: (sql: TransactionClient) => R | Promise<R>) => transaction(use, '', work),
    }) as SessionClient
    try {
      return await raceLoss(use, fn(sql))
    } finally {
      bound.end()
      giveBack(use)
    }
  }

  const sql = Object.assign(
    createTag(options.builder, query => void single(query)),
    { begin },
  ) as SqlClient

  return {
    sql,
    session,
    get over() {
      return state.over
    },
    release() {
      if (state.over) return
      state.over = true
      for (const use of [...uses]) {
        use.connection.destroy(connectionClosed('the request was over while its query was running'))
        giveBack(use)
      }
    },
  }
}

/** As in `postgres`: an array of promises is awaited as one. */
async function settleAll<T>(value: T | Promise<T>): Promise<Settled<T>> {
  return (Array.isArray(value) ? Promise.all(value) : value) as Promise<Settled<T>>
}
