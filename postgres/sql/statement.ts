// One query on its way: from when it is sent until the driver reports its end. Invariants: its caller's promise settles once;
// the owner of its use is notified before; it is sent a second time only if the server refused it and it had no effect: a
// prepared statement that is out of date, or a write in a session that is read only.
import { Stream } from 'node:stream'
import type { Connection, StatementListener } from '../connections/connection.js'
import type { DriverQuery } from '../connections/driver.js'
import {
  cancelledByCaller,
  connectionClosed,
  isReadOnlyServer,
  isRefusedWrite,
  isStale,
  withCause,
} from '../connections/failures.js'
import { type SessionState, sessionStateOf } from '../connections/session-state.js'
import { TenantClientMethod } from '../errors.js'
import type { Lease } from '../pool/pool.js'
import { type Reader, watchReader } from './cursor.js'
import { COPY_REFUSED } from './query.js'
import type { Deadlines, Expiring } from './statement-deadlines.js'

/** Both return null without a subscriber, and else a function to call at the end. */
export interface Follow {
  wait(key: string): ((error?: unknown) => void) | null
  statement(key: string, query: DriverQuery): ((error?: unknown) => void) | null
}

export interface UseOptions {
  readonly deadlines: Deadlines
  readonly unavailable: () => Error
  /** The driver's answer for "no more rows, please". */
  readonly end: unknown
  /** A write over a connection of this key met a server that is read only. */
  readonly onReadOnly: (key: string) => void
  readonly follow?: Follow | undefined
  /** Called after a refused write of a key; null when there is no better error. Never rejects. */
  readonly refusedWrite?: ((key: string) => Promise<Error | null>) | undefined
}

/** The use of a connection that a statement belongs to. */
export interface StatementOwner {
  readonly connection: Connection
  readonly lease: Lease
  readonly options: UseOptions
  /** The error that the caller sees for an error on this connection. */
  failure(error: unknown, cancelled?: boolean): unknown
  /** Records state that a statement may have left in the session. */
  taint(what: SessionState): void
  /** One statement is over; `types` are those of its parameters when it was answered. */
  settled(types?: readonly number[]): void
  /** The deadline is over: closes the connection. */
  expire(): void
}

/** Is notified of the end of a statement, before its caller. */
export interface Ending<Owner> {
  ended(use: Owner): void
  /** It was refused for the connection it was sent on: to be sent again, on another that it does not share. */
  again(query: DriverQuery): void
}

export class Statement<Owner extends StatementOwner> implements StatementListener, Expiring {
  due = 0
  before: Expiring | null = null
  behind: Expiring | null = null
  readonly #use: Owner
  readonly #query: DriverQuery
  readonly #ending: Ending<Owner> | null
  readonly #resolve: (value: unknown) => void
  readonly #reject: (error: unknown) => void
  readonly #reader: Reader | null
  /** Reports its end to subscribers; null without one. */
  readonly #report: ((error?: unknown) => void) | null | undefined
  #over = false
  #cancelled = false
  /** Its caller has got an answer of ours. */
  #left = false
  /** The reason of its refusal is being looked up. */
  #asking = false

  constructor(use: Owner, query: DriverQuery, ending: Ending<Owner> | null) {
    this.#use = use
    this.#query = query
    this.#ending = ending
    this.#resolve = query.resolve
    this.#reject = query.reject
    query.canceller = () => this.#cancel()
    const { deadlines } = use.options
    this.#report = use.options.follow?.statement(use.lease.key, query)
    this.#reader = query.cursorFn ? this.#read() : null
    deadlines.add(this)
  }

  expire(): void {
    this.#use.expire()
  }

  /** The deadline is for the server, batch by batch; the reader may take as long as the server allows. */
  #read(): Reader | null {
    const { connection, options } = this.#use
    return watchReader(this.#query, options.end, {
      begins: () => options.deadlines.delete(this),
      ends: () => {
        if (!this.#over) options.deadlines.add(this)
      },
      lost: () => connection.lost !== null,
    })
  }

  resolved(value: unknown): void {
    const { connection } = this.#use
    if (value instanceof Stream) {
      value.on('error', () => {})
      connection.destroy(new TenantClientMethod('copy', COPY_REFUSED))
      this.rejected(connection.lost)
      return
    }
    this.#finish(undefined, this.#query.prepare ? this.#query.statement?.types : undefined)
    if (this.#left) return
    const reader = this.#reader
    if (reader) reader.finished().then(() => this.#resolve(value), this.#reject)
    else this.#resolve(value)
  }

  rejected(error: unknown): void {
    if (!this.#over && !this.#left && isStale(error) && (this.#use.lease.shares || this.#mayGoWithoutName())) {
      this.#again(error)
      return
    }
    if (this.#asking) return
    const { refusedWrite } = this.#use.options
    if (refusedWrite && !this.#over && !this.#left && isRefusedWrite(error)) void this.#ask(error, refusedWrite)
    else this.#refused(error, null)
  }

  /** Out of date behind a pooler: not in a transaction, whose other statements ran there, nor after rows were passed on. */
  #mayGoWithoutName(): boolean {
    const { pooled, options, cursorFn, forEachFn } = this.#query
    if (!pooled || this.#ending === null || cursorFn || forEachFn || options.prepare === false) return false
    options.prepare = false
    return true
  }

  /** The server has refused it, for `reason` if that is known. */
  #refused(error: unknown, reason: Error | null): void {
    if (reason === null && this.#mayWriteElsewhere(error)) this.#writeElsewhere(error)
    else this.#fail(error, reason)
  }

  /**
   * A session stays read only when its server was demoted, or its tenant's move was undone after it began. A new session may
   * write. Not in a transaction, whose other statements ran here, nor after rows were passed on, nor a second time; nor a statement
   * that may have had an effect before it was refused: several in one text, a procedure or a block that commits in between.
   */
  #mayWriteElsewhere(error: unknown): boolean {
    const { cursorFn, forEachFn, elsewhere } = this.#query
    const alone = this.#ending !== null && !cursorFn && !forEachFn
    const may = alone && !elsewhere && !this.#over && !this.#left && isReadOnlyServer(error)
    return may && sessionStateOf(this.#query) === 'clean'
  }

  #writeElsewhere(error: unknown): void {
    const { lease, options } = this.#use
    this.#query.elsewhere = true
    this.#use.taint('destroy')
    options.onReadOnly(lease.key)
    this.#again(error)
  }

  /** The error for a tenant that is being moved; its readers keep their connections. */
  async #ask(error: unknown, refusedWrite: (key: string) => Promise<Error | null>): Promise<void> {
    this.#asking = true
    const reason = await refusedWrite(this.#use.lease.key)
    this.#asking = false
    this.#refused(error, reason && withCause(reason, error))
  }

  #fail(error: unknown, reason: Error | null): void {
    const seen = reason ?? (this.#over || this.#left ? error : this.#use.failure(error, this.#cancelled))
    this.#finish(seen)
    if (!this.#left) this.#reject(seen)
  }

  /** Rejects for its caller now; the statement runs to its end, or is cut when no other lease needs the connection. */
  abandon(reason: unknown, why: Error): void {
    if (this.#over || this.#left) return
    this.#left = true
    this.#reject(reason)
    this.#use.lease.abandon(why)
  }

  #again(error: unknown): void {
    const query = this.#query
    const ending = this.#ending
    const canceller = (waiting: DriverQuery): void => {
      waiting.cancelled = true
      waiting.reject(cancelledByCaller())
    }
    // As before it was sent, without a session; its parameters are serialised again (see query.ts).
    const unsent = { state: null, active: false, shares: false, parameters: undefined, canceller }
    Object.assign(query, unsent, { resolve: this.#resolve, reject: this.#reject })
    this.#finish(error)
    ending?.again(query)
  }

  #cancel(): void {
    if (this.#over || this.#left) return
    const use = this.#use
    if (use.lease.shares) {
      this.abandon(cancelledByCaller(), connectionClosed('its query was cancelled'))
      return
    }
    this.#cancelled = true
    // The request to cancel may come after the query has ended: no other caller may use this connection then.
    use.taint('destroy')
    // A statement that only waits behind another does not run yet; the driver would lose count of the answers.
    if (this.#query.active) void use.connection.cancel(this.#query)
    else this.#query.reject(cancelledByCaller())
  }

  #finish(error: unknown, types?: readonly number[]): void {
    if (this.#over) return
    this.#over = true
    this.#use.options.deadlines.delete(this)
    this.#use.settled(types)
    this.#report?.(error)
    this.#ending?.ended(this.#use)
  }
}
