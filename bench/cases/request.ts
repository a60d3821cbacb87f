// `request`: tenants that fit the budget. What the plugin costs where every tenant can keep its connections: the two
// routes against every rival, and a route without a tenant against a Fastify without the plugin.
import { type Arms, type BenchOptions, CONNECTIONS, OLD, startArms } from '../arms.js'
import { type Case, type Config, compareTurns } from '../report.js'
import { paired, rounds, type Turn, turn } from '../rounds.js'
import { nameOf, routes, type Workload } from '../workload.js'
import { workloadTurn } from '../workload-turn.js'

const all = ['single', 'map-postgres', 'map-pg', 'lru', 'pgbouncer']
/** The limit is close to the plugin's figures, so every round counts; a third of them shows how far the others are. */
const seldom = { names: all.filter(name => name !== 'single'), every: 3 }
const WITHOUT_TENANT = 'route with tenant: false: ours vs no plugin'

export async function benchRequest(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const rivals = options.against ? [OLD, ...all] : all
  const arms = await startArms(['ours', ...rivals], options)
  try {
    const cases: Case[] = []
    for (const tenants of [1, 10, 40].filter(count => count <= options.tenants)) {
      for (const route of routes) {
        cases.push(...(await compareArms(arms, { rivals, seldom }, { tenants, distribution: 'fit', route }, options)))
      }
    }
    if (WITHOUT_TENANT.includes(options.only)) cases.push(await withoutTenant(arms, options))
    return { config: await arms.config(), cases }
  } finally {
    await arms.stop()
  }
}

/** One case for each rival that is there, all from the same rounds. */
export async function compareArms(
  arms: Arms,
  { rivals, seldom }: { rivals: readonly string[]; seldom?: { names: readonly string[]; every: number } },
  workload: Workload,
  options: BenchOptions,
  tested = 'ours',
): Promise<Case[]> {
  const caseName = (rival: string) => `${nameOf(workload)}: ${tested} vs ${rival}`
  const present = rivals.filter(rival => arms.has(rival) && caseName(rival).includes(options.only))
  if (present.length === 0) return []
  const seconds = options.seconds
  const oneTurn = (name: string) => workloadTurn(arms, name, workload, seconds)
  const results = await rounds<Turn>({
    what: nameOf(workload),
    rounds: options.rounds,
    turns: Object.fromEntries([tested, ...present].map(name => [name, oneTurn(name)])),
    ...(seldom && { seldom }),
    progress: options.progress,
  })
  return present.map(rival => compareTurns(caseName(rival), ...paired(results, tested, rival)))
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
  return compareTurns(WITHOUT_TENANT, ...paired(results, 'plugin', 'no plugin'))
}
