// `request`: tenants that fit the budget. What the plugin costs where every tenant can keep its connections: the two
// routes against every rival, and a route without a tenant against a Fastify without the plugin.
import { type Arms, type BenchOptions, CONNECTIONS, startArms } from '../arms.js'
import { type Case, type Config, compareTurns } from '../report.js'
import { rounds, type Turn, turn } from '../rounds.js'
import { nameOf, requests, routes, type Workload } from '../workload.js'

const rivals = ['single', 'map-postgres', 'map-pg', 'lru', 'pgbouncer']

export async function benchRequest(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const arms = await startArms(['ours', ...rivals], options)
  try {
    const cases: Case[] = []
    for (const tenants of [1, 10, 40].filter(count => count <= options.tenants)) {
      for (const route of routes) {
        cases.push(...(await compareArms(arms, rivals, { tenants, distribution: 'fit', route }, options)))
      }
    }
    cases.push(await withoutTenant(arms, options))
    return { config: await arms.config(), cases }
  } finally {
    await arms.stop()
  }
}

/** One case for each rival that is there, all from the same rounds. */
export async function compareArms(
  arms: Arms,
  rivals: readonly string[],
  workload: Workload,
  options: BenchOptions,
  tested = 'ours',
): Promise<Case[]> {
  const present = rivals.filter(arms.has)
  const seconds = options.seconds
  const oneTurn = (name: string) => (round: number) =>
    turn({
      arm: arms.arm(name),
      connections: CONNECTIONS,
      seconds,
      leadIn: Math.min(0.5, seconds / 2),
      nextRequest: requests(workload, arms.fleet.tenants, 1 + round),
    })
  const results = await rounds<Turn>({
    what: nameOf(workload),
    rounds: options.rounds,
    turns: Object.fromEntries([tested, ...present].map(name => [name, oneTurn(name)])),
    progress: options.progress,
  })
  const ours = results.get(tested) as Turn[]
  return present.map(rival =>
    compareTurns(`${nameOf(workload)}: ${tested} vs ${rival}`, ours, results.get(rival) as Turn[]),
  )
}

async function withoutTenant(arms: Arms, options: BenchOptions): Promise<Case> {
  // A second process with the plugin, as fresh as the one without.
  await arms.start('plugin', { kind: 'ours' })
  await arms.start('no plugin')
  const oneTurn = (name: string) => () =>
    turn({
      arm: arms.arm(name),
      connections: CONNECTIONS,
      seconds: options.seconds,
      leadIn: Math.min(0.5, options.seconds / 2),
      nextRequest: () => 'GET /without HTTP/1.1\r\nhost: localhost\r\n\r\n',
    })
  const results = await rounds<Turn>({
    what: 'a route without a tenant',
    rounds: options.rounds,
    turns: { plugin: oneTurn('plugin'), 'no plugin': oneTurn('no plugin') },
    progress: options.progress,
  })
  const [ours, rival] = ['plugin', 'no plugin'].map(name => results.get(name) as Turn[]) as [Turn[], Turn[]]
  return compareTurns('route with tenant: false: ours vs no plugin', ours, rival)
}
