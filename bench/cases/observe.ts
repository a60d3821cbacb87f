// `observe`: the cost of observability. The plugin with metrics on and tracing off against the plugin alone, on requests
// that are as short as requests get, so that the share is as large as it gets.
import { type BenchOptions, startArms } from '../arms.js'
import type { Case, Config } from '../report.js'
import { routes } from '../workload.js'
import { compareArms } from './request.js'

export async function benchObserve(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const arms = await startArms([], options)
  try {
    await arms.start('metrics on', { kind: 'observed' })
    await arms.start('metrics off', { kind: 'ours' })
    const cases: Case[] = []
    for (const route of routes) {
      const workload = { tenants: Math.min(10, options.tenants), distribution: 'fit', route } as const
      cases.push(...(await compareArms(arms, { rivals: ['metrics off'] }, workload, options, 'metrics on')))
    }
    return { config: await arms.config(), cases }
  } finally {
    await arms.stop()
  }
}
