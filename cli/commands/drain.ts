// The commands `drain` and `rebalance`: many moves of one service, planned, confirmed, carried out a few side by side, and gone on with
// after a kill. The work is in operations/move/many/; this reads and prints.
import { tmpdir } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { PlannedMove } from '../../operations/move/many/plan-moves.js'
import type { HowToMoveMany } from '../../operations/move/many/run-batch.js'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
import { alone } from '../../operations/single-run.js'
import { confirm } from '../confirm.js'
import { type Context, collect, contextOf, size, wholeNumber } from '../context.js'
import { type ManyOptions, moveMany, type Task, wayOf } from '../move-many.js'
import { howToMove } from '../move-work.js'
import { sizeOf } from '../output.js'
import { withSwitchLimits } from '../switch-limits.js'

interface DrainOptions extends ManyOptions {
  readonly to?: readonly string[]
}

interface RebalanceOptions extends ManyOptions {
  readonly by: 'size' | 'activity'
  readonly sample: number
  readonly tolerance: number
  readonly most: number
}

const eachTenant = `
Each tenant is moved as \`move\` does it: it is served all the while, and at the switch its statements wait for a moment. That wants
wal_level = logical and the administrator's login (INIT_SUPERUSER and INIT_PASSWORD); with --frozen writers are refused while a
tenant is copied. A tenant that cannot be moved stays where it is, is named, and keeps no other from being moved.

The old copies are kept, closed, as moved_{id}_{service}: \`move <tenant> --drop-source\` drops one, --drop-source each of them as
soon as its tenant is moved. With --follow they follow, until \`move <tenant> --finish\`; each takes two slots at its new instance.

Killed or interrupted, the same command goes on. See docs/placement.md.`

const aboutDrain = `
Marks the instance full, so that no new tenant goes there, and moves its tenants to the other instances of the service that are not
marked full, the largest first, each to the one with the least in it by --weight, or to those of --to. The mark stays: \`instances
open\` takes it away.
${eachTenant}

Exit code 0: it has no tenants. 1: it has, and each is named.`

const aboutRebalance = `
Moves few tenants so that no instance has much more than another, by the size of its databases or by transactions a second. One that
is marked full gives tenants away and gets none. The plan is shown first.
${eachTenant}

Exit code 0: all of the plan were moved. 1: some were not, and each is named.`

/** `b=50GB,c=1TB`, also repeated. */
const named =
  (read: (text: string) => number) =>
  (text: string, before: ReadonlyMap<string, number> = new Map()): Map<string, number> => {
    const all = new Map(before)
    for (const part of collect(text)) {
      const [, name, value] = /^([^=]+)=(.+)$/.exec(part) ?? []
      if (name === undefined || value === undefined) throw new InvalidArgumentError('It must be like b=50.')
      all.set(name, read(value))
    }
    return all
  }

const withManyOptions = (command: Command): Command =>
  withSwitchLimits(command)
    .option('--side-by-side <n>', 'how many tenants to move at a time', wholeNumber(1), 2)
    .option('--jobs <n>', 'jobs of pg_dump and pg_restore for a large database', wholeNumber(1), 2)
    .option('--programs <folder>', 'the folder of pg_dump and pg_restore')
    .option('--folder <folder>', 'the folder for temporary copies of large databases', tmpdir())
    .option('--room <instance=size>', 'the free disk space of an instance, like c=50GB', named(size))
    .option(
      '--weight <instance=n>',
      'the share of an instance, relative to the others, like c=2; default 1',
      named(wholeNumber(1)),
    )
    .option('--frozen', 'refuse the writers of a tenant while it is copied, instead of replicating')
    .addOption(
      new Option('--follow', 'let the old copies follow, so that you can move back').conflicts([
        'frozen',
        'dropSource',
      ]),
    )
    .option('--drop-source', 'drop the old database of each moved tenant; this cannot be undone')
    .option('--dry-run', 'show the plan and the obstacles of each tenant, and change nothing')
    .option('--yes', 'do not ask')

export function drainCommands(): Command[] {
  return [drain(), rebalance()]
}

function drain(): Command {
  return withManyOptions(
    new Command('drain')
      .description('mark an instance full and move all its tenants away')
      .argument('<instance>', 'main, or a name in DB_INSTANCES')
      .option('--to <instances>', 'the target instances; default all others that are not marked full', collect),
  )
    .addHelpText('after', aboutDrain)
    .action(async (name: string, options: DrainOptions, command: Command) => {
      const context = await contextOf(command)
      await withOne(context, async service => {
        const { planDrain } = await import('../../operations/move/many/plan-moves.js')
        const plan = () => planDrain(service.tenancy.move, name, { ...spread(options), to: options.to ?? [] })
        await carryOut(context, service, options, { kind: 'drain', instance: name, plan })
      })
    })
}

function rebalance(): Command {
  return withManyOptions(
    new Command('rebalance')
      .description('spread tenants over the instances of a service')
      .addOption(new Option('--by <what>', 'what to spread').choices(['size', 'activity']).default('size'))
      .option('--sample <seconds>', 'by activity: how long to count transactions', wholeNumber(1), 30)
      .option('--tolerance <percent>', 'how far instances may differ from the average', wholeNumber(0), 10)
      .option('--most <n>', 'the most tenants to move', wholeNumber(1), 100),
  )
    .addHelpText('after', aboutRebalance)
    .action(async (options: RebalanceOptions, command: Command) => {
      const context = await contextOf(command)
      await withOne(context, async service => {
        const { planRebalance } = await import('../../operations/move/many/plan-moves.js')
        const { by, sample: seconds, most } = options
        const how = { ...spread(options), by, seconds, most, tolerance: options.tolerance / 100 }
        const plan = () => planRebalance(service.tenancy.move, how)
        await carryOut(context, service, options, { kind: 'rebalance', instance: null, plan })
      })
    })
}

const spread = ({ room = new Map(), weight = new Map() }: ManyOptions) => ({ room, weights: weight })

async function withOne(context: Context, work: (service: OpenService) => Promise<void>): Promise<void> {
  if (context.targets.services.length !== 1) {
    throw new UsageError('Instances belong to one service: name it with --service.')
  }
  await withServices(context.targets, async services => {
    const [service] = services as [OpenService]
    await service.tenancy.prepare({ patienceMs: 0 })
    await work(service)
  })
}

async function carryOut(context: Context, service: OpenService, options: ManyOptions, task: Task): Promise<void> {
  const { createBatchJournal } = await import('../../operations/move/many/batch-journal.js')
  const batches = createBatchJournal(service.tenancy.move.central)
  await alone([service], async lost => {
    const unfinished = await batches.unfinished(task.kind, task.instance)
    const going = unfinished && !options.dryRun
    // The plan of a rebalance that was begun holds: after half of it the instances look otherwise.
    const goesOn = going && task.kind === 'rebalance'
    const planned = goesOn ? await leftOf(service, unfinished.id) : await task.plan()
    if (going) context.output.line(`Goes on with ${task.kind} ${unfinished.id}.`)
    if (options.dryRun) return showPlan(context, service, options, planned)
    printPlan(context, planned)
    const moving = planned.filter(({ to }) => to !== null)
    const bytes = sizeOf(moving.reduce((sum, one) => sum + one.bytes, 0))
    const marks = task.instance === null ? '' : `marks ${task.instance} full and `
    const meanwhile = options.frozen ? 'the writers of each are refused meanwhile' : 'they are served meanwhile'
    const drops = options.dropSource ? ' Their old databases are dropped for good' : ''
    if (task.instance !== null || moving.length > 0) {
      const what = `This ${marks}moves ${moving.length} tenants (${bytes}) away; ${meanwhile}.${drops}`
      await confirm(what.replace(/\.$/, ''), task.instance ?? service.name, options.yes)
    }
    await moveMany(context, service, options, { ...task, batches, batch: unfinished?.id ?? null, planned, lost })
  })
}

async function leftOf({ tenancy }: OpenService, batch: string): Promise<PlannedMove[]> {
  const { createBatchJournal } = await import('../../operations/move/many/batch-journal.js')
  const left = await createBatchJournal(tenancy.move.central).tenants(batch)
  return left
    .filter(({ state }) => state !== 'moved')
    .map(({ id, to, bytes }) => ({ id, to, bytes, from: '', why: null, activity: null }))
}

function printPlan({ output }: Context, planned: readonly PlannedMove[]): void {
  output.table(
    ['tenant', 'size', 'from', 'to', 'stays, as it'],
    planned.map(one => [one.id, sizeOf(one.bytes), one.from, one.to, one.why]),
    'No tenant is to be moved.',
  )
}

/** With what is in the way of each: the plan of each move is made, a few side by side. */
async function showPlan(
  context: Context,
  service: OpenService,
  options: ManyOptions,
  planned: readonly PlannedMove[],
): Promise<void> {
  const { inTheWay } = await import('../../operations/move/many/run-batch.js')
  const { output } = context
  const { how, close } = await howToMove(service, options)
  const many: HowToMoveMany = { ...how, ...wayOf(options) }
  const found = new Map<string, string[]>()
  const line = planned[Symbol.iterator]()
  const lane = async (): Promise<void> => {
    for (const { id, to, bytes, why } of line) {
      const obstacles = to === null ? [why ?? ''] : await inTheWay(service.tenancy.move, many, { id, to, bytes })
      found.set(id, obstacles)
    }
  }
  await Promise.all(Array.from({ length: options.sideBySide }, lane)).finally(close)
  output.table(
    ['tenant', 'size', 'transactions a second', 'from', 'to', 'in the way'],
    planned.map(({ id, bytes, activity, from, to }) => [
      id,
      sizeOf(bytes),
      activity === null ? null : Math.round(activity * 10) / 10,
      from,
      to,
      found.get(id)?.join('; '),
    ]),
    'No tenant is to be moved.',
  )
  const blocked = planned.filter(({ id }) => (found.get(id)?.length ?? 0) > 0)
  const bytes = planned.reduce((sum, one) => sum + one.bytes, 0)
  output.line(`${planned.length} tenants, ${sizeOf(bytes)}. Nothing was changed.`)
  output.document({ plan: planned.map(one => ({ ...one, inTheWay: found.get(one.id) ?? [] })) })
  if (blocked.length > 0) throw new Error(`${blocked.length} of ${planned.length} tenants cannot be moved: see above.`)
}
