// The state of one pool: its connections, their keys and their counts. Pure: it moves connections between sets and counts
// them, and opens or closes nothing. Invariant: a connection counts against the budget from before connect until the server
// has closed it.

import type { Connection } from '../connections/connection.js'
import type { CloseReason, ConnectionCounts } from '../reports.js'
import { type Counters, createCount } from './counters.js'
import type { InstanceShares, PooledConnection, PoolView, TenantSlot } from './pool-view.js'
import { createSharedConnection } from './statement-sharing.js'
import { createFrequency } from './usage-frequency.js'
import { createQueue } from './wait-queue.js'

/** `opened`, `evicted` and `refused` are counted since the start. */
export interface PoolInfo extends Counters, ConnectionCounts {
  readonly budget: number
  /** Keys that have a connection, or wait for one. */
  readonly keys: ReadonlyMap<string, ConnectionCounts>
  /** Of every key since the start, see counters.ts. */
  readonly counted: ReadonlyMap<string, Counters>
}

export interface PoolState<L> {
  readonly connections: ReadonlySet<PooledConnection<L>>
  readonly slots: ReadonlyMap<string, TenantSlot<L>>
  /** The input of the policy. */
  view(): PoolView<L>
  /** The slot of a key, made if it is new. */
  slot(key: string): TenantSlot<L>
  /** True when a waiter waits for any key. */
  hasWaiters(): boolean
  /** True when a waiter waits for another key than this. */
  hasOtherWaiters(slot: TenantSlot<L>): boolean
  /** A key has a waiter: added to the line of keys, unless it stands there already. */
  enqueue(slot: TenantSlot<L>): void
  /** Its waiters keep their places in its queue, and the key leaves the line. */
  holdBack(slot: TenantSlot<L>): void
  /** A waiter of a key was served: to the end of the line, or out of it. */
  served(slot: TenantSlot<L>): void
  /** A waiter left, or a connection is closed: removes a key without waiters from the line, and a slot that is empty. */
  tidy(slot: TenantSlot<L>): void
  /** A waiter's acquire timeout was over. */
  refused(slot: TenantSlot<L>): void
  opening(slot: TenantSlot<L>, connection: Connection): PooledConnection<L>
  opened(pooled: PooledConnection<L>): void
  park(pooled: PooledConnection<L>): void
  leased(pooled: PooledConnection<L>): void
  /** One more statement on a connection that is in use. */
  joined(pooled: PooledConnection<L>): void
  returned(pooled: PooledConnection<L>): void
  /** The pool is about to close it. */
  markClosing(pooled: PooledConnection<L>, reason: CloseReason): void
  /** Closed by the pool, or lost: it is leased no more, and counts until `forget`. @returns whether it was still opening */
  detach(pooled: PooledConnection<L>): boolean
  /** The server has closed it. */
  forget(pooled: PooledConnection<L>): void
  info(): PoolInfo
  budget(): number
  resize(budget: number): void
  /** More are open than the budget allows, since it was lowered. */
  isAbove(): boolean
}

export interface PoolStateOptions {
  readonly budget: number
  readonly perKey: number
  readonly maxOpening: number
  readonly acquireTimeout: number
  readonly fastMs?: number
  readonly instances?: InstanceShares | undefined
}

/** Uses for each connection of the budget until all counts are halved: 20 to 200 make no difference of note (simulated). */
const ERA_PER_SEAT = 50

/** The weight of the latest open among those before it: after ten the average is a new one. */
const OPENS_REMEMBERED = 0.1

export function createPoolState<L>(options: PoolStateOptions): PoolState<L> {
  const { perKey, maxOpening, acquireTimeout, fastMs, instances } = options
  let { budget } = options
  const slots = new Map<string, TenantSlot<L>>()
  const connections = new Set<PooledConnection<L>>()
  const idle = new Set<PooledConnection<L>>()
  const waiting = new Set<TenantSlot<L>>()
  const counts = { total: 0, opening: 0, closing: 0 }
  const count = createCount()
  const frequency = createFrequency(budget * ERA_PER_SEAT)
  const usesOf = (slot: TenantSlot<L>): number => frequency.of(slot.tally)
  let usesPerOpen = 0
  let usesSinceOpen = 0

  function used(slot: TenantSlot<L>): void {
    frequency.count(slot.tally)
    slot.used++
    usesSinceOpen++
  }

  function tidy(slot: TenantSlot<L>): void {
    if (slot.queue.length > 0) return
    waiting.delete(slot)
    if (slot.size > 0 || !slots.delete(slot.key)) return
    frequency.end(slot.key, slot.tally)
  }

  return {
    connections,
    slots,
    view: () => ({
      ...{ budget, perKey, maxOpening, acquireTimeout, slots, waiting, idle, usesOf, usesPerOpen, instances },
      ...counts,
    }),
    slot(key) {
      let slot = slots.get(key)
      if (!slot) {
        const queue = createQueue<L>(acquireTimeout)
        const tally = frequency.begin(key)
        const counts = { size: 0, live: 0, opening: 0, inUse: 0 }
        slot = { key, queue, idle: [], ...counts, shared: null, tally, used: 0, growAfter: 0, lentAt: 0 }
        slots.set(key, slot)
      }
      return slot
    },
    hasWaiters: () => waiting.size > 0,
    hasOtherWaiters: slot => waiting.size > (waiting.has(slot) ? 1 : 0),
    enqueue: slot => void waiting.add(slot),
    holdBack: slot => void waiting.delete(slot),
    served(slot) {
      waiting.delete(slot)
      if (slot.queue.length > 0) waiting.add(slot)
    },
    tidy,
    refused: ({ key }) => count.one('refused', key),
    opening(slot, connection) {
      const pooled: PooledConnection<L> = {
        connection,
        slot,
        sharing: createSharedConnection(fastMs),
        abandoned: 0,
        state: 'opening',
        idleSince: 0,
        usedWhenIdle: 0,
        unclean: false,
        closeOnReturn: false,
        closing: null,
      }
      usesPerOpen += (usesSinceOpen - usesPerOpen) * OPENS_REMEMBERED
      usesSinceOpen = 0
      connections.add(pooled)
      counts.total++
      counts.opening++
      slot.size++
      slot.live++
      slot.opening++
      return pooled
    },
    opened(pooled) {
      pooled.state = 'idle'
      counts.opening--
      pooled.slot.opening--
      count.one('opened', pooled.slot.key)
    },
    park(pooled) {
      pooled.state = 'idle'
      pooled.idleSince = performance.now()
      pooled.usedWhenIdle = pooled.slot.used
      pooled.slot.idle.push(pooled)
      idle.add(pooled)
    },
    leased(pooled) {
      const at = pooled.slot.idle.lastIndexOf(pooled)
      if (at >= 0) pooled.slot.idle.splice(at, 1)
      idle.delete(pooled)
      pooled.state = 'leased'
      pooled.slot.inUse++
      pooled.slot.lentAt = performance.now()
      used(pooled.slot)
    },
    joined: pooled => used(pooled.slot),
    returned(pooled) {
      pooled.slot.inUse--
      if (pooled.slot.shared === pooled) pooled.slot.shared = null
    },
    markClosing(pooled, reason) {
      pooled.closing = reason
      if (reason === 'evicted') count.one('evicted', pooled.slot.key)
      counts.closing++
    },
    detach(pooled) {
      const { slot, state } = pooled
      const at = slot.idle.indexOf(pooled)
      if (at >= 0) slot.idle.splice(at, 1)
      idle.delete(pooled)
      pooled.state = 'leaving'
      if (slot.shared === pooled) slot.shared = null
      slot.live--
      if (state !== 'opening') return false
      counts.opening--
      slot.opening--
      return true
    },
    forget(pooled) {
      connections.delete(pooled)
      counts.total--
      pooled.slot.size--
      if (pooled.closing) counts.closing--
      tidy(pooled.slot)
    },
    budget: () => budget,
    resize(to) {
      budget = to
    },
    isAbove: () => counts.total - counts.closing > budget,
    info() {
      const keys = new Map<string, ConnectionCounts>()
      let inUse = 0
      let waiting = 0
      for (const { key, size, idle, queue, inUse: used, opening } of slots.values()) {
        inUse += used
        waiting += queue.length
        keys.set(key, { open: size, idle: idle.length, inUse: used, opening, waiting: queue.length })
      }
      const { total: open, opening } = counts
      const now = { open, idle: idle.size, inUse, opening, waiting, budget }
      return { ...now, ...count.all, keys, counted: count.perKey }
    },
  }
}
