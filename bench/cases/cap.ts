// `cap`: more active tenants than the budget has connections. Every arm is alive at the same time, each held to 200
// connections by its own login; the server is asked twenty times a second how many there really are.
import { type Arms, type BenchOptions, BUDGET, OLD, startArms } from '../arms.js'
import { type BackendWatch, watchBackends } from '../backends.js'
import type { Distribution } from '../distribution.js'
import { CONNECTIONS_PER_ARM } from '../fleet.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { routes } from '../workload.js'
import { benchHotTenant } from './hot-tenant.js'
import { benchOpens } from './opens.js'
import { compareArms } from './request.js'

const all = ['single', 'pgbouncer', 'lru', 'map-postgres', 'map-pg']
/** No target stands against these; two rounds show where they are. */
const seldom = { names: ['lru', 'map-postgres', 'map-pg'], every: 2 }

export async function benchCap(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const rivals = options.against ? [OLD, ...all] : all
  const arms = await startArms(['ours', ...rivals], options)
  const watch = watchBackends(arms.fleet)
  try {
    const cases: Case[] = []
    for (const [tenants, distribution] of workloads(options.tenants)) {
      for (const route of routes) {
        cases.push(...(await compareArms(arms, { rivals, seldom }, { tenants, distribution, route }, options)))
      }
    }
    cases.push(...(await benchHotTenant(arms, options)))
    cases.push(...(await benchOpens(arms, options)))
    cases.push(...backendCases(arms, watch))
    const config = { ...(await arms.config()), 'limit per arm': CONNECTIONS_PER_ARM, 'backend samples': watch.samples }
    return { config, cases }
  } finally {
    await watch.stop().catch(() => {})
    await arms.stop()
  }
}

/** Fewer tenants than asked for give smaller cases, which say so in their names. */
function workloads(tenants: number): [number, Distribution][] {
  const few = Math.min(100, tenants)
  const all: [number, Distribution][] = [[few, 'zipf']]
  if (tenants > few) all.push([tenants, 'zipf'])
  all.push([tenants, 'uniform'])
  return all
}

function backendCases(arms: Arms, { peaks }: BackendWatch): Case[] {
  const logins: Record<string, string> = { ours: arms.fleet.ours.user }
  for (const rival of all.filter(arms.has)) logins[rival] = `bench_${rival.replace(/\W/g, '_')}`
  return Object.entries(logins).map(([name, login]) =>
    compareNumbers(`server-side backends at peak: ${name} vs budget`, [peaks.get(login) ?? 0], [BUDGET], {
      better: 'lower',
      as: 'note',
      note: 'backends',
    }),
  )
}
