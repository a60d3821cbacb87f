// Owns `distributed-tenant import-hybrid`: tenants out of one shared server into one server per service, by a plan, a
// journal that lets it go on from anywhere, and a way back. What moves the data is in the plugin; this reads and prints.
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { Command, Option } from 'commander'
import {
  type ImportOptions,
  type ImportOutcome,
  rollBackImport,
  runImport,
  thawImport,
} from '../../plugins/distributed-tenant/transfer/import.js'
import { createInstance, type Instance } from '../../plugins/distributed-tenant/transfer/instance.js'
import { createJournal } from '../../plugins/distributed-tenant/transfer/journal.js'
import type { Plan } from '../../plugins/distributed-tenant/transfer/plan.js'
import { createPrograms, type Programs } from '../../plugins/distributed-tenant/transfer/programs.js'
import { createTenantTransfer } from '../../plugins/distributed-tenant/transfer/tenant.js'
import { confirm } from '../confirm.js'
import { type Context, collect, contextOf, wholeNumber } from '../context.js'
import { identityApi } from '../identity.js'
import { UsageError } from '../outcome.js'
import { type Output, sizeOf } from '../output.js'
import { type Progress, startProgress } from '../progress.js'
import { registrarOf } from '../registrar.js'
import { type OpenService, withServices } from '../services.js'

interface Options {
  readonly from?: string
  readonly tenant?: readonly string[]
  readonly map?: readonly string[]
  readonly baseline?: readonly string[]
  readonly tenantsQuery?: string
  readonly parallel: number
  readonly jobs: number
  readonly programs?: string
  readonly folder: string
  readonly resume?: string
  readonly rollback?: string
  readonly thaw?: string
  readonly list?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

const about = `
The source is a URL like postgres://postgres@old-server:5432/central; its password is read from SOURCE_PASSWORD or
SOURCE_PASSWORD_FILE, its TLS mode from ?sslmode=. Each tenant is frozen there, copied, compared table by table, handed
over, and registered with identity; a source stays frozen until --thaw or --rollback. See docs/moving.md.

Exit code 0: every tenant is ready. 1: some failed (their sources are open again), or something is in the way.`

export function importCommand(): Command {
  return new Command('import-hybrid')
    .description('bring tenants from one shared server to one server per service')
    .option('--from <url>', 'the shared server, and the database there with the central tables')
    .option('--tenant <id>', 'only these tenants (repeat it, or separate by commas)', collect)
    .option('--map <old=new>', 'the id that a tenant gets here (repeat it)', collect)
    .option(
      '--baseline <service=version>',
      'at which version of its tenant migrations the source’s schemas are',
      collect,
    )
    .option('--tenants-query <file>', 'SQL that gives id, name, domain, settings, is_active of the tenants')
    .option('--parallel <n>', 'tenants side by side', wholeNumber(1), 2)
    .option('--jobs <n>', 'jobs of pg_dump and pg_restore for a large database', wholeNumber(1), 2)
    .option('--programs <folder>', 'where pg_dump and pg_restore are')
    .option('--folder <folder>', 'where copies of large databases lie for a while', tmpdir())
    .addOption(new Option('--resume <run>', 'go on with a run').conflicts(['rollback', 'thaw', 'dryRun']))
    .addOption(
      new Option('--rollback <run>', 'take a run back: remove what it made, open the source').conflicts([
        'thaw',
        'dryRun',
      ]),
    )
    .option(
      '--thaw <run>',
      'open the sources of tenants that are ready here; what is written there from then on stays there',
    )
    .option('--list', 'show the last runs and do nothing')
    .option('--dry-run', 'show the plan and do nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', about)
    .action(async (options: Options, command: Command) => {
      const context = await contextOf(command)
      await withServices(context.targets, async services => {
        if (options.list) return list(services, context.output)
        const { sourceAddress } = await import('../source-address.js')
        const source = createInstance(sourceAddress(options.from))
        for (const { tenancy } of services) await tenancy.prepare()
        await alone(services, () => work(context, services, source, options))
      })
    })
}

/** One at a time for each service: its lock is the session's, and goes with a process that is killed. */
async function alone(services: readonly OpenService[], fn: () => Promise<void>): Promise<void> {
  const [first, ...rest] = services
  if (!first) return fn()
  await first.tenancy.transfer.session(async sql => {
    const [lock] = await sql<{ mine: boolean }[]>`
      select pg_try_advisory_lock(hashtextextended('distributed_tenant.transfer', 0)) as mine`
    if (!lock?.mine) throw new Error(`Another import is running on ${first.name}: wait for its end.`)
    try {
      await alone(rest, fn)
    } finally {
      await sql`select pg_advisory_unlock(hashtextextended('distributed_tenant.transfer', 0))`
    }
  })
}

async function work(
  context: Context,
  services: readonly OpenService[],
  source: Instance,
  options: Options,
): Promise<void> {
  const { output } = context
  const run = options.resume ?? options.rollback ?? options.thaw
  if (run === undefined) {
    const plan = await planOf(services, source, options)
    print(plan, output)
    const blocked = plan.obstacles.filter(({ blocks }) => blocks).length
    if (options.dryRun || blocked > 0) output.document(documentOf(plan))
    if (blocked > 0) throw new Error(`${blocked} things are in the way: see above. Nothing was changed.`)
    if (options.dryRun) return
    await confirm(
      `This freezes ${plan.tenants.length} tenants at ${source.label} and brings them here`,
      'import',
      options.yes,
    )
    const id = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${crypto.randomUUID().slice(0, 6)}`
    for (const { name, tenancy } of services) {
      const mine = plan.tenants.flatMap(({ databases }) => databases.filter(({ service }) => service === name))
      await createJournal(tenancy.transfer.central).begin({ id, kind: 'import', source: source.label }, mine)
    }
    output.line(`Run ${id}.`)
    return carryOut(context, services, source, options, id, runImport)
  }
  for (const { name, tenancy } of services) {
    const known = await createJournal(tenancy.transfer.central).find(run)
    if (known.source !== source.label) {
      throw new UsageError(
        `Run ${run} of ${name} came from ${known.source}, and --from names ${source.label}: name the same.`,
      )
    }
    if (options.resume && known.state === 'rolled_back')
      throw new UsageError(`Run ${run} was rolled back: begin a new one.`)
  }
  if (options.rollback)
    await confirm(`This removes what run ${run} has made, and deletes its tenants`, run, options.yes)
  await carryOut(
    context,
    services,
    source,
    options,
    run,
    options.resume ? runImport : options.rollback ? rollBackImport : thawImport,
  )
}

async function planOf(services: readonly OpenService[], source: Instance, options: Options): Promise<Plan> {
  const { planImport } = await import('../../plugins/distributed-tenant/transfer/plan.js')
  return planImport({
    source,
    services: services.map(({ tenancy }) => tenancy.transfer),
    programs: await programsOf(options),
    map: pairs('--map', options.map),
    only: options.tenant,
    tenantsQuery: options.tenantsQuery ? readFileSync(options.tenantsQuery, 'utf8') : null,
    baselines: new Map(
      [...pairs('--baseline', options.baseline)].map(([service, version]) => [service, Number(version)]),
    ),
    parallel: options.parallel,
  })
}

async function programsOf({ programs }: Options): Promise<Programs> {
  const { inherited } = await import('../inherited.js')
  return createPrograms({ folder: programs, environment: inherited() })
}

function pairs(option: string, given: readonly string[] = []): Map<string, string> {
  return new Map(
    given.map(text => {
      const at = text.lastIndexOf('=')
      if (at < 1) throw new UsageError(`${option} ${text} is no pair: write it as old=new.`)
      return [text.slice(0, at), text.slice(at + 1)]
    }),
  )
}

async function carryOut(
  { targets, output, showProgress }: Context,
  services: readonly OpenService[],
  source: Instance,
  options: Options,
  id: string,
  how: (options: ImportOptions) => Promise<ImportOutcome[]>,
): Promise<void> {
  const interrupted = new AbortController()
  const interrupt = () => interrupted.abort()
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  let progress: Progress | undefined
  try {
    const programs = await programsOf(options)
    const outcomes = await how({
      id,
      registrar: registrarOf(identityApi(targets), id),
      parallel: options.parallel,
      signal: interrupted.signal,
      services: services.map(({ name, tenancy: { transfer } }) => {
        const journal = createJournal(transfer.central)
        const { jobs, folder } = options
        return {
          service: name,
          central: transfer.central,
          journal,
          transfer: createTenantTransfer({ ...transfer, transfer: id, source, programs, journal, folder, jobs }),
          removeNow: transfer.removeNow,
          report: transfer.report,
        }
      }),
      onBegin: tenants => {
        progress = startProgress('tenants', tenants, { show: showProgress })
      },
      onTenant: () => progress?.step(),
    })
    progress?.end()
    report(id, outcomes, interrupted.signal.aborted, output)
  } finally {
    progress?.end()
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

function report(id: string, outcomes: readonly ImportOutcome[], interrupted: boolean, output: Output): void {
  output.table(
    ['tenant', 'state', 'seconds', 'error'],
    outcomes.map(one => [one.id, one.state, one.ms / 1000, one.error]),
    'Nothing to do.',
  )
  output.document({ run: id, interrupted, tenants: outcomes })
  const failed = outcomes.filter(({ state }) => state === 'failed').length
  if (failed > 0)
    throw new Error(`${failed} of ${outcomes.length} failed: see above. Run ${id} goes on with --resume ${id}.`)
  if (interrupted) throw new Error(`Run ${id} was interrupted: it goes on with --resume ${id}.`)
}

function print({ source, tenants, bytes, seconds, obstacles }: Plan, output: Output): void {
  output.table(
    ['tenant', 'as', 'name', 'databases', 'size'],
    tenants.map(one => [
      one.oldId,
      one.id,
      one.facts.name,
      one.databases.map(({ service, baseline }) => `${service} v${baseline}`).join(', '),
      sizeOf(one.bytes),
    ]),
    `No tenants at ${source} can be imported as they are.`,
  )
  output.line(`${tenants.length} tenants, ${sizeOf(bytes)}; roughly ${seconds} s.`)
  output.table(
    ['in the way', 'what', 'stops it'],
    obstacles.map(one => [one.about, one.what, one.blocks]),
    'Nothing is in the way.',
  )
}

const documentOf = ({ proposals, ...plan }: Plan): object => ({
  plan: { ...plan, proposals: Object.fromEntries(proposals) },
})

async function list(services: readonly OpenService[], output: Output): Promise<void> {
  const runs = []
  for (const { name, tenancy } of services) {
    for (const run of await createJournal(tenancy.transfer.central).list(20)) runs.push({ service: name, ...run })
  }
  output.table(
    ['service', 'run', 'source', 'state', 'started'],
    runs.map(run => [run.service, run.id, run.source, run.state, run.startedAt]),
    'No runs.',
  )
  output.document({ runs })
}
