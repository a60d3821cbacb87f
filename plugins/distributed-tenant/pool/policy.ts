// Owns the policy of one budget: who may open, whose idle connection is closed for it, who gives way. Pure: it looks and
// decides, the pool acts. A key without a connection comes first, keys are served in turn, nothing in use is ever taken,
// a key that has a connection takes none that another may miss soon, and no more are closed than can be opened again at once.
import type { Entry, Member, PoolState } from './books.js'
import { leastUsed, mayGiveTo, type Whose, worth } from './eviction.js'

export type Move<L> =
  | { readonly type: 'open'; readonly entry: Entry<L> }
  | { readonly type: 'take'; readonly victim: Member<L> }
  /** Somebody may grow, but not yet. */
  | { readonly type: 'wait'; readonly ms: number }

/** Own waiting before a key that has a connection asks for another (docs/decisions/0002), and before it asks for one of others'. */
const GROW_AFTER_MS = 5
const TAKE_AFTER_MS = 100

/** How many seats may be on their way back beyond those that can be opened at once, so that an open need not wait for one. */
const CLOSING_AHEAD = 1

/** From so many leases for each connection opened, most requests find theirs open, and opening is what slows them. */
const MOSTLY_FOUND = 4

/** A connection that was lent within this is back soon. */
const SOON_BACK_MS = 20

/** Who comes back at all comes back within this, when keys are busy. */
const LONG_IDLE_MS = 1_000

/**
 * Connects under way at a time. One when most requests find their connection open and the others take them: a connect costs
 * as much as forty statements, and those who wait for it may wait a little longer for the good of all.
 */
function gate<L>({ total, budget, maxOpening, usesPerOpen }: PoolState<L>): number {
  const room = total + maxOpening <= budget
  return room || usesPerOpen < MOSTLY_FOUND ? maxOpening : 1
}

/**
 * Whether another connection may be closed for somebody. One that is closed long before its seat can be used would have
 * served its own key meanwhile (simulated, 100 tenants by Zipf on 50: 1.6 times the requests).
 */
const mayClose = <L>(state: PoolState<L>): boolean =>
  state.closing < Math.max(0, gate(state) - state.opening) + CLOSING_AHEAD

/** What to do next, null when nobody can be helped now. */
export function nextMove<L>(state: PoolState<L>, now: number): Move<L> | null {
  const { instances } = state
  const atOnce = gate(state)
  const mayOpen = (key: string): boolean => (instances?.opening(key) ?? state.opening) < atOnce
  if (state.turns.size === 0 || !(instances || mayOpen('') || mayClose(state))) return null
  // Each seat on its way back is promised to the next in turn, who takes nobody else's then.
  let promised = state.closing
  let wait = Number.POSITIVE_INFINITY
  for (const growing of [false, true]) {
    for (const entry of state.turns) {
      if (growing !== entry.live > 0) continue
      // The first must stand before a key grows: side by side they could all fail at its CONNECTION LIMIT.
      if (growing && entry.live === entry.opening) continue
      if (entry.queue.length <= entry.opening || entry.size >= state.perKey) continue
      const due = growing ? Math.max(entry.queue.since + GROW_AFTER_MS, entry.growAfter) : 0
      if (due > now) {
        wait = Math.min(wait, due - now)
        continue
      }
      // One instance's trouble holds up its own keys.
      if (instances && !mayOpen(entry.key)) continue
      const full = instances?.full(entry.key) ?? false
      if (state.total < state.budget && !full) return mayOpen(entry.key) ? { type: 'open', entry } : null
      if (promised > 0) {
        promised--
        continue
      }
      if (!mayClose(state)) continue
      const victim = growing ? victimOfGrowth(state, entry, now) : victimOf(state, entry, now)
      if (typeof victim !== 'number') return { type: 'take', victim }
      wait = Math.min(wait, victim)
    }
  }
  return wait === Number.POSITIVE_INFINITY ? null : { type: 'wait', ms: Math.ceil(wait) }
}

/**
 * Whose connection is closed for a key, or the milliseconds after which to look again.
 * @param idleFor milliseconds for which it must have been idle
 */
function victimOf<L>(state: PoolState<L>, entry: Entry<L>, now: number, idleFor = 0): Member<L> | number {
  const whose = mayGiveTo(state, entry)
  const { least, ms } = leastUsed(state, now, whose, idleFor)
  if (!least) return ms
  const soon = spareSoonBack(state, least.worth, now, whose)
  return soon === 0 ? least.member : soon
}

/**
 * For a key that has one, only what nobody has touched for long, and only when it waits for long: ten keys that want ten
 * each would take each other's fifty in turn, and a connection costs as much as forty statements (docs/decisions/0002: 0.06 of the
 * throughput). Not at all, and slow statements would stand in one line while the seats of keys that came once rest for
 * half an hour.
 */
function victimOfGrowth<L>(state: PoolState<L>, entry: Entry<L>, now: number): Member<L> | number {
  const early = entry.queue.since + TAKE_AFTER_MS - now
  return early > 0 ? early : victimOf(state, entry, now, LONG_IDLE_MS)
}

/**
 * Milliseconds within which a key that has more than one is expected to give one back that is worth no more than this, 0
 * when none is. Where all keys fit, there is always one: taking a key's only connection instead makes it take
 * another's, and so on (40 tenants on 50 connections: 490 opens in two seconds, a quarter of the requests).
 */
function spareSoonBack<L>(state: PoolState<L>, most: number, now: number, whose: Whose): number {
  let ms = 0
  for (const entry of state.entries.values()) {
    if (entry.live < 2 || entry.inUse === 0 || worth(state, entry) > most) continue
    if (whose && !whose(entry.key)) continue
    ms = Math.max(ms, entry.lentAt + SOON_BACK_MS - now)
  }
  return ms
}

/**
 * True when a key gives up the connection it has just got back, because another without any has its turn before, or
 * because this one has more than one. Not while a seat can be had otherwise, of somebody who will miss it less.
 */
export function givesWay<L>(state: PoolState<L>, entry: Entry<L>, now: number): boolean {
  const whose = mayGiveTo(state, entry)
  if ((state.total < state.budget && !whose) || !mayClose(state) || !comesAfterAnother(state, entry, whose))
    return false
  const its = worth(state, entry)
  const { least } = leastUsed(state, now, whose)
  if (least && (entry.live === 1 || least.worth <= its)) return false
  return entry.live > 1 || spareSoonBack(state, its, now, whose) === 0
}

/** Whether a key without a connection has its turn before, or anywhere when this one has more than one. */
function comesAfterAnother<L>(state: PoolState<L>, entry: Entry<L>, whose: Whose): boolean {
  let promised = state.closing
  for (const other of state.turns) {
    if (other === entry) {
      if (entry.live === 1) return false
    } else if (other.live === 0 && other.size < state.perKey && (!whose || whose(other.key)) && promised-- <= 0) {
      return true
    }
  }
  return false
}
