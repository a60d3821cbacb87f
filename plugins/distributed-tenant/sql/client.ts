// Owns the client a handler gets: tagged queries that lease a connection when they are first awaited, transactions on a
// connection of their own. Invariant: once its scope is over no query reaches the wire and every lease is back; a query
// still running then costs its connection, unless others share that. When the server is gone, each query in flight fails
// once, with one code. A client is made for every request, so what can be is on prototypes and shared by all of a pool.

import type { Driver, DriverQuery } from '../connections/driver.js'
import { connectionClosed, toCaller, withCause } from '../connections/failures.js'
import { TenantClientReleased } from '../errors.js'
import type { Lease, Pool } from '../pool/pool.js'
import { type Claim, claimOf } from '../pool/statement-sharing.js'
import type { Scope } from '../pool/wait-queue.js'
import type { SessionClient, Settled, SqlClient, TransactionClient } from '../types.js'
import { GRACE_MS, Use } from './connection-use.js'
import type { Ending, Follow, UseOptions } from './statement.js'
import { createDeadlines } from './statement-deadlines.js'
import { createTagMaker, type TagMaker } from './tagged-template.js'
import { bind, transaction, untilLost } from './transaction.js'

export interface ClientsOptions {
  readonly pool: Pool
  readonly builder: Driver
  /** Milliseconds for one statement. */
  readonly queryTimeout: number
  readonly unavailable: () => Error
  readonly follow?: Follow
  /** After a write that the server refused: what its caller is told instead, if there is more to say. */
  readonly refusedWrite?: UseOptions['refusedWrite']
}

/** A client and the end of its life. */
export interface ClientScope {
  readonly sql: SqlClient
  /** Ends the scope: refuses what comes later, cuts what still runs, gives everything back. Safe to call twice. */
  release(): void
  readonly over: boolean
  /** How often it had a connection. */
  readonly leases: number
  /** A connection for statements that must share a session (advisory locks, DDL outside transactions). */
  session<T>(fn: (sql: SessionClient) => Promise<T>): Promise<T>
}

type Work<T> = (sql: TransactionClient) => T | Promise<T>

interface Shared extends UseOptions {
  readonly pool: Pool
  readonly makeTag: TagMaker
}

/** Makes clients of one pool; the key of each is its database. */
export function createClients(options: ClientsOptions): (key: string) => ClientScope {
  const { pool, builder, queryTimeout, unavailable, follow, refusedWrite } = options
  const shared: Shared = {
    pool,
    unavailable,
    makeTag: createTagMaker(builder),
    deadlines: createDeadlines(queryTimeout + GRACE_MS),
    end: builder.CLOSE,
    follow,
    refusedWrite,
    onReadOnly: database => void pool.evict(database),
  }
  return key => new Client(shared, key)
}

class Client implements ClientScope, Scope, Ending<Use> {
  over = false
  leases = 0
  readonly sql: SqlClient
  readonly #shared: Shared
  readonly #key: string
  readonly #uses: Use[] = []
  #leavers: Set<() => void> | null = null

  constructor(shared: Shared, key: string) {
    this.#shared = shared
    this.#key = key
    const tag = shared.makeTag(query => this.#single(query)) as SqlClient
    tag.begin = ((how: string | Work<unknown>, work?: Work<unknown>) => this.#begin(how, work)) as SqlClient['begin']
    this.sql = tag
  }

  onOver(leave: () => void): () => void {
    this.#leavers ??= new Set()
    const leavers = this.#leavers.add(leave)
    return () => leavers.delete(leave)
  }

  #single(query: DriverQuery): void {
    if (query.cancelled) return
    if (this.over) {
      query.reject(new TenantClientReleased())
      return
    }
    const claim = claimOf(query)
    const { pool, follow } = this.#shared
    const lease = pool.take(this.#key, claim)
    if (lease) {
      follow?.wait(this.#key)?.()
      this.#use(lease).send(query, this)
    } else void this.#wait(query, claim)
  }

  async #wait(query: DriverQuery, claim: Claim | null): Promise<void> {
    let use: Use
    try {
      use = await this.#take(claim)
    } catch (error) {
      query.reject(error)
      return
    }
    if (query.cancelled) this.ended(use)
    else use.send(query, this)
  }

  async #take(claim: Claim | null): Promise<Use> {
    if (this.over) throw new TenantClientReleased()
    const { pool, unavailable, follow } = this.#shared
    let lease: Lease
    const waited = follow?.wait(this.#key)
    try {
      lease = await pool.acquire(this.#key, this, claim)
      waited?.()
    } catch (error) {
      waited?.(error)
      if (this.over) throw new TenantClientReleased()
      throw toCaller(error, {
        connecting: true,
        cancelled: false,
        lost: false,
        readOnly: false,
        unavailable: cause => withCause(unavailable(), cause),
      })
    }
    if (this.over) {
      lease.release('clean')
      throw new TenantClientReleased()
    }
    return this.#use(lease)
  }

  #use(lease: Lease): Use {
    const use = new Use(lease, this.#shared, this)
    this.#uses.push(use)
    this.leases++
    return use
  }

  ended(use: Use): void {
    const at = this.#uses.indexOf(use)
    if (at >= 0) this.#uses.splice(at, 1)
    use.finish()
  }

  again(query: DriverQuery): void {
    if (this.over) query.reject(new TenantClientReleased())
    else void this.#wait(query, null)
  }

  async #begin<T>(how: string | Work<T>, work?: Work<T>): Promise<Settled<T>> {
    const [options, fn] = typeof how === 'function' ? ['', how] : [how, work as Work<T>]
    const use = await this.#take(null)
    try {
      return await transaction(use, this.#bound, options, fn)
    } finally {
      this.ended(use)
    }
  }

  readonly #bound = (use: Use) => bind(use, this.#shared.makeTag, this)

  /** A getter, so that it works taken off its client. */
  get session(): ClientScope['session'] {
    return fn => this.#session(fn)
  }

  async #session<T>(fn: (sql: SessionClient) => Promise<T>): Promise<T> {
    const use = await this.#take(null)
    use.leaves('reset')
    const bound = this.#bound(use)
    const sql = Object.assign(bound.tag, {
      begin: <R>(work: Work<R>) => transaction(use, this.#bound, '', work),
    }) as SessionClient
    try {
      return await untilLost(use, async () => fn(sql))
    } finally {
      bound.end()
      this.ended(use)
    }
  }

  release(): void {
    if (this.over) return
    this.over = true
    if (this.#leavers) for (const leave of [...this.#leavers]) leave()
    for (const use of this.#uses.splice(0)) {
      use.leave(connectionClosed('the request was over while its query was running'))
    }
  }
}
