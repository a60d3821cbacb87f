// The policy of one budget: which key may open a connection, which idle connection is evicted for it, and which key must
// yield one. Pure: it decides, the pool acts. A key without a connection comes first, keys are served in the order of their
// waiting, a connection in use is never evicted, a key that has a connection takes none that another may miss soon, and no
// more are closed than can be opened again at once.

import { type Eligible, eligibleFor, pickVictim, worth } from './eviction.js'
import type { PooledConnection, PoolView, TenantSlot } from './pool-view.js'

export type Move<L> =
  | { readonly type: 'open'; readonly slot: TenantSlot<L> }
  | { readonly type: 'evict'; readonly victim: PooledConnection<L> }
  /** A key may grow, but not yet. */
  | { readonly type: 'wait'; readonly ms: number }

/** Own waiting before a key that has a connection asks for another (docs/decisions/0002), and before it asks for one of others'. */
const GROW_AFTER_MS = 5
const TAKE_AFTER_MS = 100

/** Connections that may be closing beyond those that can be opened at once, so that an open need not wait for one. */
const CLOSING_AHEAD = 1

/** From so many leases for each connection opened, most requests find theirs open, and opening is what slows them. */
const MOSTLY_FOUND = 4

/** A connection that was leased within this is expected back soon. */
const SOON_BACK_MS = 20

/** A key that is used again at all is used again within this, when keys are busy. */
const LONG_IDLE_MS = 1_000

/**
 * Connects under way at a time. One when most requests find their connection open and must be evicted for others: a connect
 * costs as much as forty statements, and a longer wait for it costs less than the statements it would slow. Until the first in
 * line has waited for half of what it may: on a slow machine one at a time is too few, and its wait would end in a refusal.
 */
function gate<L>(state: PoolView<L>, now: number): number {
  const { total, budget, maxOpening, usesPerOpen } = state
  const room = total + maxOpening <= budget
  return room || usesPerOpen < MOSTLY_FOUND || urgentIn(state, now) <= 0 ? maxOpening : 1
}

/** Milliseconds until the first in line without a connection has waited for half of what it may. */
function urgentIn<L>({ waiting, acquireTimeout }: PoolView<L>, now: number): number {
  for (const { live, queue } of waiting) if (live === 0) return queue.since + acquireTimeout / 2 - now
  return Number.POSITIVE_INFINITY
}

/** The gate is shut. What is under way opens it again, but for a connect that hangs. */
function behindGate<L>(state: PoolView<L>, now: number): Move<L> | null {
  const ms = gate(state, now) < state.maxOpening ? urgentIn(state, now) : Number.POSITIVE_INFINITY
  return ms === Number.POSITIVE_INFINITY ? null : { type: 'wait', ms: Math.ceil(ms) }
}

/**
 * Whether another connection may be closed to make room. One that is closed long before its place in the budget can be used
 * would have served its own key meanwhile (simulated, 100 tenants by Zipf on 50: 1.6 times the requests).
 */
const mayClose = <L>(state: PoolView<L>, now: number): boolean =>
  state.closing < Math.max(0, gate(state, now) - state.opening) + CLOSING_AHEAD

/** The next action, null when no waiter can be served now. */
export function nextMove<L>(state: PoolView<L>, now: number): Move<L> | null {
  const { instances } = state
  const atOnce = gate(state, now)
  const mayOpen = (key: string): boolean => (instances?.opening(key) ?? state.opening) < atOnce
  if (state.waiting.size === 0) return null
  if (!(instances || mayOpen('') || mayClose(state, now))) return behindGate(state, now)
  // Each closing connection makes room for the next key in line, which then evicts none.
  let promised = state.closing
  let wait = Number.POSITIVE_INFINITY
  for (const growing of [false, true]) {
    for (const slot of state.waiting) {
      if (growing !== slot.live > 0) continue
      // The first must stand before a key grows: side by side they could all fail at its CONNECTION LIMIT.
      if (growing && slot.live === slot.opening) continue
      if (slot.queue.length <= slot.opening || slot.size >= state.perKey) continue
      const due = growing ? Math.max(slot.queue.since + GROW_AFTER_MS, slot.growAfter) : 0
      if (due > now) {
        wait = Math.min(wait, due - now)
        continue
      }
      // Trouble of one instance holds up only its own keys.
      if (instances && !mayOpen(slot.key)) continue
      const full = instances?.full(slot.key) ?? false
      if (state.total < state.budget && !full)
        return mayOpen(slot.key) ? { type: 'open', slot } : behindGate(state, now)
      if (promised > 0) {
        promised--
        continue
      }
      if (!mayClose(state, now)) continue
      const victim = growing ? victimOfGrowth(state, slot, now) : victimOf(state, slot, now)
      if (typeof victim !== 'number') return { type: 'evict', victim }
      wait = Math.min(wait, victim)
    }
  }
  return wait === Number.POSITIVE_INFINITY ? null : { type: 'wait', ms: Math.ceil(wait) }
}

/**
 * The connection to evict for a key, or the milliseconds after which to look again.
 * @param idleFor milliseconds for which it must have been idle
 */
function victimOf<L>(state: PoolView<L>, slot: TenantSlot<L>, now: number, idleFor = 0): PooledConnection<L> | number {
  const whose = eligibleFor(state, slot)
  const { least, ms } = pickVictim(state, now, whose, idleFor)
  if (!least) return ms
  const soon = expectedReturnMs(state, least.retentionValue, now, whose)
  return soon === 0 ? least.pooled : soon
}

/**
 * For a key that has a connection: only one that has been idle for long, and only when the key has waited for long. Ten keys
 * that want ten each would evict each other's fifty in turn, and a connection costs as much as forty statements
 * (docs/decisions/0002: 0.06 of the throughput). With no eviction at all, slow statements would stand in one queue while the
 * connections of keys that came once stay idle for half an hour.
 */
function victimOfGrowth<L>(state: PoolView<L>, slot: TenantSlot<L>, now: number): PooledConnection<L> | number {
  const early = slot.queue.since + TAKE_AFTER_MS - now
  return early > 0 ? early : victimOf(state, slot, now, LONG_IDLE_MS)
}

/**
 * Milliseconds within which a key that has more than one is expected to return one whose retention value is no more than
 * this, 0 when none is. Where all keys fit, there is always one: evicting a key's only connection instead makes that key
 * evict another's, and so on (40 tenants on 50 connections: 490 opens in two seconds, a quarter of the requests).
 */
function expectedReturnMs<L>(state: PoolView<L>, most: number, now: number, whose: Eligible): number {
  let ms = 0
  for (const slot of state.slots.values()) {
    if (slot.live < 2 || slot.inUse === 0 || worth(state, slot) > most) continue
    if (whose && !whose(slot.key)) continue
    ms = Math.max(ms, slot.lentAt + SOON_BACK_MS - now)
  }
  return ms
}

/**
 * True when a key must yield the connection it has just got back, because a key without any is before it in line, or
 * because this one has more than one. Not while another connection with less retention value can be evicted.
 */
export function shouldYield<L>(state: PoolView<L>, slot: TenantSlot<L>, now: number): boolean {
  const whose = eligibleFor(state, slot)
  if ((state.total < state.budget && !whose) || !mayClose(state, now) || !comesAfterAnother(state, slot, whose))
    return false
  const its = worth(state, slot)
  const { least } = pickVictim(state, now, whose)
  if (least && (slot.live === 1 || least.retentionValue <= its)) return false
  return slot.live > 1 || expectedReturnMs(state, its, now, whose) === 0
}

/** Whether a key without a connection is before it in line, or anywhere in line when this one has more than one. */
function comesAfterAnother<L>(state: PoolView<L>, slot: TenantSlot<L>, whose: Eligible): boolean {
  let promised = state.closing
  for (const other of state.waiting) {
    if (other === slot) {
      if (slot.live === 1) return false
    } else if (other.live === 0 && other.size < state.perKey && (!whose || whose(other.key)) && promised-- <= 0) {
      return true
    }
  }
  return false
}
