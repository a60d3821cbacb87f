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
import { listMoves, printMove } from '../move-report.js'
import { howToMove, watchedMove } from '../move-work.js'
import { sizeOf } from '../output.js'
import { type SwitchLimitOptions, switchLimitsOf, withSwitchLimits } from '../switch-limits.js'
import { tenantId } from '../tenant-id.js'

interface Options extends SwitchLimitOptions {
  readonly to?: string
  readonly jobs: number
  readonly programs?: string
  readonly folder: string
  readonly room?: number
  readonly resume?: string
  readonly rollback?: string
  readonly dropSource?: boolean
  readonly frozen?: boolean
  readonly follow: boolean
  readonly back?: boolean
  readonly finish?: boolean
  readonly list?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

const about = `
The tenant is read and written during the move. The copy is made from a snapshot and followed by logical replication. At the switch new
statements wait in the services for a moment, open transactions have --transaction-limit to end, and all rows that were written meanwhile
are compared. If anything is uncertain then, the tenant stays where it was. Nothing is restarted.

This needs wal_level = logical and the administrator's login: INIT_SUPERUSER (default postgres) and INIT_PASSWORD or INIT_PASSWORD_FILE. The
plan names what cannot be moved this way. With --frozen no administrator is needed, and writers get 503 TENANT_MOVING from the start of the
copy until the registry has the new instance.

After the switch the old database is closed, as moved_{id}_{service}, and follows the new one until --finish or --drop-source. --back moves
the tenant back. With --no-follow the old database does not follow. See docs/placement.md.

Exit code 0: the tenant is on the new instance. 1: it is where it was, or the message has the next step.`

export function moveCommand(): Command {
  return withSwitchLimits(new Command('move'))
    .description('move a tenant’s database to another instance of its service')
    .argument('[tenant]', 'its id', tenantId)
    .option('--to <instance>', 'the target: a name in DB_INSTANCES, or main')
    .option('--jobs <n>', 'jobs of pg_dump and pg_restore for a large database', wholeNumber(1), 2)
    .option('--programs <folder>', 'the folder of pg_dump and pg_restore')
    .option('--folder <folder>', 'the folder for the temporary copy of a large database', tmpdir())
    .option('--room <size>', 'the free disk space of that instance, like 50GB', size)
    .addOption(new Option('--resume <run>', 'continue a run').conflicts(['rollback', 'to', 'dryRun']))
    .addOption(
      new Option('--rollback <run>', 'undo a run that has not switched yet').conflicts(['to', 'dryRun', 'dropSource']),
    )
    .option('--frozen', 'refuse writers during the copy, instead of replicating')
    .option('--no-follow', 'the old copy does not follow, so `--back` is not possible')
    .option('--back', 'move the tenant back, with the copy that follows')
    .option('--finish', 'the old copy no longer follows, so `--back` is not possible any more')
    .option('--drop-source', 'drop the old database of this or an earlier move; this cannot be undone')
    .option('--list', 'show the last runs and change nothing')
    .option('--dry-run', 'show the plan and change nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', about)
    .action(async (tenant: TenantId | undefined, options: Options, command: Command) => {
      const context = await contextOf(command)
      if (context.targets.services.length !== 1) {
        throw new UsageError('Instances belong to one service: name it with --service.')
      }
      await withServices(context.targets, async services => {
        const [service] = services as [OpenService]
        await (options.list ? listMoves(service, context.output) : work(context, service, tenant, options))
      })
    })
}

async function work(context: Context, service: OpenService, id: TenantId | undefined, options: Options): Promise<void> {
  const run = options.resume ?? options.rollback
  if (run === undefined && id === undefined)
    throw new UsageError('Name a tenant, or a run with --resume or --rollback.')
  if (run !== undefined && id !== undefined) throw new UsageError('A run names its tenant itself: leave it out.')
  if ([options.back, options.finish, options.to !== undefined].filter(Boolean).length > 1) {
    throw new UsageError('--to, --back and --finish exclude each other.')
  }
  if (id !== undefined && options.to === undefined && !options.dropSource && !options.back && !options.finish) {
    throw new UsageError('--to is missing: name the instance to move it to.')
  }
  await service.tenancy.prepare({ patienceMs: 0 })
  const doIt = async (lost: AbortSignal): Promise<void> => {
    if (run !== undefined) return carryOut(context, service, options, { run, lost })
    if (id !== undefined && options.to !== undefined)
      return begin(context, service, options, { id, to: options.to, lost })
    if (options.back || options.finish) return endWayBack(context, service, options, { id: id as TenantId, lost })
    const { runToDrop } = await import('../../operations/move/run.js')
    const left = await runToDrop(service.tenancy.move, id as TenantId)
    await confirm(`This drops the database that ${id} was moved from, for good`, id as string, options.yes)
    await drop(context, service, options, left)
  }
  const { to, resume, rollback, dropSource, frozen, back, finish } = options
  const detail = { to, resume, rollback, dropSource, frozen, back, finish }
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
  const { how, close } = await howToMove(service, options)
  const { frozen, follow } = options
  const online = frozen ? undefined : { admin: how.admin, follow }
  const planned = await planMove(service.tenancy.move, {
    ...how,
    id,
    to,
    room: options.room,
    ...(online && { online }),
  }).finally(close)
  const { row: _, ...plan } = planned
  const held = 'statements are held for a moment at the switch'
  output.line(
    `${plan.tenant}: ${plan.from} -> ${plan.to}, ${sizeOf(plan.bytes)}; ${frozen ? `writers are refused for roughly ${plan.seconds} s` : held}.`,
  )
  const obstacles = [...plan.obstacles, ...(plan.online ?? [])]
  output.table(
    ['in the way', 'what', 'stops it'],
    obstacles.map(one => [one.about, one.what, one.blocks]),
    'Nothing is in the way.',
  )
  const blocked = obstacles.filter(({ blocks }) => blocks).length
  if (options.dryRun || blocked > 0) output.document({ plan })
  if (blocked > 0) {
    const frozenWay = plan.obstacles.some(({ blocks }) => blocks)
      ? ''
      : ` With --frozen it can be moved: writers are then refused for roughly ${plan.seconds} s.`
    throw new Error(`${blocked} things are in the way: see above. Nothing was changed.${frozenWay}`)
  }
  if (options.dryRun) return
  const meanwhile = frozen ? 'its writers are refused meanwhile' : 'it is served meanwhile'
  await confirm(`This moves ${id} from ${plan.from} to ${plan.to}; ${meanwhile}`, id, options.yes)
  const limits = switchLimitsOf(options)
  const run = await beginMove(how.journal, planned, frozen ? null : { limits, follow })
  output.line(`Run ${run}.`)
  await carryOut(context, service, options, { run, lost })
}

async function endWayBack(
  context: Context,
  service: OpenService,
  options: Options,
  { id, lost }: { id: TenantId; lost: AbortSignal },
): Promise<void> {
  const { finishMove, goBack, runThatFollows } = await import('../../operations/move/run.js')
  const run = await runThatFollows(service.tenancy.move, id)
  const what = options.back
    ? `This takes ${id} back to where it was; it is served meanwhile`
    : `This ends the way back of ${id}: the old copy follows no longer`
  await confirm(what, id, options.yes)
  await watchedMove(context, service, options, lost, async how => {
    printMove(await (options.back ? goBack : finishMove)(service.tenancy.move, run, how), context.output)
  })
}

async function carryOut(
  context: Context,
  service: OpenService,
  options: Options,
  { run, lost }: { run: string; lost: AbortSignal },
): Promise<void> {
  const { carryOutMove, dropMoved, rollBackMove } = await import('../../operations/move/run.js')
  const carried = () =>
    watchedMove(context, service, options, lost, async how => {
      const outcome = await (options.rollback ? rollBackMove : carryOutMove)(service.tenancy.move, run, how)
      const drops = outcome.state === 'moved' && options.dropSource
      printMove(drops ? await dropMoved(service.tenancy.move, run, how) : outcome, context.output)
    })
  await service.tenancy.carryOut(run, carried)
}

async function drop(context: Context, service: OpenService, options: Options, run: string): Promise<void> {
  const { dropMoved } = await import('../../operations/move/run.js')
  const { how, close } = await howToMove(service, options)
  printMove(await dropMoved(service.tenancy.move, run, how).finally(close), context.output)
}
