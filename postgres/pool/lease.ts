// One lease: a hold on one connection, alone or with other statements. Invariant: a lease is released once, and a connection
// that another lease still needs is not destroyed when one lease is abandoned.

import type { Connection } from '../connections/connection.js'
import { connectionClosed } from '../connections/failures.js'
import type { SessionState } from '../connections/session-state.js'
import type { PooledConnection } from './pool-view.js'
import type { Shareable } from './statement-sharing.js'

/** A hold on one connection, alone or with others. Released once; later calls do nothing. */
export interface Lease {
  /** Of its connection in the pool. */
  readonly key: string
  readonly connection: Connection
  /** Other leases may run their statements on it meanwhile: then it takes the statement of its claim and nothing else. */
  readonly shares: boolean
  /**
   * @param as the state of the session; `destroy` also when a query may still be running
   * @param types of the parameters of the claim's statement, when that was answered
   */
  release(as: SessionState, types?: readonly number[]): void
  /** Its statement still runs and its caller has gone: destroys the connection unless other leases need it. */
  abandon(why: Error): void
}

export class PoolLease implements Lease {
  readonly connection: Connection
  readonly shares: boolean
  readonly #member: PooledConnection<Lease>
  readonly #shareable: Shareable | null
  readonly #ended: (pooled: PooledConnection<Lease>, as: SessionState) => void
  #released = false
  #abandoned = false

  constructor(
    pooled: PooledConnection<Lease>,
    shareable: Shareable | null,
    shares: boolean,
    ended: (pooled: PooledConnection<Lease>, as: SessionState) => void,
  ) {
    this.connection = pooled.connection
    this.shares = shares
    this.#member = pooled
    this.#shareable = shareable
    this.#ended = ended
  }

  get key(): string {
    return this.#member.slot.key
  }

  release(as: SessionState, types?: readonly number[]): void {
    if (this.#released) return
    this.#released = true
    const pooled = this.#member
    if (this.#abandoned) pooled.abandoned--
    const { sharing, connection } = pooled
    sharing.settled(this.#shareable, types)
    const last = sharing.size === 0
    if (as === 'destroy') connection.destroy(connectionClosed('the lease ended and left something behind'))
    else if (onlyGhosts(pooled)) connection.destroy(connectionClosed('every caller of its statements has gone'))
    // Statements that were not sent yet fail at once: the last of those has called `ended` already.
    if (last || sharing.size > 0) this.#ended(pooled, as)
  }

  abandon(why: Error): void {
    if (this.#released || this.#abandoned) return
    const pooled = this.#member
    this.#abandoned = true
    pooled.abandoned++
    if (onlyGhosts(pooled)) pooled.connection.destroy(why)
  }
}

const onlyGhosts = ({ abandoned, sharing }: PooledConnection<Lease>): boolean =>
  abandoned > 0 && abandoned === sharing.size
