// The verdict of a hunt, and its violations. A hunt that judged nothing is one too.
import type { Counts } from './findings.js'
import type { MemoryVerdict } from './memory.js'

export interface HuntVerdict extends Omit<Counts, 'confirmed'> {
  readonly requests: number
  readonly seconds: number
  /** How the service ended, which it must not. */
  readonly death: string | null
  readonly foreignRows: number
  readonly rowsThatWereRolledBack: number
  /** Writes that were answered with success and are not there. */
  readonly lostCommits: number
  /** Databases in which a transaction took place by half. */
  readonly halfTransactions: number
  readonly leasesOut: number
  readonly waiting: number
  readonly backendsAtPeak: number
  readonly budget: number
  readonly backendsKilled: number
  readonly redisFlushed: number
  readonly restarts: number
  /** Milliseconds from when a restarted server took connections to the first good reply, the most of all restarts. */
  readonly slowestReturn: number
  readonly memory: MemoryVerdict
  /** One sentence each; none is what we want. */
  readonly violations: readonly string[]
}

/** A request waits two seconds for a connect that hangs; the rest is a loaded machine's. */
const RETURN_MS = 5_000

export function violationsIn(found: Omit<HuntVerdict, 'violations'>): string[] {
  const all: [boolean, string][] = [
    [found.death !== null, `${found.death}: see its last output above`],
    [found.foreign > 0, `${found.foreign} foreign reads`],
    [found.foreignRows > 0, `${found.foreignRows} rows written into another tenant's database`],
    [found.leftovers > 0, `${found.leftovers} replies found what another request had left`],
    [found.rowsThatWereRolledBack > 0, `${found.rowsThatWereRolledBack} rows of transactions that were rolled back`],
    [found.lostCommits > 0, `${found.lostCommits} writes that were confirmed are not there`],
    [found.halfTransactions > 0, `${found.halfTransactions} databases hold half of a transaction`],
    [found.slowestReturn > RETURN_MS, `${Math.round(found.slowestReturn)} ms without a good reply after a restart`],
    [found.leasesOut > 0, `${found.leasesOut} leases out at the end`],
    [found.waiting > 0, `${found.waiting} still waiting at the end`],
    [found.backendsAtPeak > found.budget, `${found.backendsAtPeak} backends at peak, budget ${found.budget}`],
    [found.unexpected > 0, `${found.unexpected} unexpected replies`],
    [!found.memory.flat, `memory grew from ${found.memory.middle.toFixed(0)} to ${found.memory.last.toFixed(0)} MiB`],
    [found.replies === 0, 'no reply was judged'],
  ]
  return all.flatMap(([violated, what]) => (violated ? [what] : []))
}
