// The command `dead`: the events that a service set aside, with their reasons: listed, shown, handled again or dropped, through the
// service's operator API or in its central database.
import { Command } from 'commander'
import { type DeadEvents, inDatabase, throughApi } from '../../operations/dead-events.js'
import { Drift, UsageError } from '../../operations/outcome.js'
import type { DeadRow } from '../../plugins/distributed-tenant/registry/dead-letters.js'
import { askServices } from '../ask-services.js'
import { type Context, contextOf } from '../context.js'

export function deadCommand(): Command {
  const dead = new Command('dead').description('events that were set aside: list, show, replay, drop')
  dead
    .command('list')
    .description('list dead events with their reasons')
    .option('--resolved', 'also those that were replayed or dropped')
    .action(async (options: { resolved?: boolean }, command: Command) => {
      const context = await contextOf(command)
      const list = (events: DeadEvents) => events.list(options.resolved ?? false)
      const { answers, through } = await askServices(context, both(list))
      const rows = answers.flatMap(([service, found]) => found.map(row => ({ service, ...row })))
      context.output.table(
        ['service', 'id', 'subject', 'state', 'received', 'replays', 'reason'],
        rows.map(row => [row.service, row.id, row.subject, stateOf(row), row.receivedAt, row.replays, row.reason]),
        'No dead events.',
      )
      context.output.document({ through, dead: rows })
    })
  dead
    .command('show')
    .description('show one event with its body and headers')
    .argument('<id>', 'its number')
    .action(async (id: string, _options: object, command: Command) => {
      const { output, answer: row, through } = await askOne(command, events => events.show(id))
      if (!row) throw new Error(`There is no dead event ${id}: see \`dead list\`.`)
      const { body, ...rest } = row
      output.line(`${row.subject}: ${row.reason}`)
      for (const [name, value] of Object.entries(row.headers)) output.line(`${name}: ${value}`)
      for (const line of body.slice(0, LONGEST_BODY).split('\n')) output.line(line)
      output.document({ ...rest, data: body, through })
    })
  dead
    .command('replay')
    .description('handle an event again, as if it had just arrived')
    .argument('<id...>', 'their numbers')
    .action(async (ids: string[], _options: object, command: Command) => {
      const {
        output,
        answer: failed,
        through,
      } = await askOne(command, async (events, { output }) => {
        const failed: string[] = []
        for (const id of ids) {
          const outcome = await events.replay(id)
          if (!outcome) throw new Error(`There is no unresolved dead event ${id}: see \`dead list\`.`)
          if (!outcome.ok) failed.push(id)
          output.line(outcome.ok ? `${id} is done.` : `${id} failed again: ${outcome.error}`)
        }
        return failed
      })
      output.document({ replayed: ids.filter(id => !failed.includes(id)), failed, through })
      if (failed.length > 0) throw new Error(`${failed.length} of ${ids.length} failed again.`)
    })
  dead
    .command('drop')
    .description('drop an event; its row is kept for 30 days')
    .argument('<id...>', 'their numbers')
    .action(async (ids: string[], _options: object, command: Command) => {
      const {
        output,
        answer: unknown,
        through,
      } = await askOne(command, async events => {
        const unknown: string[] = []
        for (const id of ids) if (!(await events.drop(id))) unknown.push(id)
        return unknown
      })
      output.line(`${ids.length - unknown.length} dropped.`)
      output.document({ dropped: ids.filter(id => !unknown.includes(id)), unknown, through })
      if (unknown.length > 0) throw new Drift(`Not there, or resolved already: ${unknown.join(', ')}.`)
    })
  return dead
}

const stateOf = ({ parked, resolution }: DeadRow): string => resolution ?? (parked ? 'parked' : 'dead')

const LONGEST_BODY = 20_000

/** The same work by either way. */
const both = <T>(work: (events: DeadEvents) => Promise<T>) => ({
  byApi: (api: Parameters<typeof throughApi>[0]) => work(throughApi(api)),
  byDatabase: (service: Parameters<typeof inDatabase>[0]) => work(inDatabase(service)),
})

async function askOne<T>(
  command: Command,
  work: (events: DeadEvents, context: Context) => Promise<T>,
): Promise<Context & { answer: T; through: object }> {
  const context = await contextOf(command)
  if (context.targets.services.length !== 1) throw new UsageError('Each service has its own: name one with --service.')
  const { answers, through } = await askServices(
    context,
    both(events => work(events, context)),
  )
  const [[, answer]] = answers as [readonly [string, T]]
  return { ...context, answer, through }
}
