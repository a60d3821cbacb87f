// `import`: tenants out of one shared server into one server per service, against `pg_dump | psql` one by one; and what the
// command itself needs for a large tenant. Each turn brings all of them and is taken back before the next.
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { perService, type ServiceName, serviceNames } from '../../stack/names.js'
import { makeFolder } from '../../stack/servers/folder.js'
import { type RunningStack, startStack } from '../../stack/stack.js'
import type { Login } from '../arm.js'
import { type ArmProcess, startArm } from '../arm-process.js'
import type { BenchOptions } from '../arms.js'
import { copyByHand } from '../baselines/guide.js'
import { type BareCopy, copyBare } from '../import/bare.js'
import type { Import, Imported } from '../import/importer.js'
import { parts, type Used, usedBy, usedSince, type Watched } from '../import/processes.js'
import { databaseOf, type Source, startSource } from '../import/source.js'
import { needSpace } from '../provisioning/stage.js'
import { versionsOf } from '../provisioning/versions.js'
import { type Case, type Config, compareNumbers, machine } from '../report.js'
import { paired, rounds } from '../rounds.js'
import { median } from '../statistics.js'

/** The command's default. */
const PARALLEL = 4
const MORE = 8
/** Databases of the bare copies. */
const AT_ONCE = 6
const LARGE_MEBIBYTES = 1_024
const QUICK_MEBIBYTES = 32
const MEMORY_MEBIBYTES = 150
const MIB = 2 ** 20

const cases = [
  'plain vs guide',
  'verified vs guide',
  'bare copies, six side by side vs guide',
  'verified, eight tenants side by side vs four',
  'memory of the command, 1 GB tenant vs 150 MiB',
] as const

export async function benchImport(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const { tenants, progress, only } = options
  const wanted = (name: string): boolean => name.includes(only)
  needSpace(tenants * serviceNames.length * 3)
  const folder = makeFolder()
  let source: Source | undefined
  let targets: Targets | undefined
  let importer: ArmProcess | undefined
  try {
    source = await startSource(tenants, progress)
    targets = await startTargets()
    const config = join(folder.path, 'stack.json')
    writeFileSync(config, JSON.stringify(targets.stack.info), { mode: 0o600 })
    importer = await startArm('the importer', 'importer', {
      login: source.login,
      service: 'core',
      tenants: [],
      budget: 0,
    })
    const speed = cases.slice(0, 4).some(wanted)
      ? await benchSpeed({ source, targets, importer, config, options })
      : { config: {}, cases: [] }
    const memory = wanted(cases[4])
      ? [await memoryOf(source, config, folder.path, options.quick ? QUICK_MEBIBYTES : LARGE_MEBIBYTES)]
      : []
    return {
      config: {
        ...machine(),
        ...(await versionsOf(targets)),
        tenants: `${tenants} x ${serviceNames.length} databases of ${(source.bytes / MIB).toFixed(1)} MiB`,
        rounds: options.rounds,
        ...speed.config,
      },
      cases: [...speed.cases, ...memory].filter(({ name }) => wanted(name)),
    }
  } finally {
    progress.say('removing the databases')
    await importer?.stop()
    await targets?.stop()
    await source?.stop()
    folder.remove()
  }
}

interface Targets {
  readonly stack: RunningStack
  /** The superuser on each instance. */
  readonly cluster: Record<ServiceName, postgres.Sql>
  checkpoint(): Promise<void>
  stop(): Promise<void>
}

/** The product's own services, with durable servers of their own. */
async function startTargets(): Promise<Targets> {
  const stack = await startStack({ durable: true, serviceEnv: { LOG_LEVEL: 'error', TENANT_SPARES: '0' } })
  const { servers } = stack
  if (!servers) {
    await stack.stop()
    throw new Error('the benchmark needs servers of its own: unset IDENTITY_DB_HOST, NATS_URL and the like')
  }
  const cluster = perService(service => {
    const { host, port, user, password } = servers.postgres[service]
    return postgres({ host, port, user, password, database: 'postgres', max: 1, onnotice() {} })
  })
  return {
    stack,
    cluster,
    async checkpoint() {
      await Promise.all(serviceNames.map(service => cluster[service]`checkpoint`))
    },
    async stop() {
      await Promise.all(serviceNames.map(service => cluster[service].end({ timeout: 1 })))
      await stack.stop()
    },
  }
}

async function benchSpeed(given: {
  source: Source
  targets: Targets
  importer: ArmProcess
  config: string
  options: BenchOptions
}): Promise<{ config: Config; cases: Case[] }> {
  const { source, targets, importer, config, options } = given
  const { stack } = targets
  const servers = stack.servers as NonNullable<RunningStack['servers']>
  const plans: number[] = []
  const steps = new Map<string, Imported['steps']>()
  const used = new Map<string, Used[]>()
  const watched = (command: number): Watched => ({
    targets: serviceNames.map(service => (servers.postgres[service] as { pid: number }).pid),
    source: source.pid,
    services: [
      ...serviceNames.map(service => stack.services[service].pid as number),
      servers.nats.pid,
      servers.redis.pid,
    ],
    command,
  })
  let turns = 0

  /** Counted by process, since other things run on the machine too. */
  async function counted(name: string, command: number, work: () => Promise<number>): Promise<number> {
    // Writes left over by the last turn are not this one's.
    await targets.checkpoint()
    const before = usedBy(watched(command))
    const ms = await work()
    used.set(name, [...(used.get(name) ?? []), usedSince(before, usedBy(watched(command)))])
    return ms
  }
  const ours = (name: string, compare: boolean, parallel: number) => async (): Promise<number> => {
    turns++
    const ids = Object.fromEntries(source.tenants.map(id => [id, `${id}-${turns}`]))
    const what: Import = { config, from: source.login, ids, parallel, compare }
    let run = ''
    const ms = await counted(name, importer.pid, async () => {
      const imported = await importer.ask<Imported>('bring', what)
      plans.push(imported.planMs)
      steps.set(name, imported.steps)
      run = imported.run
      return imported.ms
    })
    await importer.ask('take back', { ...what, run })
    return ms
  }
  const copied = (name: string, copy: (copies: BareCopy[]) => Promise<number>) => async (): Promise<number> => {
    const copies = byHand(source, targets)
    const ms = await counted(name, process.pid, () => copy(copies))
    for (const { cluster, toDatabase } of copies) await cluster`drop database ${cluster(toDatabase)} with (force)`
    return ms
  }
  const results = await rounds({
    what: 'importing',
    rounds: options.rounds,
    turns: {
      guide: copied('guide', copyByHand),
      plain: ours('plain', false, PARALLEL),
      verified: ours('verified', true, PARALLEL),
      more: ours('eight', true, MORE),
      bare: copied('bare', copies => copyBare(copies, AT_ONCE)),
    },
    progress: options.progress,
  })
  const compare = (name: string, arm: string, rival = 'guide'): Case => {
    const rates = paired(results, arm, rival).map(side => side.map(ms => (source.tenants.length / ms) * 1000))
    return compareNumbers(name, ...(rates as [number[], number[]]), { better: 'higher', as: 'rps' })
  }
  const written = (figures: Readonly<Record<string, number>>): string =>
    Object.entries(figures)
      .map(([name, ms]) => `${name} ${Math.round(ms)}`)
      .join(', ')
  const eachDatabase = (all: readonly Used[]): string => {
    // The first was to warm up.
    const per = (of: (one: Used) => number) =>
      all.slice(1).map(one => of(one) / (source.tenants.length * serviceNames.length))
    const totals = per(one => parts.reduce((sum, part) => sum + one[part], 0))
    const each = Object.fromEntries(parts.map(part => [part, median(per(one => one[part]))]))
    const [least, most] = [Math.min(...totals), Math.max(...totals)].map(Math.round)
    return `${Math.round(median(totals))} ms a database (${least}-${most}): ${written(each)}`
  }
  return {
    config: {
      'side by side': PARALLEL,
      'plan, in it': `${Math.round(median(plans))} ms`,
      ...Object.fromEntries([...used].map(([name, all]) => [`CPU, ${name}`, eachDatabase(all)])),
      'steps, ms': written(steps.get('verified') ?? {}),
    },
    cases: [
      compare(cases[0], 'plain'),
      compare(cases[1], 'verified'),
      compare(cases[2], 'bare'),
      compare(cases[3], 'more', 'verified'),
    ],
  }
}

function byHand(source: Source, { stack, cluster }: Targets): BareCopy[] {
  return source.tenants.flatMap(tenant =>
    serviceNames.map((service): BareCopy => {
      const to = stack.servers?.postgres[service] as Login
      const toDatabase = `by_hand_${tenant}`
      return {
        from: source.login,
        fromDatabase: databaseOf(tenant, service),
        to,
        toDatabase,
        cluster: cluster[service],
      }
    }),
  )
}

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const peak = fileURLToPath(new URL('../import/peak.js', import.meta.url))

/** The command itself, as an operator runs it. */
async function memoryOf(source: Source, config: string, folder: string, mebibytes: number): Promise<Case> {
  await source.makeLarge('large', mebibytes)
  const { host, port, user, password } = source.login
  const file = join(folder, 'peak')
  const from = `postgres://${user}@${host}:${port}/postgres?sslmode=disable`
  const args = ['--import', peak, program, '--config', config, 'import-hybrid', '--from', from, '--tenant', 'large']
  await new Promise<void>((resolve, reject) => {
    const env = { PATH: process.env.PATH, SOURCE_PASSWORD: password, BENCH_PEAK: file }
    execFile(process.execPath, [...args, '--yes', '--folder', folder], { env }, (error, out, err) =>
      error ? reject(new Error(`${out}${err}`)) : resolve(),
    )
  })
  const most = Number(readFileSync(file, 'utf8')) / 1024
  return compareNumbers(cases[4], [most], [MEMORY_MEBIBYTES], { better: 'lower', as: 'note', note: 'MiB resident' })
}
