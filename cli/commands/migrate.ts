// The command `migrate`: every tenant of every service at this release's schema, as runs that can be resumed
// and rolled back. Services are migrated one after the other; a run that stops or has failures ends the command with 1.
import { Command, Option } from 'commander'
import { forcedRows } from '../../operations/copying/not-copyable.js'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
import type { Targets } from '../../operations/targets.js'
import {
  type MigrateOptions,
  migrateFleet,
  NOTHING_TO_DO,
  type RunResult,
  resumeRun,
  rollBackRun,
} from '../../plugins/distributed-tenant/migration-runs/migrate.js'
import { tenantsBehind } from '../../plugins/distributed-tenant/migration-runs/runs.js'
import { contextOf, wholeNumber } from '../context.js'
import { listMigrations } from '../migrations-list.js'
import type { Output } from '../output.js'
import { type Progress, startProgress } from '../progress.js'
import { tenantIds } from '../tenant-id.js'

interface Options {
  readonly tenant?: readonly string[]
  readonly canary?: readonly string[]
  readonly concurrency: number
  readonly maxFailures: number
  readonly skipFailing?: boolean
  readonly resume?: string
  readonly rollback?: string
  readonly list?: boolean
  readonly dryRun?: boolean
}

const about = `
The central database and the template come first. Then the canaries are migrated one after the other, then all other tenants,
--concurrency at a time. Each tenant costs one direct connection beside the budget. A tenant that fails keeps its version. The run
names it, and --resume tries it again.

Exit code 0: all tenants are at this release's schema. 1: some failed, or the run stopped.`

export function migrateCommand(): Command {
  return new Command('migrate')
    .description('bring every tenant’s database to this release’s schema')
    .option('--tenant <id>', 'only these tenants (repeat it, or separate by commas)', tenantIds)
    .option(
      '--canary <id>',
      'migrate these first; a failure among them stops the run (default: the first tenant)',
      tenantIds,
    )
    .option('--concurrency <n>', 'how many tenants at a time', wholeNumber(1), 4)
    .option('--max-failures <percent>', 'stop when more than this share has failed', percent, 5)
    .addOption(new Option('--skip-failing', 'continue after every failure').conflicts('maxFailures'))
    .addOption(
      new Option('--resume <run>', 'continue a run with the tenants that failed or were not reached').conflicts(
        'rollback',
      ),
    )
    .option('--rollback <run>', 'undo what a run has applied, with the undo files')
    .option('--list', 'show the last runs and change nothing')
    .option('--dry-run', 'show the plan and change nothing')
    .addHelpText('after', about)
    .action(async (options: Options, command: Command) => {
      const context = await contextOf(command)
      const { targets, output, showProgress } = context
      if (options.list) return listMigrations(context)
      if ((options.resume || options.rollback) && targets.services.length > 1) {
        throw new UsageError('A run belongs to one service: name it with --service.')
      }
      await withServices(targets, async services => {
        requireMigrations(services, targets)
        if (options.dryRun) return dryRun(services, options, output)
        return runAll(services, options, output, showProgress)
      })
    })
}

/** Without their files every tenant would look up to date, and a template without tables would be made. */
function requireMigrations(services: readonly OpenService[], { from }: Targets): void {
  const without = services.filter(({ target: { migrations } }) => migrations.tenant === null).map(({ name }) => name)
  const [first] = without
  if (first === undefined) return
  throw new UsageError(
    `${without.join(', ')}: no tenant migrations are given in ${from}. Set TENANT_MIGRATIONS (or ${first.toUpperCase()}_TENANT_MIGRATIONS) to their folder, or migrations.tenant in --config.`,
  )
}

function percent(text: string): number {
  const value = Number(text)
  if (!(value >= 0 && value <= 100)) throw new UsageError('--max-failures is a percentage from 0 to 100.')
  return value
}

async function runAll(
  services: readonly OpenService[],
  options: Options,
  output: Output,
  showProgress: boolean,
): Promise<void> {
  const interrupted = new AbortController()
  const interrupt = () => interrupted.abort()
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  const results: { service: string; result: RunResult }[] = []
  try {
    for (const service of services) {
      if (interrupted.signal.aborted) break
      results.push({ service: service.name, result: await runOne(service, options, interrupted.signal, showProgress) })
    }
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
  for (const { service, result } of results) printResult(service, result, output)
  output.document({
    services: Object.fromEntries(results.map(({ service, result }) => [service, result])),
  })
  const unwell = results.filter(({ result: { run, failed } }) => failed.length > 0 || run?.state === 'stopped')
  if (unwell.length > 0) {
    throw new Error(`Not every tenant of ${unwell.map(({ service }) => service).join(', ')} is migrated: see above.`)
  }
}

async function runOne(
  { name, tenancy }: OpenService,
  options: Options,
  signal: AbortSignal,
  showProgress: boolean,
): Promise<RunResult> {
  let progress: Progress | undefined
  const notCopyable = new Set<string>()
  const how: MigrateOptions = {
    concurrency: options.concurrency,
    canaries: options.canary,
    only: options.tenant,
    stopAt: options.skipFailing ? 1 : options.maxFailures / 100,
    signal,
    onBegin: ({ tenants }) => {
      progress = startProgress(name, tenants, { show: showProgress })
    },
    onTenant: () => progress?.step(),
    async after(inside) {
      const forced = await forcedRows(inside)
      if (forced) notCopyable.add(`has ${forced.what}: ${forced.cure}`)
    },
  }
  try {
    if (options.rollback) return await rollBackRun(tenancy.fleet, options.rollback, how)
    if (options.resume) return await resumeRun(tenancy.fleet, options.resume, how)
    if (await tenancy.isUpToDate()) return NOTHING_TO_DO
    // New tenants are cloned from the template: it must not be behind what the others are brought to.
    await tenancy.prepare()
    return await migrateFleet(tenancy.fleet, how)
  } finally {
    progress?.end()
    // Of every tenant alike; none is named.
    for (const text of notCopyable)
      process.stderr.write(`${name}: a tenant’s database ${text}. Until then \`backup\` and \`move\` refuse it.\n`)
  }
}

function printResult(service: string, { run, failed }: RunResult, output: Output): void {
  if (!run) {
    output.line(`${service}: nothing to do.`)
    return
  }
  const { done, failed: failures, pending, rolled_back } = run.counts
  const facts = [
    `${done} at version ${run.target}`,
    ...(rolled_back > 0 ? [`${rolled_back} taken back`] : []),
    ...(failures > 0 ? [`${failures} failed`] : []),
    ...(pending > 0 ? [`${pending} not reached`] : []),
  ]
  output.line(`${service}: run ${run.id} ${run.state}${run.reason ? ` (${run.reason})` : ''}: ${facts.join(', ')}.`)
  output.table(
    ['tenant', 'error'],
    failed.map(({ id, error }) => [id, error]),
    '',
  )
  if (failures > 0 || pending > 0) {
    output.line(`Go on with: distributed-tenant migrate --service ${service} --resume ${run.id}`)
  }
}

async function dryRun(services: readonly OpenService[], { tenant }: Options, output: Output): Promise<void> {
  const plan: Record<string, { target: number; tenants: string[] }> = {}
  for (const { name, tenancy } of services) {
    const target = tenancy.fleet.sets.at(-1)?.version ?? 0
    const tenants = await tenantsBehind(tenancy.fleet.central, target, tenant)
    plan[name] = { target, tenants }
    output.line(`${name}: ${tenants.length} tenants would be brought to version ${target}.`)
    output.table(
      ['tenant'],
      tenants.map(id => [id]),
      '',
    )
  }
  output.document({ plan })
}
