// Owns the connections of one budget, keyed by database: their lives, and who holds which. Who may open and who gives way
// is the policy's, who may share one is its company's, the counts are in the seats. Invariants: never more sockets than the
// budget, counted from before connect until the server has let go; a connection has one holder at a time, or several that
// each run one plain read; an in-use one is never taken; every wait ends.
// A server that is gone costs each waiter one error; only a login that has another password is tried again.

import { every, guarded } from '../../../events/timers.js'
import type { Connection } from '../connections/connection.js'
import { connectionClosed } from '../connections/failures.js'
import type { Aftermath } from '../connections/session-state.js'
import type { CloseReason, LeaseReport, PoolReport } from '../diagnostics/steps.js'
import type { Entry, InstanceShares, Member } from './books.js'
import { Hold, type Lease } from './lease.js'
import { givesWay, nextMove } from './policy.js'
import { createSeats, type PoolInfo } from './pool-state.js'
import type { Claim } from './statement-sharing.js'
import type { Scope, Waiter } from './wait-queue.js'

export type { Lease } from './lease.js'
export type { PoolInfo } from './pool-state.js'

/** Called for each statement, so not with an object that nobody may want. */
export type ReportLease = (type: LeaseReport['type'], key: string, waitedMs: number) => void

export interface PoolOptions {
  readonly budget: number
  readonly perKey: number
  /** Milliseconds. */
  readonly acquireTimeout: number
  readonly idleTimeout: number
  /** Connects under way at a time: two to four keep the event loop and the server free (docs/decisions/0002). */
  readonly maxOpening: number
  readonly pooling: boolean
  /** Every session is reset after each lease, and none is shared: for keys whose own functions leave something behind. */
  readonly alwaysReset?: boolean
  /** Milliseconds within which an answer is fast: what is slower shares no connection (company.ts). */
  readonly fastMs?: number
  /** Where keys are of several instances. */
  readonly instances?: InstanceShares | undefined
  readonly open: (key: string) => Connection
  /** After a connect that failed: whether another one at once may do better. */
  readonly again?: (key: string) => boolean
  /** What a waiter gets when its time is over. */
  readonly refusal: () => Error
  readonly report: (report: PoolReport) => void
  readonly reportLease?: ReportLease
}

export interface Pool {
  /** What can be had at once: a place in company for a claim, a connection that rests, or nothing. */
  take(key: string, claim: Claim | null): Lease | null
  /** @throws the refusal when the budget stays spent, or the error of the connect */
  acquire(key: string, scope: Scope, claim?: Claim | null): Promise<Lease>
  info(): PoolInfo
  /** Lets go of every idle connection of a key and of the others as they come back. */
  evict(key: string): Promise<void>
  /** Refuses waiters, closes what is idle, gives what is in use the deadline, then cuts it. */
  close(deadlineMs: number): Promise<void>
}

const RESET_DEADLINE_MS = 5_000
/** A key whose growth was refused (CONNECTION LIMIT) is served by the connections it has for this long. */
const GROW_AGAIN_MS = 1_000

/**
 * Leaves nothing of a session but its prepared statements, in one round trip, also after a failed transaction (docs/decisions/0011). A
 * seed cannot be taken back, only be replaced by one that nobody knows.
 */
export const RESET =
  'rollback; reset session authorization; reset all; close all; unlisten *; select pg_advisory_unlock_all(); discard sequences; discard temp; ' +
  `select setseed(('x' || left(md5(gen_random_uuid()::text), 7))::bit(28)::int / 268435456.0)`

export function createPool(options: PoolOptions): Pool {
  const { report } = options
  const seats = createSeats<Lease>(options)
  let growTimer: NodeJS.Timeout | undefined
  let growDue = Number.POSITIVE_INFINITY
  let drained: (() => void) | null = null
  let closed: Promise<void> | null = null

  const stopIdle = every(Math.min(30_000, Math.max(20, options.idleTimeout / 4)), closeExpired)

  function take(key: string, claim: Claim | null): Lease | null {
    if (closed) return null
    const entry = seats.entries.get(key)
    // Whoever came before has its turn before.
    if (!entry || entry.queue.length > 0) return null
    // Company before rest: what is sent together is one write.
    if (claim && entry.gathering && mayJoin(entry.gathering, claim)) return join(entry.gathering, claim)
    // The one used last: the others may then become idle for long.
    const member = entry.idle.at(-1)
    return member ? lease(member, claim, 0) : null
  }

  async function acquire(key: string, scope: Scope, claim: Claim | null = null): Promise<Lease> {
    if (closed) throw options.refusal()
    const at = take(key, claim)
    if (at) return at
    const entry = seats.entry(key)
    seats.waits(entry)
    const waiting = entry.queue.wait(scope, {
      claim,
      refuse: waitedMs => {
        seats.refused(entry)
        options.reportLease?.('refused', key, waitedMs)
        return options.refusal()
      },
      left: () => {
        seats.tidy(entry)
        // Who stood behind may go with others where this one could not.
        if (entry.gathering) fill(entry.gathering)
      },
    })
    pump()
    return waiting
  }

  function mayJoin({ connection, company, entry, retiring, state }: Member<Lease>, claim: Claim): boolean {
    if (state !== 'leased' || retiring || connection.lost || connection.worn) return false
    return company.takes(claim, seats.othersWait(entry))
  }

  function join(member: Member<Lease>, claim: Claim): Lease {
    member.company.joins(claim)
    seats.joined(member)
    options.reportLease?.('leased', member.entry.key, 0)
    return new Hold(member, claim, true, ended)
  }

  function lease(member: Member<Lease>, claim: Claim | null, waitedMs: number): Lease {
    const { company, entry } = member
    seats.leased(member)
    options.reportLease?.('leased', entry.key, waitedMs)
    const shares = options.pooling && !options.alwaysReset && claim !== null && company.takes(claim, false)
    company.joins(claim)
    if (shares) entry.gathering = member
    else company.seals()
    return new Hold(member, claim, shares, ended)
  }

  /** A lease is over: the others on its connection, if any, get more company; otherwise it is given back. */
  function ended(member: Member<Lease>, as: Aftermath): void {
    if (member.company.size > 0) fill(member)
    else if ((as === 'reset' || options.alwaysReset) && options.pooling && !member.connection.lost) void reset(member)
    else giveBack(member)
  }

  /** More company for a connection on which some are left, in the order of the line. */
  function fill(member: Member<Lease>): void {
    const { entry } = member
    for (;;) {
      const claim = entry.queue.first()?.claim
      if (!claim || !mayJoin(member, claim)) return
      const waiter = entry.queue.next() as Waiter<Lease>
      waiter.resolve(join(member, claim))
      seats.served(entry)
    }
  }

  async function reset(member: Member<Lease>): Promise<void> {
    const { connection } = member
    const late = () => connection.destroy(connectionClosed('the reset took too long'))
    const timer = setTimeout(() => guarded(late), RESET_DEADLINE_MS)
    try {
      await connection.run(RESET)
    } catch (error) {
      connection.destroy(error as Error)
    } finally {
      clearTimeout(timer)
      giveBack(member)
    }
  }

  function giveBack(member: Member<Lease>): void {
    const { entry, connection } = member
    seats.returned(member)
    if (!connection.lost) {
      if (closed) dismiss(member, 'shutdown')
      else if (!options.pooling || member.retiring || connection.worn) dismiss(member, 'released')
      else if (seats.someoneWaits() && givesWay(seats.state(), entry, performance.now())) dismiss(member, 'yielded')
      else offer(member)
    }
    pump()
  }

  /** Gives a connection to the next waiter of its key, or lets it rest. */
  function offer(member: Member<Lease>): void {
    const { entry } = member
    const waiter = entry.queue.next()
    if (waiter) {
      waiter.resolve(lease(member, waiter.claim, waiter.waited()))
      seats.served(entry)
      fill(member)
    } else if (member.retiring) {
      dismiss(member, 'released')
    } else {
      seats.rests(member)
    }
  }

  /** Opens, or makes room for, whoever's turn it is. */
  function pump(): void {
    while (!closed && seats.someoneWaits()) {
      const move = nextMove(seats.state(), performance.now())
      if (move?.type === 'open') {
        open(move.entry)
      } else if (move?.type === 'take') {
        dismiss(move.victim, 'taken')
      } else {
        if (move) pumpAgain(move.ms)
        return
      }
    }
  }

  function pumpAgain(ms: number): void {
    const due = performance.now() + ms
    if (due >= growDue) return
    clearTimeout(growTimer)
    growDue = due
    growTimer = setTimeout(() => {
      growDue = Number.POSITIVE_INFINITY
      guarded(pump)
    }, ms)
  }

  function open(entry: Entry<Lease>): void {
    const { key } = entry
    const started = performance.now()
    const ms = () => performance.now() - started
    report({ type: 'opening', key, ms: 0 })
    const connection = options.open(key)
    const member = seats.opening(entry, connection)
    connection.watch(error => {
      if (!seats.leaves(member)) return
      report({ type: 'open_failed', key, ms: ms(), error })
      if (!options.again?.(key)) refuseWaiters(entry, error)
      pump()
    })
    connection.opened.then(
      () => {
        if (member.state !== 'opening') return
        seats.opened(member)
        report({ type: 'opened', key, ms: ms() })
        if (closed) dismiss(member, 'shutdown')
        else offer(member)
        pump()
      },
      () => {}, // Told by `watch` before: the loss of a connection is known when its failure to open is not yet.
    )
    void connection.closed.then(() => {
      seats.gone(member)
      report({ type: 'closed', key, reason: member.closing ?? 'lost' })
      if (seats.members.size === 0) drained?.()
      pump()
    })
  }

  /**
   * After a connect that failed: those who waited for it are told at once, as trying again for each in turn would make the
   * last wait for all. With a connection that works, they wait for that one.
   */
  function refuseWaiters(entry: Entry<Lease>, error: Error): void {
    if (entry.live > 0) entry.growAfter = performance.now() + GROW_AGAIN_MS
    else refuseAll(entry, () => error)
  }

  function refuseAll(entry: Entry<Lease>, reason: () => Error): void {
    for (let waiter = entry.queue.next(); waiter; waiter = entry.queue.next()) waiter.reject(reason())
    seats.tidy(entry)
  }

  function dismiss(member: Member<Lease>, reason: CloseReason): void {
    seats.closes(member, reason)
    void member.connection.close()
  }

  function closeExpired(): void {
    const expired = performance.now() - options.idleTimeout
    for (const member of [...seats.state().idle]) {
      if (member.idleSince > expired) return
      dismiss(member, 'idle')
    }
  }

  async function close(deadlineMs: number): Promise<void> {
    stopIdle()
    clearTimeout(growTimer)
    for (const entry of [...seats.entries.values()]) refuseAll(entry, options.refusal)
    for (const member of [...seats.state().idle]) dismiss(member, 'shutdown')
    if (seats.members.size === 0) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      drained = resolve
      timer = setTimeout(resolve, deadlineMs)
    })
    clearTimeout(timer)
    const left = [...seats.members].map(({ connection }) => connection)
    for (const connection of left) connection.destroy(connectionClosed('the process is shutting down'))
    await Promise.all(left.map(connection => connection.closed))
  }

  return {
    take,
    acquire,
    info: seats.info,
    async evict(key) {
      const all = [...seats.members].filter(({ entry }) => entry.key === key)
      for (const member of all) member.retiring = true
      const resting = all.filter(member => member.entry.idle.includes(member))
      for (const member of resting) dismiss(member, 'released')
      await Promise.all(resting.map(({ connection }) => connection.closed))
    },
    close(deadlineMs) {
      closed ??= Promise.resolve().then(() => close(deadlineMs))
      return closed
    },
  }
}
