// The command `move`: one tenant's database from one instance of a service to another, by a plan, a journal that
// lets it resume from anywhere, and a rollback. The work is in operations/; this reads and prints.
import { tmpdir } from 'node:os'
import { Command, Option } from 'commander'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
import { alone } from '../../operations/single-run.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { confirm } from '../confirm.js'
import { type Context, contextOf, size, wholeNumber } from '../context.js'
import { type Output, sizeOf } from '../output.js'
import { startProgress } from '../progress.js'
import { tenantId } from '../tenant-id.js'

interface Options {
  readonly to?: string
  readonly jobs: number
  readonly programs?: string
  readonly folder: string
  readonly room?: number
  readonly resume?: string
  readonly rollback?: string
  readonly dropSource?: boolean
  readonly list?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

const about = `
The tenant's readers are served all the while. Its writers get 503 TENANT_MOVING from when the copy begins until the
registry says where it is now; how long that was is printed. Nothing is restarted. The database it came from is kept on its
instance, closed, as moved_{id}_{service}, until --drop-source, or until the tenant is purged. See docs/placement.md.

Exit code 0: it is there. 1: it is where it was, or the message says how to go on.`

export function moveCommand(): Command {
  return new Command('move')
    .description('move a tenant’s database to another instance of its service')
    .argument('[tenant]', 'its id', tenantId)
    .option('--to <instance>', 'where to: a name in DB_INSTANCES, or main')
    .option('--jobs <n>', 'jobs of pg_dump and pg_restore for a large database', wholeNumber(1), 2)
    .option('--programs <folder>', 'where pg_dump and pg_restore are')
    .option('--folder <folder>', 'where the copy of a large database lies for a while', tmpdir())
    .option('--room <size>', 'how much the disk of that instance has free, like 50GB', size)
    .addOption(new Option('--resume <run>', 'go on with a run').conflicts(['rollback', 'to', 'dryRun']))
    .addOption(
      new Option('--rollback <run>', 'take a run back that was not switched yet').conflicts([
        'to',
        'dryRun',
        'dropSource',
      ]),
    )
    .option('--drop-source', 'drop the database it came from, for good: after a move, or one that is left from before')
    .option('--list', 'show the last runs and do nothing')
    .option('--dry-run', 'show the plan and do nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', about)
    .action(async (tenant: TenantId | undefined, options: Options, command: Command) => {
      const context = await contextOf(command)
      if (context.targets.services.length !== 1) {
        throw new UsageError('Instances belong to one service: name it with --service.')
      }
      await withServices(context.targets, async services => {
        const [service] = services as [OpenService]
        await (options.list ? list(service, context.output) : work(context, service, tenant, options))
      })
    })
}

async function work(context: Context, service: OpenService, id: TenantId | undefined, options: Options): Promise<void> {
  const run = options.resume ?? options.rollback
  if (run === undefined && id === undefined)
    throw new UsageError('Name a tenant, or a run with --resume or --rollback.')
  if (run !== undefined && id !== undefined) throw new UsageError('A run names its tenant itself: leave it out.')
  if (id !== undefined && options.to === undefined && !options.dropSource) {
    throw new UsageError('--to is missing: name the instance to move it to.')
  }
  await service.tenancy.prepare({ patienceMs: 0 })
  const doIt = async (lost: AbortSignal): Promise<void> => {
    if (run !== undefined) return carryOut(context, service, options, { run, lost })
    if (id !== undefined && options.to !== undefined)
      return begin(context, service, options, { id, to: options.to, lost })
    const { runToDrop } = await import('../../operations/move/run.js')
    const left = await runToDrop(service.tenancy.move, id as TenantId)
    await confirm(`This drops the database that ${id} was moved from, for good`, id as string, options.yes)
    await drop(context, service, options, left)
  }
  const { to, resume, rollback, dropSource } = options
  const detail = { to, resume, rollback, dropSource }
  const { underAudit } = await import('../../operations/audit-trail.js')
  await alone([service], lost =>
    options.dryRun
      ? doIt(lost)
      : underAudit([service], { command: 'move', tenant: id ?? null, detail }, () => doIt(lost)),
  )
}

async function begin(
  context: Context,
  service: OpenService,
  options: Options,
  {
    id,
    to,
    lost,
  }: {
    id: TenantId
    to: string
    lost: AbortSignal
  },
): Promise<void> {
  const { output } = context
  const { planMove } = await import('../../operations/move/plan.js')
  const { beginMove } = await import('../../operations/move/run.js')
  const how = await howTo(service, options)
  const { row: _, ...plan } = await planMove(service.tenancy.move, { ...how, id, to, room: options.room })
  output.line(
    `${plan.tenant}: ${plan.from} -> ${plan.to}, ${sizeOf(plan.bytes)}; writers are refused for roughly ${plan.seconds} s.`,
  )
  output.table(
    ['in the way', 'what', 'stops it'],
    plan.obstacles.map(one => [one.about, one.what, one.blocks]),
    'Nothing is in the way.',
  )
  const blocked = plan.obstacles.filter(({ blocks }) => blocks).length
  if (options.dryRun || blocked > 0) output.document({ plan })
  if (blocked > 0) throw new Error(`${blocked} things are in the way: see above. Nothing was changed.`)
  if (options.dryRun) return
  await confirm(`This moves ${id} from ${plan.from} to ${to}; its writers are refused meanwhile`, id, options.yes)
  const run = await beginMove(how.journal, { ...plan, row: _ })
  output.line(`Run ${run}.`)
  await carryOut(context, service, options, { run, lost })
}

async function howTo({ tenancy }: OpenService, options: Options, signal?: AbortSignal) {
  const { inherited } = await import('../../operations/child-environment.js')
  const { createPrograms } = await import('../../operations/copying/pg-programs.js')
  const { createJournal } = await import('../../operations/copying/journal.js')
  return {
    programs: createPrograms({ folder: options.programs, environment: inherited() }),
    journal: createJournal(tenancy.move.central),
    folder: options.folder,
    jobs: options.jobs,
    signal,
  }
}

async function carryOut(
  context: Context,
  service: OpenService,
  options: Options,
  { run, lost }: { run: string; lost: AbortSignal },
): Promise<void> {
  const { MOVE_REPORTS } = await import('../../operations/move/move.js')
  const { carryOutMove, rollBackMove } = await import('../../operations/move/run.js')
  const { subscribe } = await import('../../plugins/distributed-tenant/diagnostics/channels.js')
  const interrupted = new AbortController()
  const interrupt = () => interrupted.abort()
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  const progress = startProgress('steps', MOVE_REPORTS.length, { show: context.showProgress })
  const shown = new Set<string>()
  const silence = subscribe(
    ({ area, event }) => {
      // After a kill some steps are published again.
      if (area !== 'transfer' || !MOVE_REPORTS.includes(event.type) || shown.has(event.type)) return
      shown.add(event.type)
      progress.step()
    },
    service.tenancy.origin,
    ['transfer'],
  )
  try {
    const how = await howTo(service, options, AbortSignal.any([interrupted.signal, lost]))
    const outcome = await (options.rollback ? rollBackMove : carryOutMove)(service.tenancy.move, run, how)
    progress.end()
    if (outcome.state === 'moved' && options.dropSource) return await drop(context, service, options, run)
    print(outcome, context.output)
  } finally {
    silence()
    progress.end()
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

async function drop(context: Context, service: OpenService, options: Options, run: string): Promise<void> {
  const { dropMoved } = await import('../../operations/move/run.js')
  print(await dropMoved(service.tenancy.move, run, await howTo(service, options)), context.output)
}

function print(outcome: import('../../operations/move/run.js').MoveOutcome, output: Output): void {
  const { tenant, from, to, state, frozenMs } = outcome
  const refused = frozenMs === null ? '' : ` Writers were refused for ${Math.round(frozenMs)} ms.`
  const memory = process.resourceUsage().maxRSS * 1024
  const sentences = {
    moved: `${tenant} is on ${to} now; what it had on ${from} is kept there, closed.${refused}`,
    taken_back: `${tenant} is on ${from}, as before.`,
    source_dropped: `${tenant} is on ${to}; what it had on ${from} is dropped.${refused}`,
  }
  output.line(`${sentences[state]} This command took ${sizeOf(memory)} of memory.`)
  output.document({ ...outcome, memoryBytes: memory })
}

async function list({ name, tenancy }: OpenService, output: Output): Promise<void> {
  const { createJournal } = await import('../../operations/copying/journal.js')
  const journal = createJournal(tenancy.move.central)
  const runs = []
  for (const run of await journal.list(20, 'move')) {
    const [row] = await journal.tenants(run.id)
    runs.push({ ...run, tenant: row?.id, step: row?.step, frozenMs: row?.frozenMs ?? null, error: row?.error ?? null })
  }
  output.table(
    ['run', 'tenant', 'from>to', 'state', 'step', 'frozen ms', 'started', 'error'],
    runs.map(one => [
      one.id,
      one.tenant,
      one.source,
      one.state,
      one.step,
      one.frozenMs === null ? null : Math.round(one.frozenMs),
      one.startedAt,
      one.error,
    ]),
    `No moves in ${name}.`,
  )
  output.document({ service: name, runs })
}
