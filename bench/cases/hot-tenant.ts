// One hot tenant (8 clients) while 56 clients hit the others uniformly. Each side against its own rate alone, in the same
// round: a storm of cold tenants must neither starve the hot one nor be starved by it.
import { setTimeout as sleep } from 'node:timers/promises'
import { tenantHeader } from '../arm.js'
import type { Arms, BenchOptions } from '../arms.js'
import { random } from '../distribution.js'
import { type Measure, request, startLoad } from '../load.js'
import type { Case } from '../report.js'
import { rounds } from '../rounds.js'
import { median, ratios, type Spread, spread } from '../statistics.js'

const HOT_CLIENTS = 8
const COLD_CLIENTS = 56

interface Sides {
  readonly hot?: Measure
  readonly cold?: Measure
}

export async function benchHotTenant(arms: Arms, options: BenchOptions): Promise<Case[]> {
  const cases: Case[] = []
  for (const name of ['ours', 'pgbouncer', 'lru'].filter(arms.has)) {
    const cold = `56 clients on ${options.tenants} cold ones`
    const names = [
      `hot tenant (8 clients) while ${cold}: ${name} vs alone`,
      `${cold} while a hot tenant (8 clients): ${name} vs alone`,
      `hot share + cold share: ${name}`,
    ] as const
    if (!names.some(one => one.includes(options.only))) continue
    const run = (hot: boolean, cold: boolean) => (round: number) => storm(arms, name, options, { hot, cold, round })
    const results = await rounds<Sides>({
      what: `hot tenant, ${name}`,
      rounds: name === 'ours' ? options.rounds : Math.ceil(options.rounds / 3),
      turns: { 'hot alone': run(true, false), 'cold alone': run(false, true), both: run(true, true) },
      progress: options.progress,
    })
    const side = (turn: string, which: keyof Sides) =>
      [...(results.get(turn)?.values() ?? [])].map(sides => sides[which] as Measure)
    const hotShare = shareOf(side('both', 'hot'), side('hot alone', 'hot'))
    const coldShare = shareOf(side('both', 'cold'), side('cold alone', 'cold'))
    const both = hotShare.map((share, at) => share + (coldShare[at] as number))
    cases.push(
      caseOf(names[0], side('both', 'hot'), spread(hotShare), side('hot alone', 'hot')),
      caseOf(names[1], side('both', 'cold'), spread(coldShare), side('cold alone', 'cold')),
      caseOf(names[2], [...side('both', 'hot'), ...side('both', 'cold')], spread(both)),
    )
  }
  return cases
}

async function storm(
  arms: Arms,
  name: string,
  { seconds }: BenchOptions,
  { hot, cold, round }: { hot: boolean; cold: boolean; round: number },
): Promise<Sides> {
  const { port } = arms.arm(name)
  const [hottest = '', ...others] = arms.fleet.tenants
  const next = random(100 + round)
  const path = () => `/read/${1 + Math.floor(next() * 1000)}`
  const loads = {
    ...(hot ? { hot: startLoad(port, HOT_CLIENTS, () => request(path(), tenantHeader, hottest)) } : {}),
    ...(cold
      ? {
          cold: startLoad(port, COLD_CLIENTS, () =>
            request(path(), tenantHeader, others[Math.floor(next() * others.length)] as string),
          ),
        }
      : {}),
  }
  await sleep(Math.min(1, seconds / 2) * 1000)
  for (const load of Object.values(loads)) load.record()
  await sleep(seconds * 1000)
  const measures = await Promise.all(Object.entries(loads).map(async ([side, load]) => [side, await load.stop()]))
  return Object.fromEntries(measures) as Sides
}

const shareOf = (together: readonly Measure[], alone: readonly Measure[]): number[] =>
  ratios(
    together.map(measure => measure.rps),
    alone.map(measure => measure.rps),
  )

function caseOf(name: string, together: readonly Measure[], ratio: Spread, alone?: readonly Measure[]): Case {
  const of = (measures: readonly Measure[]) => ({
    rps: median(measures.map(measure => measure.rps)),
    p50: median(measures.map(measure => measure.p50)),
    p99: median(measures.map(measure => measure.p99)),
    failed: measures.reduce((sum, measure) => sum + measure.failed, 0),
  })
  if (alone) return { name, ...of(together), ratio, better: 'higher', rival: of(alone) }
  return { name, ...of(together), rps: null, p50: null, p99: null, ratio, better: 'higher' }
}
