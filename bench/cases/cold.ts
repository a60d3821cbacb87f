// `cold`: the first query of a tenant without a connection, one at a time, against connect and query with nothing around
// it, by a login of the same kind through the same HTTP route. Every tenant has been visited before: PostgreSQL's own first visit to
// a database is not what is compared.
import { setTimeout as sleep } from 'node:timers/promises'
import { tenantHeader } from '../arm.js'
import type { ArmProcess } from '../arm-process.js'
import { type BenchOptions, BUDGET, startArms } from '../arms.js'
import { HttpConnection } from '../http-connection.js'
import { request } from '../load.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { median } from '../statistics.js'

/** So short that between two rounds every tenant is cold again. */
const IDLE_TIMEOUT_MS = 2_000

export async function benchCold(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const arms = await startArms(['bare'], options)
  const { progress } = options
  try {
    // Room for all: no other tenant's connection has to go first. Then a budget that is spent from the eleventh on.
    const roomy = await arms.start('ours', { budget: options.tenants, options: { idleTimeout: IDLE_TIMEOUT_MS } })
    const spent = await arms.start('ours, budget spent', {
      kind: 'ours',
      budget: 10,
      options: { maxConnectionsPerTenant: 2 },
    })
    const bare = arms.arm('bare')
    const arrivals: [string, ArmProcess, string][] = [
      ['ours', roomy, '/read/'],
      ['ours, budget spent', spent, '/read/'],
      ['postgres', bare, '/read/postgres/'],
      ['pg', bare, '/read/pg/'],
    ]
    const samples = new Map(arrivals.map(([name]) => [name, [] as number[][]]))
    progress.begin('cold tenants', options.rounds + 1)
    for (let round = 0; round <= options.rounds; round++) {
      await untilCold(roomy)
      const taken = await visitAll(arrivals, arms.fleet.tenants, round)
      if (round > 0) for (const [name, times] of taken) samples.get(name)?.push(times)
      progress.step(`round ${round} of ${options.rounds}`)
    }
    const p50 = (name: string) => (samples.get(name) as number[][]).map(median)
    const p99 = (name: string) => {
      const all = (samples.get(name) as number[][]).flat().sort((a, b) => a - b)
      return all[Math.floor(all.length * 0.99)] as number
    }
    const cases = ['ours', 'ours, budget spent'].flatMap(name =>
      ['postgres', 'pg'].map(driver =>
        compareNumbers(`first query of a cold tenant: ${name} vs bare ${driver}`, p50(name), p50(driver), {
          better: 'lower',
          as: 'p50',
          p99: p99(name),
        }),
      ),
    )
    return {
      config: { ...(await arms.config()), budget: `${options.tenants}, and 10 where spent (else ${BUDGET})` },
      cases,
    }
  } finally {
    await arms.stop()
  }
}

async function untilCold(arm: ArmProcess): Promise<void> {
  while ((await arm.ask<{ open: number }>('connections')).open > 0) await sleep(100)
}

/** Each tenant by each in turn, the order rotated: the second one finds the server's caches a little warmer. */
async function visitAll(
  arrivals: readonly [string, ArmProcess, string][],
  tenants: readonly string[],
  round: number,
): Promise<Map<string, number[]>> {
  const times = new Map(arrivals.map(([name]) => [name, [] as number[]]))
  const connections = new Map(arrivals.map(([name, arm]) => [name, new HttpConnection(arm.port)]))
  for (const [at, tenant] of tenants.entries()) {
    for (let place = 0; place < arrivals.length; place++) {
      const [name, , path] = arrivals[(place + at + round) % arrivals.length] as [string, ArmProcess, string]
      const sent = performance.now()
      const status = await new Promise<number>(resolve =>
        connections.get(name)?.send(request(`${path}${1 + at}`, tenantHeader, tenant), reply => resolve(reply.status)),
      )
      if (status !== 200) throw new Error(`${name} answered ${status} for ${tenant}`)
      times.get(name)?.push(performance.now() - sent)
    }
  }
  for (const connection of connections.values()) connection.cut()
  return times
}
