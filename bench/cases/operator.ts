// The operator's command on the fleets of `fleet`: checking a clean one, a migration with nothing to do, and
// a small one against bare loops over the same databases by the same login. The service is stopped before it would fall
// behind its schema.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../../stack/servers/folder.js'
import { type ArmProcess, startArm } from '../arm-process.js'
import type { BenchOptions } from '../arms.js'
import type { Command, Done, Loop } from '../operator/process.js'
import { releases, twenty } from '../operator/releases.js'
import type { Stage } from '../provisioning/stage.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { paired, type Results, rounds } from '../rounds.js'

const PARALLEL = [4, 8, 16]
/** One at a time takes three times as long as all others: it sits out two of three rounds. */
const SELDOM = 3

export interface OperatorOptions {
  readonly large: Stage
  readonly small: Stage
  readonly many: number
  readonly few: number
  readonly options: BenchOptions
}

export async function benchOperator(given: OperatorOptions): Promise<{ config: Config; cases: Case[] }> {
  const { large, small, many, few, options } = given
  const folder = makeFolder()
  const operators: ArmProcess[] = []
  try {
    const sides: Record<'large' | 'small', { operator: ArmProcess; command: Command }> = {
      large: await side(large, 'large', folder.path, operators),
      small: await side(small, 'small', folder.path, operators),
    }
    const ask = (question: string) => ({
      large: () => sides.large.operator.ask<Done>(question, sides.large.command),
      small: () => sides.small.operator.ask<Done>(question, sides.small.command),
    })
    const { rounds: count, progress } = options
    const doctor = await rounds({ what: 'doctor', rounds: count, turns: ask('doctor'), progress })
    const nothing = await rounds({ what: 'nothing to migrate', rounds: count, turns: ask('migrate'), progress })
    await large.stack.services.identity.stop()
    const { operator, command } = sides.large
    const migration = await benchMigration(operator, command, releases(folder.path), given)

    const of = (results: Results<Done>, key: keyof Done) =>
      paired(results, 'large', 'small').map(side => side.map(done => done[key])) as [number[], number[]]
    const latency = { better: 'lower', as: 'p50' } as const
    const most = (results: Results<Done>, key: keyof Done) => Math.max(...of(results, key).flat())
    return {
      config: {
        doctor: `${most(doctor, 'visits')} connections to tenant databases, ${Math.max(...of(doctor, 'queries')[0])} statements (${few} tenants: ${Math.max(...of(doctor, 'queries')[1])})`,
        'nothing to do': `${most(nothing, 'visits')} connections to tenant databases, ${Math.max(...of(nothing, 'queries')[0])} statements (${few} tenants: ${Math.max(...of(nothing, 'queries')[1])})`,
        ...migration.config,
      },
      cases: [
        compareNumbers(`doctor on a clean fleet, ${many} tenants vs ${few}`, ...of(doctor, 'ms'), latency),
        compareNumbers(`migrate with nothing to do, ${many} tenants vs ${few}`, ...of(nothing, 'ms'), latency),
        ...migration.cases,
      ],
    }
  } finally {
    for (const operator of operators) await operator.stop()
    folder.remove()
  }
}

async function side(stage: Stage, name: string, folder: string, operators: ArmProcess[]) {
  const { info } = stage.stack
  const config = join(folder, `${name}.json`)
  writeFileSync(config, JSON.stringify(info), { mode: 0o600 })
  const { host, port, user, password } = info.services.identity.database
  const rows = await stage.central.identity<{ id: string }[]>`
    select id from tenants where provisioned = 'ready' order by id`
  const operator = await startArm(
    `the operator of ${name}`,
    'operator',
    { login: { host, port, user, password }, service: 'identity', tenants: rows.map(({ id }) => id), budget: 0 },
    ['--expose-gc'],
  )
  operators.push(operator)
  return { operator, command: { config, migrations: twenty } }
}

async function benchMigration(
  operator: ArmProcess,
  { config }: Command,
  nextRelease: () => string,
  { many, options }: OperatorOptions,
): Promise<{ config: Config; cases: Case[] }> {
  const { progress } = options
  const rss: number[] = []
  let tenants = many
  let column = 0
  const bare = (parallel: number) => {
    const statement = `alter table bench_01 add column bare_${++column} integer`
    return operator.ask<number>('loop', { parallel, statement } satisfies Loop)
  }
  const ours = async () => {
    const { ms, count, rss: after } = await operator.ask<Done>('migrate', { config, migrations: nextRelease() })
    if (count < many) throw new Error(`${count} of ${many} tenants were migrated`)
    tenants = count
    rss.push(after)
    return ms
  }
  progress.begin('bare loops', PARALLEL.length + 1)
  // The first connection since a database was made or its server started is another matter.
  await bare(PARALLEL[0] as number)
  progress.step('first visits')
  const taken = new Map<number, number>()
  for (const parallel of PARALLEL) {
    taken.set(parallel, await bare(parallel))
    progress.step(`${parallel} at a time: ${Math.round(taken.get(parallel) as number)} ms`)
  }
  const [best = 4] = [...taken].sort(([, a], [, b]) => a - b).map(([parallel]) => parallel)
  const results = await rounds({
    what: 'migrating',
    rounds: options.rounds,
    turns: { ours, best: () => bare(best), 'one at a time': () => bare(1) },
    seldom: { names: ['one at a time'], every: SELDOM },
    progress,
  })
  const compare = (name: string, rival: string) => {
    const rates = paired(results, 'ours', rival).map(side => side.map(ms => (tenants / ms) * 1000))
    return compareNumbers(name, ...(rates as [number[], number[]]), { better: 'higher', as: 'rps' })
  }
  return {
    config: { 'bare loops': [...taken].map(([parallel, ms]) => `${parallel}: ${Math.round(ms)} ms`).join(', ') },
    cases: [
      compare(`migrate ${many} tenants: ours vs bare loop`, 'best'),
      compare(`migrate ${many} tenants: ours vs one at a time`, 'one at a time'),
      compareNumbers('memory of the command, last migration vs first', rss.slice(-1), rss.slice(0, 1), {
        better: 'lower',
        as: 'note',
        note: 'MiB resident',
      }),
    ],
  }
}
