// Owns one lease: a hold on one connection, alone or in company. Invariant: it is released once, whoever ends it; a
// connection that somebody still needs is not cut for one that has left.

import type { Connection } from '../connections/connection.js'
import { connectionClosed } from '../connections/failures.js'
import type { Aftermath } from '../connections/session-state.js'
import type { Member } from './books.js'
import type { Claim } from './statement-sharing.js'

/** A hold on one connection, alone or with others. Released once; later calls do nothing. */
export interface Lease {
  readonly connection: Connection
  /** Others may run their statements on it meanwhile: then it takes the one of its claim and nothing else. */
  readonly shares: boolean
  /**
   * @param as what was left behind; `destroy` also when a query may still be running
   * @param types of the parameters of the claim's statement, when that was answered
   */
  release(as: Aftermath, types?: readonly number[]): void
  /** Its statement is still running and nobody waits for it any more: cuts the connection unless others need it. */
  abandon(why: Error): void
}

export class Hold implements Lease {
  readonly connection: Connection
  readonly shares: boolean
  readonly #member: Member<Lease>
  readonly #claim: Claim | null
  readonly #ended: (member: Member<Lease>, as: Aftermath) => void
  #released = false
  #abandoned = false

  constructor(
    member: Member<Lease>,
    claim: Claim | null,
    shares: boolean,
    ended: (member: Member<Lease>, as: Aftermath) => void,
  ) {
    this.connection = member.connection
    this.shares = shares
    this.#member = member
    this.#claim = claim
    this.#ended = ended
  }

  release(as: Aftermath, types?: readonly number[]): void {
    if (this.#released) return
    this.#released = true
    const member = this.#member
    if (this.#abandoned) member.ghosts--
    const { company, connection } = member
    company.answered(this.#claim, types)
    const last = company.size === 0
    if (as === 'destroy') connection.destroy(connectionClosed('the lease ended and left something behind'))
    else if (onlyGhosts(member)) connection.destroy(connectionClosed('nobody waits any more for what runs on it'))
    // What was not sent yet fails at once: then the last of those has ended it.
    if (last || company.size > 0) this.#ended(member, as)
  }

  abandon(why: Error): void {
    if (this.#released || this.#abandoned) return
    const member = this.#member
    this.#abandoned = true
    member.ghosts++
    if (onlyGhosts(member)) member.connection.destroy(why)
  }
}

const onlyGhosts = ({ ghosts, company }: Member<Lease>): boolean => ghosts > 0 && ghosts === company.size
