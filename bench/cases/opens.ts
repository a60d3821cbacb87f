// Opens per second, where nearly every request needs a connection that is not there: the plugin under uniform load over
// all tenants, HTTP and load generator included, against a bare loop of connect, one query, close at its best parallelism.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Arms, type BenchOptions, CONNECTIONS } from '../arms.js'
import type { Churn } from '../baselines/bare.js'
import { startLoad } from '../load.js'
import { type Case, compareNumbers } from '../report.js'
import { rounds } from '../rounds.js'
import { median } from '../statistics.js'
import { requests } from '../workload.js'

export async function benchOpens(arms: Arms, options: BenchOptions): Promise<Case> {
  const { seconds, tenants } = options
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

  const loops = (['postgres', 'pg'] as const).flatMap(driver =>
    [1, 2, 4, 8].map(parallel => [`${driver} x ${parallel}`, bareLoop(driver, parallel)] as const),
  )
  const results = await rounds<number>({
    what: 'opens per second',
    rounds: options.rounds,
    turns: { ours: opens, ...Object.fromEntries(loops) },
    progress: options.progress,
  })
  await ours.ask('deaf')
  const mine = results.get('ours') as number[]
  const [best = ''] = loops.map(([name]) => name).sort((a, b) => rate(results, b) - rate(results, a))
  return {
    ...compareNumbers(
      `opens per second, ${tenants} tenants uniform: ours vs bare loop`,
      mine,
      results.get(best) as number[],
      {
        better: 'higher',
        as: 'rps',
      },
    ),
    note: `${median(results.get(best) as number[]).toFixed(0)}/s at its best (${best})`,
  }
}

const rate = (results: ReadonlyMap<string, number[]>, name: string): number => median(results.get(name) as number[])
