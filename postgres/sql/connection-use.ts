// One use of a leased connection: statements within their deadline, our own commands, the state left in the session.
// Invariant: it ends once, and a connection whose server may still be busy with it is leased to no other caller but those
// that share it already.
// If the server does not answer: the connection is destroyed at the deadline.

import type { Connection } from '../connections/connection.js'
import type { DriverQuery } from '../connections/driver.js'
import { isReadOnlyServer, nulInStatement, toCaller, withCause } from '../connections/failures.js'
import { holdsNul, type SessionState, sessionStateOf } from '../connections/session-state.js'
import { TenantClientReleased, TenantQueryTimeout } from '../errors.js'
import type { Lease } from '../pool/pool.js'
import { refusedByServer } from './refused-statements.js'
import { type Ending, Statement, type StatementOwner, type UseOptions } from './statement.js'
import type { Expiring } from './statement-deadlines.js'
import type { CodecOwner } from './tagged-template.js'

/** The server's own guard comes first and leaves the connection whole; ours is for a server that does not answer. */
export const GRACE_MS = 100

/** The client of a use. */
export interface Owner extends CodecOwner {
  readonly over: boolean
}

export class LeasedConnection implements StatementOwner {
  readonly connection: Connection
  /** Whether its caller asked for a transaction that is read only. */
  readOnly = false
  readonly lease: Lease
  readonly options: UseOptions
  readonly #user: Owner
  #aftermath: SessionState = 'clean'
  #running = 0
  /** The one that shares. */
  #statement: Statement<LeasedConnection> | null = null
  #types: readonly number[] | undefined

  constructor(lease: Lease, options: UseOptions, user: Owner) {
    this.lease = lease
    this.connection = lease.connection
    this.options = options
    this.#user = user
  }

  /**
   * Sends one query; `ending` is called at its end once, before the caller's promise settles. `left`: the state that it
   * leaves in the session, where its sender knows more than its text shows.
   */
  send(query: DriverQuery, ending: Ending<LeasedConnection> | null = null, left?: SessionState): void {
    const codecs = query.codecs ?? this.#user.codecs
    if (codecs) query.codecs = codecs
    const statement = new Statement(this, query, ending)
    this.#running++
    if (this.lease.shares) {
      query.shares = true
      this.#statement = statement
    } else if (holdsNul(query)) {
      statement.rejected(nulInStatement())
      return
    } else this.taint(left ?? sessionStateOf(query))
    this.connection.execute(query, statement)
  }

  /** Runs BEGIN, COMMIT and the like; resolves with the server's answer. */
  async command(text: string): Promise<string> {
    this.#running++
    const { deadlines } = this.options
    const timer: Expiring = { due: 0, before: null, behind: null, expire: () => this.expire() }
    deadlines.add(timer)
    try {
      return (await this.connection.run(text)).command
    } catch (error) {
      throw this.failure(error)
    } finally {
      deadlines.delete(timer)
      this.#running--
    }
  }

  /** The error that the caller sees for a failure on this connection. */
  failure(error: unknown, cancelled = false): unknown {
    const { connection, options } = this
    const refused = refusedByServer(error)
    if (refused) return withCause(refused, error)
    const seen = toCaller(error, {
      connecting: false,
      cancelled,
      lost: connection.lost !== null,
      readOnly: this.readOnly,
      unavailable: cause => withCause(options.unavailable(), cause),
    })
    if (seen !== error && isReadOnlyServer(error)) {
      this.taint('destroy')
      options.onReadOnly(this.lease.key)
    }
    return this.#user.over && connection.lost ? withCause(new TenantClientReleased(), error) : seen
  }

  /** Records state that a statement may have left in the session. */
  taint(what: SessionState): void {
    if (what === 'destroy' || this.#aftermath === 'clean') this.#aftermath = what
  }

  expire(): void {
    this.connection.destroy(new TenantQueryTimeout())
  }

  /** One statement less is running; `types` of its parameters when it was answered. */
  settled(types?: readonly number[]): void {
    this.#running--
    this.#types = types
  }

  /** Gives the connection back; later calls do nothing. */
  finish(): void {
    this.lease.release(this.#running > 0 ? 'destroy' : this.#aftermath, this.#types)
  }

  /** Its client may have no connection any more and gets that error: destroys the connection, unless others need it. */
  cut(error: Error): void {
    if (this.#statement) this.#statement.abandon(error, error)
    else this.connection.destroy(error)
  }

  /** Its client is released: destroys a connection with a running statement, unless others need it. */
  abandon(why: Error): void {
    if (this.#statement) this.#statement.abandon(new TenantClientReleased(), why)
    else {
      this.connection.destroy(why)
      this.finish()
    }
  }
}
