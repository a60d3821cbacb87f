// Which instance each tenant of a drained one goes to, and which tenants a rebalance moves. Pure. Invariant: no target gets more than
// the room that is known of it.

import type { TenantId } from '../../../plugins/distributed-tenant/types.js'

export interface Target {
  readonly name: string
  /** Of its tenants now. */
  readonly bytes: number
  /** Its share beside the others': of twice the weight, twice as much. */
  readonly weight: number
  /** Bytes; null where it is unknown. */
  readonly free: number | null
}

export interface Sized {
  readonly id: TenantId
  readonly bytes: number
}

/** The largest first, each to the least filled target by weight. @returns without those for which no target has room */
export function chooseTargets(tenants: readonly Sized[], targets: readonly Target[]): Map<TenantId, string> {
  const coming = new Map(targets.map(({ name }) => [name, 0]))
  const chosen = new Map<TenantId, string>()
  const filled = ({ name, bytes, weight }: Target): number => (bytes + (coming.get(name) ?? 0)) / weight
  for (const { id, bytes } of largestFirst(tenants)) {
    const roomy = targets.filter(({ name, free }) => free === null || (coming.get(name) ?? 0) + bytes <= free)
    const least = roomy.reduce<Target | null>((best, one) => (best && filled(best) <= filled(one) ? best : one), null)
    if (!least) continue
    coming.set(least.name, (coming.get(least.name) ?? 0) + bytes)
    chosen.set(id, least.name)
  }
  return chosen
}

export const largestFirst = <T extends Sized>(tenants: readonly T[]): T[] =>
  [...tenants].sort((a, b) => b.bytes - a.bytes || (a.id < b.id ? -1 : 1))

export interface Loaded extends Sized {
  readonly instance: string
  /** What is to be spread: bytes, or transactions a second. */
  readonly load: number
  /** Else it only counts where it is. */
  readonly movable: boolean
}

export interface Balanced {
  readonly name: string
  readonly weight: number
  /** It may get tenants; one that is marked full only gives some away. */
  readonly open: boolean
  readonly free: number | null
}

export interface Relocation extends Sized {
  readonly from: string
  readonly to: string
  readonly load: number
}

/**
 * Few moves that bring the instances nearer to each other: again and again from the most loaded to the least loaded by weight the
 * tenant that closes the gap best, of equal ones the smaller.
 * @param tolerance the part of the average by which the most and the least loaded may differ
 */
export function chooseRelocations(
  tenants: readonly Loaded[],
  instances: readonly Balanced[],
  { tolerance, most }: { readonly tolerance: number; readonly most: number },
): Relocation[] {
  const load = new Map(instances.map(({ name }) => [name, 0]))
  for (const one of tenants) load.set(one.instance, (load.get(one.instance) ?? 0) + one.load)
  const weights = instances.reduce((sum, { weight }) => sum + weight, 0)
  const average = [...load.values()].reduce((sum, one) => sum + one, 0) / weights
  const left = new Set(tenants.filter(({ movable }) => movable))
  const coming = new Map<string, number>()
  const chosen: Relocation[] = []
  const loadOf = ({ name }: Balanced): number => load.get(name) ?? 0
  const level = (one: Balanced): number => loadOf(one) / one.weight

  function best(from: Balanced, to: Balanced): Loaded | null {
    const wanted = (loadOf(from) * to.weight - loadOf(to) * from.weight) / (from.weight + to.weight)
    const fits = [...left].filter(
      one =>
        one.instance === from.name &&
        one.load > 0 &&
        (loadOf(to) + one.load) / to.weight < level(from) &&
        (to.free === null || (coming.get(to.name) ?? 0) + one.bytes <= to.free),
    )
    const farness = (one: Loaded): number => Math.abs(one.load - wanted)
    return fits.reduce<Loaded | null>((nearest, one) => {
      if (!nearest) return one
      const difference = farness(one) - farness(nearest)
      return difference < 0 || (difference === 0 && one.bytes < nearest.bytes) ? one : nearest
    }, null)
  }

  while (chosen.length < most) {
    const byLevel = [...instances].sort((a, b) => level(b) - level(a))
    const to = byLevel.filter(({ open }) => open).at(-1)
    if (!to) break
    const found = byLevel
      .filter(from => from !== to && level(from) - level(to) > tolerance * average)
      .map(from => best(from, to))
      .find(one => one !== null)
    if (!found) break
    left.delete(found)
    load.set(found.instance, (load.get(found.instance) ?? 0) - found.load)
    load.set(to.name, loadOf(to) + found.load)
    coming.set(to.name, (coming.get(to.name) ?? 0) + found.bytes)
    chosen.push({ id: found.id, bytes: found.bytes, load: found.load, from: found.instance, to: to.name })
  }
  return chosen
}
