// Owns the client that `pool.connect()` gives: one lease of a tenant's session, from `connect` to its release. A session that
// is lost, or whose request is over, fails each query with the code of `request.sql`; `error` is emitted only to those who
// listen, so that it never ends the process.
import type { Client as PgClient } from 'pg'
import {
  leaseSession,
  type QueryClient,
  type SessionLease,
  type SqlClient,
} from '../../plugins/distributed-tenant/index.js'
import { pg } from './library.js'
import { Wire } from './wire.js'

export interface LeasedClientOptions {
  /** Whose session it is. @throws outside of a tenant */
  readonly of: () => SqlClient
  readonly types?: unknown
  readonly query_timeout?: number
}

class SessionWire extends Wire {
  override readonly stream = { destroy: () => this.#end('close'), cork() {}, uncork() {}, writable: true }
  /** Read by `pg`: there is a session to end. */
  _connecting = false
  /** Its user has said that it is broken. */
  spoilt = false
  owner: PgClient | null = null
  readonly #of: () => SqlClient
  #lease: SessionLease | null = null
  #unwatch: (() => void) | null = null
  #ended = false

  constructor(of: () => SqlClient) {
    super()
    this.#of = of
  }

  connect(): void {
    this._connecting = true
    void this.#connect()
  }

  end(): void {
    this.#end(this.spoilt ? 'close' : 'reuse')
  }

  protected get status(): string {
    return this.#lease?.inTransaction ? 'T' : 'I'
  }

  protected client(): QueryClient {
    return (this.#lease as SessionLease).sql
  }

  protected deliver(name: string, message: object): void {
    if (!this.over) this.emit(name, message)
  }

  /** As the server: one transaction, unless they begin or end one themselves. */
  protected async several(texts: readonly string[]): Promise<void> {
    const { sql, inTransaction } = this.#lease as SessionLease
    const whole = !inTransaction && !texts.some(text => /^[\s(]*(begin|start|commit|end|abort|rollback)\b/i.test(text))
    if (whole) await sql.unsafe('begin', [], { simple: false } as object)
    try {
      for (const text of texts) await this.one(text)
    } catch (error) {
      if (whole) await sql.unsafe('rollback', [], { simple: false } as object).catch(() => {})
      throw error
    }
    if (whole) await sql.unsafe('commit', [], { simple: false } as object)
  }

  async #connect(): Promise<void> {
    // `pg` listens only when this has returned.
    await null
    try {
      const lease = await leaseSession(this.#of())
      if (this.#ended) {
        lease.release()
        return
      }
      this.#lease = lease
      this.#unwatch = lease.onLost(error => this.later(() => this.#lost(error)))
      this.deliver('readyForQuery', { status: 'I' })
    } catch (error) {
      this.deliver('error', error as Error)
    }
  }

  #lost(error: unknown): void {
    // Who has released it listens no more, but `pg`'s pool does until the end.
    if (this.#ended) return
    if (this.owner && this.owner.listenerCount('error') > 0) this.owner.emit('error', error as Error)
  }

  #end(how: 'reuse' | 'close'): void {
    if (this.#ended) return
    this.#ended = true
    this.#unwatch?.()
    this.#lease?.release(how)
    // Not yet: the code that ends it adds its listener next.
    queueMicrotask(() => {
      this.emit('end')
      this.over = true
    })
  }
}

export class LeasedClient extends pg.Client {
  readonly #wire: SessionWire

  constructor({ of, types, query_timeout }: LeasedClientOptions) {
    const wire = new SessionWire(of)
    // What is left out `pg` takes from the environment, which is for connections of the application's own.
    super({ connection: wire, host: 'tenant', user: 'tenant', ssl: false, types, query_timeout } as object)
    this.#wire = wire
    wire.owner = this
  }

  /** Its session is closed at the end. */
  spoil(): void {
    this.#wire.spoilt = true
  }
}
