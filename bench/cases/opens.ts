// Opens per second, where nearly every request needs a connection that is not there: the plugin under uniform load over
// all tenants, HTTP and load generator included, against a bare loop of connect, one query, close at its best parallelism.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Arms, type BenchOptions, CONNECTIONS } from '../arms.js'
import type { Churn } from '../baselines/bare.js'
import { startLoad } from '../load.js'
import { type Case, compareNumbers } from '../report.js'
import { paired, type Results, rounds } from '../rounds.js'
import { median } from '../statistics.js'
import { requests } from '../workload.js'

export async function benchOpens(arms: Arms, options: BenchOptions): Promise<Case[]> {
  const { seconds, tenants } = options
  const name = `opens per second, ${tenants} tenants uniform: ours vs bare loop`
  if (!name.includes(options.only)) return []
  const bare = await arms.start('bare')
  const ours = arms.arm('ours')

  async function opens(round: number): Promise<number> {
    const next = requests({ tenants, distribution: 'uniform', route: 'one read' }, arms.fleet.tenants, 500 + round)
    const load = startLoad(ours.port, CONNECTIONS, next)
    await sleep(Math.min(1, seconds / 2) * 1000)
    const began = performance.now()
    const before = await ours.ask<number>('opens')
    load.record()
    await sleep(seconds * 1000)
    const after = await ours.ask<number>('opens')
    const took = (performance.now() - began) / 1000
    await load.stop()
    return (after - before) / took
  }
  const bareLoop = (driver: Churn['driver'], parallel: number) => () =>
    bare.ask<number>('churn', { driver, parallel, seconds } satisfies Churn)

  const loops = Object.fromEntries(
    (['postgres', 'pg'] as const).flatMap(driver =>
      [1, 2, 4, 8].map(parallel => [`${driver} x ${parallel}`, bareLoop(driver, parallel)] as const),
    ),
  )
  const trial = await rounds<number>({
    what: 'bare loops',
    rounds: 1,
    turns: loops,
    progress: options.progress,
  })
  // The two that did best: which of them is best is no finding of one round.
  const best = Object.keys(loops)
    .sort((a, b) => rate(trial, b) - rate(trial, a))
    .slice(0, 2)
  const results = await rounds<number>({
    what: 'opens per second',
    rounds: options.rounds,
    turns: { ours: opens, ...Object.fromEntries(best.map(loop => [loop, loops[loop] as () => Promise<number>])) },
    progress: options.progress,
  })
  await ours.ask('deaf')
  const [first = ''] = best.sort((a, b) => rate(results, b) - rate(results, a))
  return [
    {
      ...compareNumbers(name, ...paired(results, 'ours', first), { better: 'higher', as: 'rps' }),
      note: `${rate(results, first).toFixed(0)}/s at its best (${first})`,
    },
  ]
}

const rate = (results: Results<number>, name: string): number => median([...(results.get(name)?.values() ?? [])])
