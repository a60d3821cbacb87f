// The command `import-hybrid`: tenants out of one shared server into one server per service, by a plan, a
// journal that lets it resume from anywhere, and a rollback. The work is in operations/.
import { tmpdir } from 'node:os'
import { Command, Option } from 'commander'
import { createInstance, type Instance } from '../../operations/copying/external-instance.js'
import { createJournal } from '../../operations/copying/journal.js'
import type { Obstacle } from '../../operations/copying/obstacle.js'
import { identityApi } from '../../operations/identity-api.js'
import { registrarOf } from '../../operations/import/identity-registrar.js'
import {
  type ImportOptions,
  type ImportOutcome,
  rollBackImport,
  runImport,
  thawImport,
} from '../../operations/import/import.js'
import { type Administrators, tenantsAtOnce } from '../../operations/import/online/preflight.js'
import { namedTenants, type PlanChoices, planOf, programsOf } from '../../operations/import/options.js'
import { servicesInTheWay } from '../../operations/import/reachability.js'
import { beginRun, runToGoOnWith, servicesOf, setSwitch, wayOf } from '../../operations/import/run.js'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
import { alone, carriedByAll } from '../../operations/single-run.js'
import { administratorLogin } from '../../operations/targets.js'
import { confirm } from '../confirm.js'
import { type Context, collect, contextOf, wholeNumber } from '../context.js'
import { documentOf, printOutcomes, printPlan, printRuns } from '../import-report.js'
import { type Progress, startProgress } from '../progress.js'
import { switchLimitsOf } from '../switch-limits.js'

interface Options extends PlanChoices {
  readonly from?: string
  readonly jobs: number
  readonly resume?: string
  readonly rollback?: string
  readonly thaw?: string
  readonly list?: boolean
  readonly online?: boolean
  readonly together?: boolean
  /** Milliseconds. */
  readonly transactionLimit: number
  /** Milliseconds. */
  readonly holdLimit: number
  /** Seconds. */
  readonly quietWait: number
  readonly dryRun?: boolean
  readonly yes?: boolean
}

interface Work extends Options {
  /** Aborted when another process may begin. */
  readonly lost: AbortSignal
  /** By service; null: no login is given. */
  readonly admins: Administrators | null
}

const about = `
The source is a URL like postgres://postgres@old-server:5432/central. Its password is read from SOURCE_PASSWORD or SOURCE_PASSWORD_FILE,
its TLS mode from ?sslmode=. Each tenant is frozen at the source, copied, compared table by table, and registered with identity. The source
stays frozen until --thaw or --rollback.

With --online the old application writes while its tenants are copied, and logical replication follows. At the switch the server refuses
the old application, transactions end, and everything that was written meanwhile is compared. In doubt the source is opened again.
--online needs wal_level = logical and a superuser at the source, and INIT_SUPERUSER (default postgres) and INIT_PASSWORD or
INIT_PASSWORD_FILE for the servers of the services. Killed or interrupted, the same command goes on. With --together no tenant of
the run is closed before all of them have caught up; if one fails, all go on at the source. See docs/moving.md.

Exit code 0: every tenant is ready. 1: some failed and their sources are open again, or the plan has obstacles.`

export function importCommand(): Command {
  return new Command('import-hybrid')
    .description('bring tenants from one shared server to one server per service')
    .option('--from <url>', 'the shared server, and the database there with the central tables')
    .option('--tenant <id>', 'only these tenants (repeat it, or separate by commas)', collect)
    .option('--map <old=new>', 'the id that a tenant gets here (repeat it)', collect)
    .option(
      '--baseline <service=version>',
      'the version of the tenant migrations that the source’s schemas have',
      collect,
    )
    .option('--tenants-query <file>', 'SQL that gives id, name, domain, settings, is_active of the tenants')
    .option('--room <service=size>', 'the free disk space of a target, like core=50GB (repeat it)', collect)
    .option('--parallel <n>', 'how many tenants at a time', wholeNumber(1), 4)
    .option('--jobs <n>', 'jobs of pg_dump and pg_restore for a large database', wholeNumber(1), 2)
    .option('--programs <folder>', 'the folder of pg_dump and pg_restore')
    .option('--folder <folder>', 'the folder for temporary copies of large databases', tmpdir())
    .addOption(new Option('--resume <run>', 'continue a run').conflicts(['rollback', 'thaw', 'dryRun']))
    .addOption(
      new Option('--rollback <run>', 'undo a run: remove what it made, open the source').conflicts(['thaw', 'dryRun']),
    )
    .option(
      '--thaw <run>',
      'open the sources of tenants that are ready here; what is written there from then on stays there',
    )
    .option('--online', 'copy while the old application writes, and refuse it at the switch only')
    .option('--together', 'with --online: no tenant of the run is closed before all of them have caught up')
    .option(
      '--transaction-limit <ms>',
      'with --online: what a transaction may still take at the switch',
      wholeNumber(1),
      1_000,
    )
    .option(
      '--hold-limit <ms>',
      'with --online: what the proof at the switch may take; past it the source is open again',
      wholeNumber(1),
      10_000,
    )
    .option(
      '--quiet-wait <seconds>',
      'with --online: how long the switch waits for longer transactions to end',
      wholeNumber(0),
      30,
    )
    .option('--list', 'show the last runs and change nothing')
    .option('--dry-run', 'show the plan and change nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', about)
    .action(async (options: Options, command: Command) => {
      const context = await contextOf(command)
      await withServices(context.targets, async services => {
        if (options.list) return printRuns(services, context.output)
        const { sourceAddress } = await import('../source-address.js')
        const source = createInstance(sourceAddress(options.from))
        const admins = await administratorsOf(services, source)
        try {
          for (const { tenancy } of services) await tenancy.prepare({ patienceMs: 0 })
          await alone(services, lost => work(context, services, source, { ...options, lost, admins }))
        } finally {
          for (const admin of admins?.values() ?? []) await admin.close()
          await source.close()
        }
      })
    })
}

async function administratorsOf(services: readonly OpenService[], source: Instance): Promise<Administrators | null> {
  const login = administratorLogin()
  if (!login) return null
  const { importAdministrator } = await import('../../operations/import/online/places.js')
  return new Map(
    services.map(({ tenancy: { transfer } }) => [transfer.service, importAdministrator(source, transfer, login)]),
  )
}

async function work(
  context: Context,
  services: readonly OpenService[],
  source: Instance,
  options: Work,
): Promise<void> {
  const { output, targets } = context
  const run = options.resume ?? options.rollback ?? options.thaw
  // Known to be missing before anything is begun, not when the first tenant is to be registered.
  identityApi(targets)
  const silent = options.rollback || options.thaw ? [] : await servicesInTheWay(services, targets)
  if (run === undefined) {
    const { online, admins, together = false } = options
    if (together && !online) throw new UsageError('--together is for --online: give both.')
    const named = namedTenants(options)
    const how = online ? { limits: switchLimitsOf(options), together, all: named === undefined } : null
    const begun = how && (await runToGoOnWith(services, source, named))
    if (begun) {
      output.line(`Goes on with run ${begun}; \`--rollback ${begun}\` undoes it.`)
      if (options.dryRun) return output.document({ run: begun })
      if (silent.length > 0) throw inTheWay(silent)
      await setSwitch(services, begun, how)
      return carriedByAll(services, begun, () => carryOut(context, services, source, options, begun, runImport))
    }
    const planned = await planOf(services, source, { ...options, online: online ? { admins, together } : undefined })
    const plan = { ...planned, obstacles: [...silent, ...planned.obstacles] }
    printPlan(plan, output)
    const blocked = plan.obstacles.filter(({ blocks }) => blocks).length
    if (options.dryRun || blocked > 0) output.document(documentOf(plan))
    if (blocked > 0) throw new Error(`${blocked} things are in the way: see above. Nothing was changed.`)
    if (options.dryRun) return
    const what = online
      ? `This copies ${plan.tenants.length} tenants of ${source.label}, and closes each there at its switch`
      : `This freezes ${plan.tenants.length} tenants at ${source.label} and brings them here`
    await confirm(what, 'import', options.yes)
    const id = await beginRun(services, source, plan, how)
    output.line(`Run ${id}.`)
    return carriedByAll(services, id, () => carryOut(context, services, source, options, id, runImport))
  }
  if (silent.length > 0) throw inTheWay(silent)
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
  const how = options.resume ? runImport : options.rollback ? rollBackImport : thawImport
  await carriedByAll(services, run, () => carryOut(context, services, source, options, run, how))
}

const inTheWay = (obstacles: readonly Obstacle[]): Error =>
  new Error(`${obstacles.map(({ about: name, what }) => `${name} ${what}`).join('; ')}. Nothing was changed.`)

async function carryOut(
  { targets, output, showProgress }: Context,
  services: readonly OpenService[],
  source: Instance,
  options: Work,
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
    const { jobs, folder, admins } = options
    const signal = AbortSignal.any([interrupted.signal, options.lost])
    const way = await wayOf(services, id)
    if (way.online && !admins && !options.thaw) {
      throw new UsageError(
        `Run ${id} was begun with --online, and its slots and subscriptions want the administrator: set INIT_SUPERUSER and INIT_PASSWORD, as for \`init\`.`,
      )
    }
    const { parallel: most } = options
    const parallel =
      way.online && admins ? await tenantsAtOnce(admins, { parallel: most, services: way.services }) : most
    const outcomes = await how({
      id,
      registrar: registrarOf(identityApi(targets), id),
      parallel,
      signal,
      services: servicesOf(services, id, { source, programs, folder, jobs, admins, signal }),
      onBegin: tenants => {
        progress = startProgress('tenants', tenants, { show: showProgress })
      },
      onTenant: () => progress?.step(),
    })
    progress?.end()
    printOutcomes(id, outcomes, interrupted.signal.aborted, output)
  } finally {
    progress?.end()
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}
