// What a hunt ends with, and which of it is a violation. A hunt that judged nothing is one too.
import type { Counts } from './findings.js'
import type { MemoryVerdict } from './memory.js'

export interface HuntVerdict extends Counts {
  readonly requests: number
  readonly seconds: number
  /** How the service ended, which it must not. */
  readonly death: string | null
  readonly foreignRows: number
  readonly rowsThatWereRolledBack: number
  readonly leasesOut: number
  readonly waiting: number
  readonly backendsAtPeak: number
  readonly budget: number
  readonly backendsKilled: number
  readonly redisFlushed: number
  readonly memory: MemoryVerdict
  /** One sentence each; none is what we want. */
  readonly violations: readonly string[]
}

export function violationsIn(found: Omit<HuntVerdict, 'violations'>): string[] {
  const all: [boolean, string][] = [
    [found.death !== null, `${found.death}: see its last words above`],
    [found.foreign > 0, `${found.foreign} foreign reads`],
    [found.foreignRows > 0, `${found.foreignRows} rows written into another tenant's database`],
    [found.leftovers > 0, `${found.leftovers} replies found what another request had left`],
    [found.rowsThatWereRolledBack > 0, `${found.rowsThatWereRolledBack} rows of transactions that were rolled back`],
    [found.leasesOut > 0, `${found.leasesOut} leases out at the end`],
    [found.waiting > 0, `${found.waiting} still waiting at the end`],
    [found.backendsAtPeak > found.budget, `${found.backendsAtPeak} backends at peak, budget ${found.budget}`],
    [found.unexpected > 0, `${found.unexpected} replies nobody asked for`],
    [!found.memory.flat, `memory grew from ${found.memory.middle.toFixed(0)} to ${found.memory.last.toFixed(0)} MiB`],
    [found.replies === 0, 'no reply was judged'],
  ]
  return all.flatMap(([violated, what]) => (violated ? [what] : []))
}
