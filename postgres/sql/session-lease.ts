// The lease of a session to a library that writes BEGIN and COMMIT by itself, as `pg` and the ORMs on it do. Invariants: it
// ends with the scope of its client at the latest, and then its connection is closed; a session is given back only when its
// transaction is over, or else reset. A connection that is lost during COMMIT rejects with an outcome that is unknown.

import type { DriverQuery } from '../connections/driver.js'
import { withCause } from '../connections/failures.js'
import { Written, type WrittenText } from '../connections/written-parameter.js'
import { ConfigurationInvalid, TenantClientReleased, TenantCommitUnknown } from '../errors.js'
import type { QueryClient, SessionLease, SqlClient } from '../types.js'
import type { LeasedConnection, Owner } from './connection-use.js'
import { moveOf, refusalOf } from './refused-statements.js'
import { type CodecOwner, retag, type TagMaker } from './tagged-template.js'

/** The part of a client that a lease needs. */
export interface SessionSource extends Owner {
  readonly makeTag: TagMaker
  /** @throws the refusal of its tenant, TENANT_BUSY, TENANT_CLIENT_RELEASED */
  acquire(): Promise<LeasedConnection>
  ended(use: LeasedConnection): void
}

const kSource = Symbol('distributed-tenant.source')

type Leasable = { readonly source: SessionSource; readonly owner: CodecOwner }
type Carrier = { [kSource]?: Leasable }

/** Makes sessions of this client leasable. They read and write values as `owner` does. */
export function leasable(sql: SqlClient, source: SessionSource, owner: CodecOwner = source): void {
  ;(sql as Carrier)[kSource] = { source, owner }
}

/** Makes sessions of `sql` leasable from another tag of the same scope. */
export function leasableAs(tag: object, sql: object, owner: CodecOwner): void {
  const of = (sql as Carrier)[kSource]
  if (of) leasable(tag as SqlClient, of.source, owner)
}

/**
 * A connection of the client's tenant for yourself, within the budget, until you release it or the client's scope is over.
 * For libraries that send BEGIN, COMMIT and SAVEPOINT as text, which is legal on it.
 * @throws as a first query of the client: TENANT_BUSY, TENANT_SUSPENDED, TENANT_CLIENT_RELEASED, ...
 */
export async function leaseSession(sql: SqlClient): Promise<SessionLease> {
  const of = (sql as Carrier | null | undefined)?.[kSource]
  if (!of) {
    throw new ConfigurationInvalid(
      'leaseSession takes `request.sql`, the `sql` of tenants.run, or fastify.central, and no client of a transaction.',
    )
  }
  return new Lease(of, await of.source.acquire())
}

/**
 * A parameter in PostgreSQL's text form, or bytes of a `bytea`: it goes to the server as it is, whatever its type. A function
 * is given the oid of the type that the server has found for it.
 */
export const written = (text: WrittenText): object => new Written(text)

class Lease implements SessionLease {
  readonly sql: QueryClient
  readonly #source: SessionSource
  readonly #use: LeasedConnection
  #released = false
  /** A transaction may be open. */
  #open = false

  constructor({ source, owner }: Leasable, use: LeasedConnection) {
    this.#source = source
    this.#use = use
    // A text of several statements may begin one unseen.
    use.connection.transacting = true
    const tag = source.makeTag(query => this.#send(query), source)
    this.sql = owner === source ? tag : retag(tag, owner)
  }

  get inTransaction(): boolean {
    return this.#open
  }

  onLost(onError: (error: unknown) => void): () => void {
    return this.#use.connection.watch(error => onError(this.#use.failure(error)))
  }

  release(how: 'reuse' | 'close' = 'reuse'): void {
    if (this.#released) return
    this.#released = true
    if (how === 'close') this.#use.taint('destroy')
    else if (this.#open) this.#use.taint('reset')
    this.#source.ended(this.#use)
  }

  #send(query: DriverQuery): void {
    if (query.cancelled) return
    const refused = this.#released || this.#source.over ? new TenantClientReleased() : refusalOf(query, 'session')
    if (refused) {
      query.reject(refused)
      return
    }
    const move = moveOf(query)
    if (move === 'begins') this.#open = true
    if (move === 'commits' || move === 'rolls back') this.#ends(query, move === 'commits')
    this.#use.send(query, null, move === null ? undefined : 'clean')
  }

  #ends(query: DriverQuery, commits: boolean): void {
    const { resolve, reject } = query
    const { connection } = this.#use
    const lost = connection.lost !== null
    query.resolve = value => {
      this.#open = false
      resolve(value)
    }
    query.reject = error =>
      reject(commits && !lost && connection.lost ? withCause(new TenantCommitUnknown(), error) : error)
  }
}
