// Owns the policy of one budget: who may open, whose idle connection is closed for it, who gives way. Pure: it looks and
// decides, the pool acts. A key without a connection comes first, keys are served in turn, nothing in use is ever taken,
// a key that has a connection takes none that another may miss soon, and no more are closed than can be opened again at once.
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
  /** How often its key had been used then. */
  usedWhenIdle: number
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
  /** How often it is used, of late and in all. */
  readonly tally: Tally
  used: number
  /** After a connect that failed beside connections that work, no other is tried before (`performance.now()`). */
  growAfter: number
  /** When a connection of it was lent last (`performance.now()`). */
  lentAt: number
}

export interface PoolState<L> {
  readonly budget: number
  readonly perKey: number
  readonly maxOpening: number
  /** Every key that has a connection or waits for one. */
  readonly entries: ReadonlyMap<string, Entry<L>>
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
  /** Leases for each connection opened, of late. */
  readonly usesPerOpen: number
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

/** Own waiting before a key that has a connection asks for another (facts C4), and before it asks for one of others'. */
const GROW_AFTER_MS = 5
const TAKE_AFTER_MS = 100

/** How many seats may be on their way back beyond those that can be opened at once, so that an open need not wait for one. */
const CLOSING_AHEAD = 1

/** From so many leases for each connection opened, most requests find theirs open, and opening is what slows them. */
const MOSTLY_FOUND = 4

/** A connection that was lent within this is back soon. */
const SOON_BACK_MS = 20

/** What a connection is worth to a key that has others, against its only one with as many uses. */
const SPARE = 0.1

/** Who comes back at all comes back within this, when keys are busy. */
const LONG_IDLE_MS = 1_000

/** A key that has others, has not needed this one for so long and was hardly used meanwhile does without it. */
const SURPLUS_MS = 100
const HARDLY_USED = 10

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
      const whose = mayGiveTo(state, entry)
      // For a key that has one only what nobody has touched for long, and only when it waits for long: ten keys that want
      // ten each would take each other's fifty in turn, and a connection costs as much as forty statements (limits 3.1: 0.06
      // of the throughput). Not at all, and slow statements would stand in one line while the seats of tenants that came
      // once are idle for half an hour.
      const early = growing ? entry.queue.since + TAKE_AFTER_MS - now : 0
      const { least, ms: soon } = leastUsed(state, now, whose, growing ? LONG_IDLE_MS : 0)
      if (early > 0 || !least) {
        wait = Math.min(wait, Math.max(early, least ? 0 : soon))
        continue
      }
      const ms = spareSoonBack(state, least.worth, now, whose)
      if (ms === 0) return { type: 'take', victim: least.member }
      wait = Math.min(wait, ms)
    }
  }
  return wait === Number.POSITIVE_INFINITY ? null : { type: 'wait', ms: Math.ceil(wait) }
}

/** Whose seat a key can use: anybody's, but where its instance has all it may have, only that instance's own. */
type Whose = ((key: string) => boolean) | null

function mayGiveTo<L>({ instances }: PoolState<L>, { key }: Entry<L>): Whose {
  return instances?.full(key) ? other => instances.same(key, other) : null
}

/**
 * The idle connection that its key will miss least: used least often of late, shared out over the connections the key has;
 * of equal ones that which has been idle for longest. By frequency rather than by age alone, as most keys that come once
 * do not come again soon (simulated, 100 tenants by Zipf on 50: a fifth fewer misses). Surplus comes first: counts are of
 * a past in which its key was busier (from 10 tenants to 40 on 50 connections: 133 opens, where 30 are needed).
 */
function leastUsed<L>(state: PoolState<L>, now: number, whose: Whose, idleFor = 0): Least<L> {
  let victim: Member<L> | null = null
  let least = Number.POSITIVE_INFINITY
  for (const member of state.idle) {
    const { entry } = member
    if (whose && !whose(entry.key)) continue
    const ms = member.idleSince + idleFor - now
    if (ms > 0) return { least: victim && { member: victim, worth: least }, ms }
    const its = isSurplus(member, now) ? 0 : worth(state, entry)
    if (its >= least) continue
    victim = member
    least = its
  }
  return { least: victim && { member: victim, worth: least }, ms: Number.POSITIVE_INFINITY }
}

interface Least<L> {
  readonly least: { readonly member: Member<L>; readonly worth: number } | null
  /** Until another has been idle for long enough. */
  readonly ms: number
}

const isSurplus = <L>({ entry, idleSince, usedWhenIdle }: Member<L>, now: number): boolean =>
  entry.live > 1 && now - idleSince > SURPLUS_MS && entry.used - usedWhenIdle < HARDLY_USED

/**
 * How much one of its connections is worth to a key: how often each was used of late, and less while it has others, as it
 * then loses room and need not open another for it. By use alone, tenants that are new to the busy ones took each other's only
 * ones until the counts of the old had aged (from 10 tenants to 40 on 50 connections: three seconds at a tenth of the rate).
 */
const worth = <L>({ usesOf }: PoolState<L>, entry: Entry<L>): number =>
  (usesOf(entry) / entry.live) * (entry.live > 1 ? SPARE : 1)

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
