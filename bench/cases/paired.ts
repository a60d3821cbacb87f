// Arms that differ by a few microseconds: CPU of the service per request, paired by round, one read over ten
// tenants. Every arm has its turn in every round.
import type { Arms, BenchOptions } from '../arms.js'
import { type Case, compareCpu } from '../report.js'
import { paired, rounds, type Turn } from '../rounds.js'
import { workloadTurn } from '../workload-turn.js'

const TENANTS = 10

export interface Pair {
  readonly name: string
  readonly ours: string
  readonly rival: string
}

/** `tokens`: by arm, one for each of the fleet's tenants. */
export async function comparePairs(
  arms: Arms,
  pairs: readonly Pair[],
  options: BenchOptions,
  tokens: Readonly<Record<string, readonly string[]>> = {},
): Promise<Case[]> {
  const wanted = pairs.filter(({ name }) => name.includes(options.only))
  if (wanted.length === 0) return []
  const names = [...new Set(wanted.flatMap(({ ours, rival }) => [ours, rival]))]
  const workload = { tenants: Math.min(TENANTS, options.tenants), distribution: 'fit', route: 'one read' } as const
  const { seconds } = options
  const oneTurn = (name: string) => workloadTurn(arms, name, workload, seconds, tokens[name])
  const results = await rounds<Turn>({
    what: names.join(', '),
    rounds: options.rounds,
    turns: Object.fromEntries(names.map(name => [name, oneTurn(name)])),
    progress: options.progress,
  })
  return wanted.map(({ name, ours, rival }) => compareCpu(name, ...paired(results, ours, rival)))
}
