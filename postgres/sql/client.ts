// The client of a handler: tagged queries that lease a connection when they are first awaited, transactions on a connection
// of their own. A client is made for every request, so its methods are on prototypes and its options shared by a pool.
// Invariant: once its scope is over no query reaches the wire and every lease is back; a query still running then costs its
// connection, unless others share that. A client whose tenant is no longer served gets no connection, and loses those it
// holds within a second and a little.
// If the server is down: each query in flight fails once, with one code.

import type { Codecs, Driver, DriverQuery } from '../connections/driver.js'
import { connectionClosed, toCaller, withCause } from '../connections/failures.js'
import { TenantClientReleased, TenantLookupFailed } from '../errors.js'
import type { Lease, Pool } from '../pool/pool.js'
import { type Shareable, shareableOf } from '../pool/statement-sharing.js'
import type { Scope } from '../pool/wait-queue.js'
import type { SessionClient, Settled, SqlClient, TransactionClient } from '../types.js'
import { GRACE_MS, LeasedConnection } from './connection-use.js'
import { refusalOf } from './refused-statements.js'
import { leasable, type SessionSource } from './session-lease.js'
import type { Ending, Follow, UseOptions } from './statement.js'
import { createDeadlines, type Deadlines, type Expiring } from './statement-deadlines.js'
import { createTagMaker, type TagMaker } from './tagged-template.js'
import { bind, transaction, untilLost } from './transaction.js'

/** Called before each lease, and again while one is held; returns, at once or later, when it may. @throws the refusal */
export type Admit = () => void | Promise<void>

/** How often a client that holds a connection is admitted anew: a transaction or a cursor may last for long. */
const ADMIT_AGAIN_MS = 1_000
/** A client keeps its connections for so long while its admission cannot be checked. */
const UNKNOWN_FOR_MS = 10_000

export interface ClientsOptions {
  readonly pool: Pool
  readonly builder: Driver
  /** Milliseconds for one statement. */
  readonly queryTimeout: number
  readonly unavailable: () => Error
  readonly follow?: Follow
  /** After a write that the server refused: a better error for the caller, if there is one. */
  readonly refusedWrite?: UseOptions['refusedWrite']
}

/** A client and the end of its life. */
export interface ClientScope {
  readonly sql: SqlClient
  /** Ends the scope: refuses later queries, cuts running ones, gives all connections back. Safe to call twice. */
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
  /** Clients that hold a connection, until they are admitted again. */
  readonly admissions: Deadlines
}

/** Makes clients of one pool, each of one key. Without `admit` a client is always admitted. */
export function createClients(options: ClientsOptions): (key: string, admit?: Admit) => ClientScope {
  const { pool, builder, queryTimeout, unavailable, follow, refusedWrite } = options
  const shared: Shared = {
    pool,
    unavailable,
    makeTag: createTagMaker(builder),
    deadlines: createDeadlines(queryTimeout + GRACE_MS),
    admissions: createDeadlines(ADMIT_AGAIN_MS),
    end: builder.CLOSE,
    follow,
    refusedWrite,
    onReadOnly: key => void pool.evict(key),
  }
  return (key, admit) => new Client(shared, key, admit ?? null)
}

class Client implements ClientScope, Scope, Ending<LeasedConnection>, Expiring, SessionSource {
  over = false
  due = 0
  before: Expiring | null = null
  behind: Expiring | null = null
  leases = 0
  readonly sql: SqlClient
  codecs: Codecs | null = null
  readonly #shared: Shared
  readonly #key: string
  readonly #uses: LeasedConnection[] = []
  readonly #admit: Admit | null
  #admittedAt = 0
  #leavers: Set<() => void> | null = null

  constructor(shared: Shared, key: string, admit: Admit | null) {
    this.#shared = shared
    this.#key = key
    this.#admit = admit
    const tag = shared.makeTag(query => this.#single(query), this) as SqlClient
    tag.begin = ((how: string | Work<unknown>, work?: Work<unknown>) => this.#begin(how, work)) as SqlClient['begin']
    leasable(tag, this)
    this.sql = tag
  }

  get makeTag(): TagMaker {
    return this.#shared.makeTag
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
    const refused = refusalOf(query, 'alone')
    if (refused) {
      query.reject(refused)
      return
    }
    let asked: void | Promise<void>
    try {
      asked = this.#admit?.()
    } catch (error) {
      query.reject(error)
      return
    }
    if (asked) asked.then(() => this.#lease(query), query.reject)
    else this.#lease(query)
  }

  #lease(query: DriverQuery): void {
    if (query.cancelled) return
    const shareable = shareableOf(query, query.codecs ?? this.codecs)
    const { pool, follow } = this.#shared
    const lease = this.over ? null : pool.take(this.#key, shareable)
    if (lease) {
      follow?.wait(this.#key)?.()
      this.#use(lease).send(query, this)
    } else void this.#wait(query, shareable)
  }

  async #wait(query: DriverQuery, shareable: Shareable | null): Promise<void> {
    let use: LeasedConnection
    try {
      use = await this.#take(shareable)
    } catch (error) {
      query.reject(error)
      return
    }
    if (query.cancelled) this.ended(use)
    else use.send(query, this)
  }

  async #take(shareable: Shareable | null): Promise<LeasedConnection> {
    if (this.over) throw new TenantClientReleased()
    const { pool, unavailable, follow } = this.#shared
    let lease: Lease
    const waited = follow?.wait(this.#key)
    try {
      lease = await pool.acquire(this.#key, this, shareable)
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

  #use(lease: Lease): LeasedConnection {
    const use = new LeasedConnection(lease, this.#shared, this)
    this.#uses.push(use)
    this.leases++
    if (this.#admit && !this.before) this.#admitted()
    return use
  }

  /** It has held connections for a while: destroys them when its tenant is no longer served. */
  expire(): void {
    // The next lease checks by itself.
    if (this.over || this.#uses.length === 0 || !this.#admit) return
    try {
      const asked = this.#admit()
      if (asked) {
        asked.then(
          () => this.#admitted(),
          error => this.#refused(error),
        )
      } else this.#admitted()
    } catch (error) {
      this.#refused(error)
    }
  }

  #admitted(): void {
    if (this.over) return
    this.#shared.admissions.add(this)
    this.#admittedAt = this.due - ADMIT_AGAIN_MS
  }

  #refused(error: unknown): void {
    if (this.over) return
    const unknown = error instanceof TenantLookupFailed && performance.now() - this.#admittedAt < UNKNOWN_FOR_MS
    if (unknown) this.#shared.admissions.add(this)
    else for (const use of [...this.#uses]) use.cut(error as Error)
  }

  ended(use: LeasedConnection): void {
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
    const use = await this.acquire()
    try {
      return await transaction(use, this.#bound, options, fn)
    } finally {
      this.ended(use)
    }
  }

  /** A connection that it does not share. */
  async acquire(): Promise<LeasedConnection> {
    await this.#admit?.()
    return this.#take(null)
  }

  readonly #bound = (use: LeasedConnection) => bind(use, this.#shared.makeTag, this, 'transaction')

  /** A getter, so that it works taken off its client. */
  get session(): ClientScope['session'] {
    return fn => this.#session(fn)
  }

  async #session<T>(fn: (sql: SessionClient) => Promise<T>): Promise<T> {
    const use = await this.#take(null)
    use.taint('reset')
    const bound = bind(use, this.#shared.makeTag, this, 'alone')
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
    this.#shared.admissions.delete(this)
    if (this.#leavers) for (const leave of [...this.#leavers]) leave()
    for (const use of this.#uses.splice(0)) {
      use.abandon(connectionClosed('the request was over while its query was running'))
    }
  }
}
