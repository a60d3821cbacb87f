// The command `dead`: the events that a service set aside, with their reasons: listed, shown, handled again or dropped.
import { Command } from 'commander'
import { fromEach, type OpenService, withServices } from '../../operations/open-services.js'
import { Drift, UsageError } from '../../operations/outcome.js'
import type { DeadRow } from '../../plugins/distributed-tenant/registry/dead-letters.js'
import { type Context, contextOf } from '../context.js'

const PAGE = 1_000

export function deadCommand(): Command {
  const dead = new Command('dead').description('events that were set aside: list, show, replay, drop')
  dead
    .command('list')
    .description('list dead events with their reasons')
    .option('--resolved', 'also those that were replayed or dropped')
    .action(async (options: { resolved?: boolean }, command: Command) => {
      const { targets, output } = await contextOf(command)
      await withServices(targets, async services => {
        const found = await fromEach(services, async ({ tenancy }) =>
          tenancy.deadLetters.list({ limit: PAGE, resolved: options.resolved ?? false }),
        )
        const rows = found.flatMap(([service, list]) => list.map(row => ({ service, ...row })))
        output.table(
          ['service', 'id', 'subject', 'state', 'received', 'replays', 'reason'],
          rows.map(row => [row.service, row.id, row.subject, stateOf(row), row.receivedAt, row.replays, row.reason]),
          'No dead events.',
        )
        output.document({ dead: rows })
      })
    })
  dead
    .command('show')
    .description('show one event with its body and headers')
    .argument('<id>', 'its number')
    .action(async (id: string, _options: object, command: Command) => {
      await withOne(command, async ({ output }, { tenancy }) => {
        const row = await tenancy.deadLetters.show(id)
        if (!row) throw new Error(`There is no dead event ${id}: see \`dead list\`.`)
        const body = row.data.toString('utf8')
        output.line(`${row.subject}: ${row.reason}`)
        for (const [name, value] of Object.entries(row.headers)) output.line(`${name}: ${value}`)
        for (const line of body.slice(0, LONGEST_BODY).split('\n')) output.line(line)
        output.document({ ...row, data: body })
      })
    })
  dead
    .command('replay')
    .description('handle an event again, as if it had just arrived')
    .argument('<id...>', 'their numbers')
    .action(async (ids: string[], _options: object, command: Command) => {
      await withOne(command, async ({ output }, { tenancy }) => {
        const failed: string[] = []
        for (const id of ids) {
          const outcome = await tenancy.deadLetters.replay(id)
          if (!outcome) throw new Error(`There is no unresolved dead event ${id}: see \`dead list\`.`)
          if (!outcome.ok) failed.push(id)
          output.line(outcome.ok ? `${id} is done.` : `${id} failed again: ${outcome.error}`)
        }
        output.document({ replayed: ids.filter(id => !failed.includes(id)), failed })
        if (failed.length > 0) throw new Error(`${failed.length} of ${ids.length} failed again.`)
      })
    })
  dead
    .command('drop')
    .description('drop an event; its row is kept for 30 days')
    .argument('<id...>', 'their numbers')
    .action(async (ids: string[], _options: object, command: Command) => {
      await withOne(command, async ({ output }, { tenancy }) => {
        const unknown: string[] = []
        for (const id of ids) if (!(await tenancy.deadLetters.drop(id))) unknown.push(id)
        output.line(`${ids.length - unknown.length} dropped.`)
        output.document({ dropped: ids.filter(id => !unknown.includes(id)), unknown })
        if (unknown.length > 0) throw new Drift(`Not there, or resolved already: ${unknown.join(', ')}.`)
      })
    })
  return dead
}

const stateOf = ({ parked, resolution }: DeadRow): string => resolution ?? (parked ? 'parked' : 'dead')

const LONGEST_BODY = 20_000

async function withOne(
  command: Command,
  work: (context: Context, service: OpenService) => Promise<void>,
): Promise<void> {
  const context = await contextOf(command)
  if (context.targets.services.length !== 1) throw new UsageError('Each service has its own: name one with --service.')
  await withServices(context.targets, ([service]) => work(context, service as OpenService))
}
