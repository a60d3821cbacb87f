// The choice of the idle connection to evict, by its retention value for its key. Pure. Invariant: a connection in use is
// never chosen, and where an instance has used up its quota only that instance's own connections are.
import type { PooledConnection, PoolView, TenantSlot } from './pool-view.js'

/** The worth of a connection to a key that has others, relative to a key's only one with as many uses. */
const SPARE = 0.1

/** A key that has others, has not needed this one for so long and was hardly used meanwhile does without it. */
const SURPLUS_MS = 100
const HARDLY_USED = 10

/** The keys whose connections a key can use: all (null), or only its instance's own where that has used up its quota. */
export type Eligible = ((key: string) => boolean) | null

export function eligibleFor<L>({ instances }: PoolView<L>, { key }: TenantSlot<L>): Eligible {
  return instances?.full(key) ? other => instances.same(key, other) : null
}

/**
 * The idle connection with the least retention value: used least often of late, shared out over the connections the key has;
 * of equal ones that which has been idle for longest. By frequency rather than by age alone, as most keys that come once
 * do not come again soon (simulated, 100 tenants by Zipf on 50: a fifth fewer misses). Surplus comes first: counts are of
 * a past in which its key was busier (from 10 tenants to 40 on 50 connections: 133 opens, where 30 are needed).
 */
export function pickVictim<L>(state: PoolView<L>, now: number, whose: Eligible, idleFor = 0): Least<L> {
  let victim: PooledConnection<L> | null = null
  let least = Number.POSITIVE_INFINITY
  for (const pooled of state.idle) {
    const { slot } = pooled
    if (whose && !whose(slot.key)) continue
    const ms = pooled.idleSince + idleFor - now
    if (ms > 0) return { least: victim && { pooled: victim, retentionValue: least }, ms }
    const its = isSurplus(pooled, now) ? 0 : worth(state, slot)
    if (its >= least) continue
    victim = pooled
    least = its
  }
  return { least: victim && { pooled: victim, retentionValue: least }, ms: Number.POSITIVE_INFINITY }
}

interface Least<L> {
  readonly least: { readonly pooled: PooledConnection<L>; readonly retentionValue: number } | null
  /** Until another has been idle for long enough. */
  readonly ms: number
}

const isSurplus = <L>({ slot, idleSince, usedWhenIdle }: PooledConnection<L>, now: number): boolean =>
  slot.live > 1 && now - idleSince > SURPLUS_MS && slot.used - usedWhenIdle < HARDLY_USED

/**
 * The retention value of one connection of a key: how often each was used of late, and less while the key has others, as it
 * then loses room and need not open another for it. By use alone, tenants that are new evicted each other's only connections
 * until the counts of the old had aged (from 10 tenants to 40 on 50 connections: three seconds at a tenth of the rate).
 */
export const worth = <L>({ usesOf }: PoolView<L>, slot: TenantSlot<L>): number =>
  (usesOf(slot) / slot.live) * (slot.live > 1 ? SPARE : 1)
