// The connections of one budget, keyed by database, and their leases. `openings.ts` opens and evicts, `closings.ts` closes, `policy.ts`
// decides for which key and which must yield one, `statement-sharing.ts` which statements share one, `pool-state.ts` keeps the counts.
// Invariants: never more sockets than the budget, counted from before connect until the server has closed them; a connection
// has one lease at a time, or several that each run one plain read; a connection in use is never evicted; every wait ends; a
// key that is held gets no lease.
// If the server is down: each waiter gets one error.

import type { Connection } from '../connections/connection.js'
import type { SessionState } from '../connections/session-state.js'
import type { LeaseReport, PoolReport } from '../reports.js'
import { createClosings } from './closings.js'
import { createHolds } from './holds.js'
import { type Lease, PoolLease } from './lease.js'
import { createOpenings } from './openings.js'
import { shouldYield } from './policy.js'
import { createPoolState, type PoolInfo } from './pool-state.js'
import type { InstanceShares, PooledConnection, TenantSlot } from './pool-view.js'
import { resetSession } from './session-reset.js'
import type { Shareable } from './statement-sharing.js'
import type { Scope, Waiter } from './wait-queue.js'

export type { Lease } from './lease.js'
export type { PoolInfo } from './pool-state.js'

/** Called for each statement, so with plain arguments: an object would be made also without a subscriber. */
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
  /** A session is reset when it is leased again, and not at all when it is not: for pools that live as long as one piece of work. */
  readonly resetLate?: boolean
  /** Whether statements of one key may share a connection. Default true. */
  readonly sharing?: boolean
  /** Milliseconds within which an answer is fast: a slower statement shares no connection (statement-sharing.ts). */
  readonly fastMs?: number
  /** Set when keys are of several instances. */
  readonly instances?: InstanceShares | undefined
  readonly open: (key: string) => Connection
  /** After a connect that failed: whether another attempt at once may succeed. */
  readonly again?: (key: string) => boolean
  /** The error of a waiter whose acquire timeout is over. */
  readonly refusal: () => Error
  readonly report: (report: PoolReport) => void
  readonly reportLease?: ReportLease
}

export interface Pool {
  /** A lease that is available at once: on a shared connection for a claim, on an idle connection, or null. */
  take(key: string, shareable: Shareable | null): Lease | null
  /** @throws the refusal when the budget stays exhausted, or the error of the connect */
  acquire(key: string, scope: Scope, shareable?: Shareable | null): Promise<Lease>
  info(): PoolInfo
  /** The most that may be open now. */
  readonly budget: number
  /** Another budget from now on. Above it, idle connections are closed at once, and those in use as they are returned. */
  resize(budget: number): void
  /** Closes every idle connection of a key, and the others as they are returned. */
  evict(key: string): Promise<void>
  /**
   * Evicts a key and lets its waiters and all that come wait, by their own deadlines, until `release` or for `ms` at most. What
   * is leased goes on.
   */
  hold(key: string, ms: number): void
  /** The waiters of a key that was held get connections. Without a key: those of all. */
  release(key?: string): void
  /** Refuses waiters, closes idle connections, gives those in use the deadline, then destroys them. */
  close(deadlineMs: number): Promise<void>
}

export function createPool(options: PoolOptions): Pool {
  const mayShare = options.pooling && !options.alwaysReset && options.sharing !== false
  const state = createPoolState<Lease>(options)
  let closed: Promise<void> | null = null
  const closings = createClosings(state, options.idleTimeout)
  const { dismiss, evict } = closings
  const openings = createOpenings({
    state,
    open: options.open,
    again: options.again,
    report: options.report,
    isHeld: key => held.has(key),
    ready: pooled => (closed ? dismiss(pooled, 'shutdown') : offer(pooled)),
    evict: victim => dismiss(victim, 'evicted'),
    refuse: (slot, error) => refuseAll(slot, () => error),
    forgotten: closings.forgotten,
  })
  const { pump } = openings
  const held = createHolds(state, pump)

  function take(key: string, shareable: Shareable | null): Lease | null {
    if (closed || held.has(key)) return null
    const slot = state.slots.get(key)
    // Waiters of the key that came before are served before.
    if (!slot || slot.queue.length > 0) return null
    // A shared connection before an idle one: statements that are sent together are one write.
    if (shareable && slot.shared && mayJoin(slot.shared, shareable)) return join(slot.shared, shareable)
    // The one used last: the others may then become idle for long.
    const pooled = slot.idle.at(-1)
    return pooled ? lease(pooled, shareable, 0) : null
  }

  async function acquire(key: string, scope: Scope, shareable: Shareable | null = null): Promise<Lease> {
    if (closed) throw options.refusal()
    const at = take(key, shareable)
    if (at) return at
    const slot = state.slot(key)
    if (!held.has(key)) state.enqueue(slot)
    const waiting = slot.queue.wait(scope, {
      shareable,
      refuse: waitedMs => {
        state.refused(slot)
        options.reportLease?.('refused', key, waitedMs)
        return options.refusal()
      },
      left: () => {
        state.tidy(slot)
        // The waiters behind it may share a connection that this one could not.
        if (slot.shared) fill(slot.shared)
      },
    })
    pump()
    return waiting
  }

  function mayJoin(pooled: PooledConnection<Lease>, shareable: Shareable): boolean {
    const { connection, sharing, slot, closeOnReturn } = pooled
    if (pooled.state !== 'leased' || closeOnReturn || connection.lost || connection.worn) return false
    // It is closed when it is returned, and busy readers would never return it.
    if (state.isAbove()) return false
    return sharing.canJoin(shareable, state.hasOtherWaiters(slot))
  }

  function join(pooled: PooledConnection<Lease>, shareable: Shareable): Lease {
    pooled.sharing.join(shareable)
    state.joined(pooled)
    options.reportLease?.('leased', pooled.slot.key, 0)
    return new PoolLease(pooled, shareable, true, ended)
  }

  function lease(pooled: PooledConnection<Lease>, shareable: Shareable | null, waitedMs: number): Lease {
    const { sharing, slot } = pooled
    if (pooled.unclean) {
      pooled.unclean = false
      // The statement of the lease is sent behind it.
      void resetSession(pooled.connection)
    }
    state.leased(pooled)
    options.reportLease?.('leased', slot.key, waitedMs)
    const shares = mayShare && shareable !== null && sharing.canJoin(shareable, false)
    sharing.join(shareable)
    if (shares) slot.shared = pooled
    else sharing.closeToOthers()
    return new PoolLease(pooled, shareable, shares, ended)
  }

  /** A lease is over: waiters join the others on its connection, if any; otherwise it is given back. */
  function ended(pooled: PooledConnection<Lease>, as: SessionState): void {
    if (pooled.sharing.size > 0) fill(pooled)
    else if ((as === 'reset' || options.alwaysReset) && options.pooling && !pooled.connection.lost) void reset(pooled)
    else giveBack(pooled)
  }

  /** Lets waiters join a shared connection, in the order of the queue. */
  function fill(pooled: PooledConnection<Lease>): void {
    const { slot } = pooled
    for (;;) {
      const shareable = slot.queue.first()?.shareable
      if (!shareable || !mayJoin(pooled, shareable)) return
      const waiter = slot.queue.next() as Waiter<Lease>
      waiter.resolve(join(pooled, shareable))
      state.served(slot)
    }
  }

  async function reset(pooled: PooledConnection<Lease>): Promise<void> {
    if (options.resetLate) pooled.unclean = true
    else await resetSession(pooled.connection)
    giveBack(pooled)
  }

  function giveBack(pooled: PooledConnection<Lease>): void {
    const { slot, connection } = pooled
    state.returned(pooled)
    if (!connection.lost) {
      if (closed) dismiss(pooled, 'shutdown')
      else if (!options.pooling || pooled.closeOnReturn || connection.worn || state.isAbove())
        dismiss(pooled, 'released')
      else if (state.hasWaiters() && shouldYield(state.view(), slot, performance.now())) dismiss(pooled, 'yielded')
      else offer(pooled)
    }
    pump()
  }

  /** Gives a connection to the next waiter of its key, or parks it. */
  function offer(pooled: PooledConnection<Lease>): void {
    const { slot } = pooled
    const waiter = held.has(slot.key) ? null : slot.queue.next()
    if (waiter) {
      waiter.resolve(lease(pooled, waiter.shareable, waiter.waited()))
      state.served(slot)
      fill(pooled)
    } else if (pooled.closeOnReturn || state.isAbove()) {
      dismiss(pooled, 'released')
    } else {
      state.park(pooled)
    }
  }

  function refuseAll(slot: TenantSlot<Lease>, reason: () => Error): void {
    for (let waiter = slot.queue.next(); waiter; waiter = slot.queue.next()) waiter.reject(reason())
    state.tidy(slot)
  }

  function close(deadlineMs: number): Promise<void> {
    held.release()
    for (const slot of [...state.slots.values()]) refuseAll(slot, options.refusal)
    return closings.drain(deadlineMs)
  }

  return {
    take,
    acquire,
    info: state.info,
    get budget() {
      return state.budget()
    },
    resize(budget) {
      closings.resize(budget)
      pump()
    },
    evict,
    hold(key, ms) {
      if (closed) return
      held.hold(key, ms)
      void evict(key)
      pump()
    },
    release: held.release,
    close(deadlineMs) {
      openings.stop()
      closed ??= Promise.resolve().then(() => close(deadlineMs))
      return closed
    },
  }
}
