// Owns the policy of one budget: who may open, whose idle connection is closed for it, who gives way. Pure: it looks and
// decides, the pool acts. A key without a connection comes first, keys are served in turn, nothing in use is ever taken,
// a key that has a connection never takes another's, and no more are closed than can be opened again at once.
import type { Company } from './company.js'
import type { Connection } from './connection.js'
import type { Tally } from './frequency.js'
import type { KeyQueue } from './queue.js'

/** Why a connection was closed, for the diagnostics channel. */
export type CloseReason = 'idle' | 'taken' | 'yielded' | 'released' | 'lost' | 'shutdown'

export interface Member<L> {
  readonly connection: Connection
  readonly entry: Entry<L>
  /** Whose statements run on it. */
  readonly company: Company
  /** Of those, the ones that nobody waits for any more. */
  ghosts: number
  /** `leaving`: closed by us or lost; its seat is taken until the server has let go. */
  state: 'opening' | 'idle' | 'leased' | 'leaving'
  idleSince: number
  /** To be closed when it comes back. */
  retiring: boolean
  /** Why we closed it, null while we have not. */
  closing: CloseReason | null
}

/** What the pool knows about one key. */
export interface Entry<L> {
  readonly key: string
  readonly queue: KeyQueue<L>
  readonly idle: Member<L>[]
  /** Sockets of this key, opening and leaving ones included. */
  size: number
  /** Those that serve it or soon will: opening, idle or leased. */
  live: number
  opening: number
  inUse: number
  /** The connection on which its statements come together. */
  gathering: Member<L> | null
  /** How often it is used. */
  readonly tally: Tally
  /** After a connect that failed beside connections that work, no other is tried before (`performance.now()`). */
  growAfter: number
}

export interface PoolState<L> {
  readonly budget: number
  readonly perKey: number
  readonly maxOpening: number
  /** Keys with waiters, in the order of their turn. */
  readonly turns: ReadonlySet<Entry<L>>
  /** Idle members, the one idle for longest first. */
  readonly idle: ReadonlySet<Member<L>>
  readonly total: number
  readonly opening: number
  /** Seats that we are about to get back from connections that we closed. */
  readonly closing: number
  /** How often a key was used of late. */
  readonly usesOf: (entry: Entry<L>) => number
  /** Where keys are of several instances; without it they are of one, which may have the whole budget. */
  readonly instances?: InstanceShares | undefined
}

/** What of the budget the instance of a key may have. */
export interface InstanceShares {
  /** Connects under way to it: so many may be under way to each instance. */
  opening(key: string): number
  /** Whether it has all it may have: then only its own give way to its keys. */
  full(key: string): boolean
  same(key: string, other: string): boolean
}

export type Move<L> =
  | { readonly type: 'open'; readonly entry: Entry<L> }
  | { readonly type: 'take'; readonly victim: Member<L> }
  /** Somebody may grow, but not yet. */
  | { readonly type: 'wait'; readonly ms: number }

/** Own waiting before a key that has a connection asks for another (facts C4). */
const GROW_AFTER_MS = 5

/** How many seats may be on their way back beyond those that can be opened at once, so that an open need not wait for one. */
const CLOSING_AHEAD = 1

/**
 * Whether another connection may be closed for somebody. One that is closed long before its seat can be used would have
 * served its own key meanwhile (simulated, 100 tenants by Zipf on 50: 1.6 times the requests).
 */
const mayClose = <L>({ opening, maxOpening, closing }: PoolState<L>): boolean =>
  closing < Math.max(0, maxOpening - opening) + CLOSING_AHEAD

/** What to do next, null when nobody can be helped now. */
export function nextMove<L>(state: PoolState<L>, now: number): Move<L> | null {
  const { instances } = state
  const mayOpen = (key: string): boolean => (instances?.opening(key) ?? state.opening) < state.maxOpening
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
      // Never for a key that has one: ten keys that want ten each would take each other's fifty in turn, and a connection
      // costs as much as forty statements (limits 3.1: 0.06 of the throughput).
      if (growing || !mayClose(state)) continue
      const victim = leastUsed(state, full ? other => instances?.same(entry.key, other) === true : null)
      if (victim) return { type: 'take', victim }
    }
  }
  return wait === Number.POSITIVE_INFINITY ? null : { type: 'wait', ms: Math.ceil(wait) }
}

/**
 * The idle connection that its key will miss least: used least often of late, shared out over the connections the key has;
 * of equal ones that which has been idle for longest. By frequency rather than by age alone, as most keys that come once
 * do not come again soon (simulated, 100 tenants by Zipf on 50: a fifth fewer misses).
 */
function leastUsed<L>({ idle, usesOf }: PoolState<L>, among: ((key: string) => boolean) | null): Member<L> | undefined {
  let victim: Member<L> | undefined
  let least = Number.POSITIVE_INFINITY
  for (const member of idle) {
    if (among && !among(member.entry.key)) continue
    const uses = usesOf(member.entry) / member.entry.live
    if (uses >= least) continue
    victim = member
    least = uses
  }
  return victim
}

/**
 * True when a key gives up the connection it has just got back, because another without any has its turn before, or
 * because this one has more than one. Not while a seat can be had otherwise.
 */
export function givesWay<L>(state: PoolState<L>, entry: Entry<L>): boolean {
  const { instances, idle } = state
  const full = instances?.full(entry.key) ?? false
  if ((state.total < state.budget && !full) || !mayClose(state)) return false
  // In an instance that has all it may have, only its own can use the seat.
  const concerns = (key: string): boolean => !full || instances?.same(entry.key, key) === true
  if (idle.size > 0 && (!full || [...idle].some(member => concerns(member.entry.key)))) return false
  let promised = state.closing
  for (const other of state.turns) {
    if (other === entry) {
      if (entry.live === 1) return false
    } else if (other.live === 0 && other.size < state.perKey && concerns(other.key) && promised-- <= 0) {
      return true
    }
  }
  return false
}
