// The start of each service, and its memory once everything was compared, with many tenants in the registry against a tenth of them.
import { readFileSync } from 'node:fs'
import { type ServiceName, serviceNames } from '../../stack/names.js'
import type { BenchOptions } from '../arms.js'
import { distributionOf } from '../paced-work.js'
import { getRequest, type Stage, startStage, until } from '../provisioning/stage.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { paired, rounds } from '../rounds.js'
import { auditWritten, checkUntouched, fillRegistry } from './many-tenants.js'

const START_MS = 2_000
const MEMORY_RATIO = 1.2

interface Start {
  readonly ms: number
  /** MiB resident after the first comparison of everything, and at most until then. */
  readonly rss: number
  readonly peak: number
  readonly compareMs: number
}

interface Pass {
  readonly ms: number
  readonly everything: boolean
}

export async function benchStarts(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const { progress, tenants: many } = options
  const few = Math.max(1, Math.round(many / 10))
  const stages: Stage[] = []
  try {
    for (const count of [many, few]) {
      progress.say(`starting services with ${count} tenants`)
      const stage = await startStage({ name: String(count), spares: 0 })
      stages.push(stage)
      // Its workers would look for files of the databases that have none.
      for (const service of serviceNames) await stage.cluster[service].unsafe('alter system set autovacuum = off')
      for (const service of serviceNames) await stage.cluster[service]`select pg_reload_conf()`
      await fillRegistry(stage, count)
      for (const service of serviceNames) await stage.stack.services[service].start()
      await auditWritten(stage)
    }
    const [large, small] = stages as [Stage, Stage]
    const turns = Object.fromEntries(
      serviceNames.flatMap(service => [
        [`${service}, ${many}`, () => startOf(large, service)],
        [`${service}, ${few}`, () => startOf(small, service)],
      ]),
    )
    const taken = await rounds<Start>({ what: 'starting', rounds: options.rounds, turns, progress })
    await checkUntouched(large, many)
    await checkUntouched(small, few)
    const config: Record<string, string> = {
      starts: `${many} tenants against ${few}, ${options.rounds} of each service; NATS, Redis and the other services run`,
    }
    const cases = serviceNames.flatMap(service => {
      const [ours, fewer] = paired(taken, `${service}, ${many}`, `${service}, ${few}`)
      const list = (of: (one: Start) => number, all: readonly Start[]) => all.map(one => of(one).toFixed(0)).join(' ')
      config[`${service}: compared`] =
        `${list(one => one.compareMs, ours)} ms / ${list(one => one.compareMs, fewer)} ms, after the start`
      config[`${service}: peak`] = `${list(one => one.peak, ours)} MiB / ${list(one => one.peak, fewer)} MiB`
      config[`${service}: start, ${few}`] = `${list(one => one.ms, fewer)} ms`
      const starts = ours.map(({ ms }) => ms)
      return [
        {
          ...compareNumbers(
            `start of ${service}, ${many} tenants vs ${START_MS / 1000} s`,
            starts,
            starts.map(() => START_MS),
            { better: 'lower', as: 'p50' },
          ),
          ...distributionOf(starts),
        },
        compareNumbers(
          `memory of ${service}, ${many} tenants vs ${few}, target ${MEMORY_RATIO}`,
          ours.map(({ rss }) => rss),
          fewer.map(({ rss }) => rss),
          { better: 'lower', as: 'note', note: 'MiB resident' },
        ),
      ]
    })
    return { config, cases }
  } finally {
    await Promise.all(stages.map(stage => stage.stop()))
  }
}

async function startOf(stage: Stage, name: ServiceName): Promise<Start> {
  const service = stage.stack.services[name]
  await service.stop()
  const began = performance.now()
  await service.start()
  const ms = performance.now() - began
  let pass: Pass | undefined
  await until('everything was compared', async () => {
    const { status, body } = await stage.ask(name, getRequest('/bench/passes', {}))
    pass = status === 200 ? (JSON.parse(body) as Pass[]).find(({ everything }) => everything) : undefined
    return pass !== undefined
  })
  const status = readFileSync(`/proc/${service.pid}/status`, 'utf8')
  const of = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { ms, rss: of('VmRSS'), peak: of('VmHWM'), compareMs: (pass as Pass).ms }
}
