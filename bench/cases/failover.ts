// `bench failover`: what a loss costs. The leader of a NATS cluster killed under creation, a primary of PostgreSQL killed, stopped and
// frozen before a standby is promoted, and services started with many tenants in their registries.
import type { BenchOptions } from '../arms.js'
import { benchNatsLeader } from '../failover/nats-leader.js'
import { benchStarts } from '../failover/starts.js'
import { benchSwitchover } from '../failover/switchover.js'
import { type Case, type Config, machine } from '../report.js'

const parts = { nats: benchNatsLeader, postgres: benchSwitchover, start: benchStarts }

export async function benchFailover(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  let config: Config = machine()
  const cases: Case[] = []
  for (const [name, bench] of Object.entries(parts)) {
    if (!name.includes(options.only)) continue
    const part = await bench(options)
    config = { ...config, ...part.config }
    cases.push(...part.cases)
  }
  return { config, cases }
}
