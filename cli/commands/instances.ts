// The commands `instances list`, `full` and `open`: the PostgreSQL instances of a service, and the mark that keeps new tenants away.
import { Command } from 'commander'
import type { InstanceFacts } from '../../operations/instances/instances.js'
import { type OpenService, withServices } from '../../operations/open-services.js'
import type { OperatorApi } from '../../operations/operator-api.js'
import { UsageError } from '../../operations/outcome.js'
import { askServices } from '../ask-services.js'
import { contextOf } from '../context.js'
import { sizeOf } from '../output.js'

const about = `
A new tenant goes to the instance of its service with the fewest tenants. An instance that is marked full gets no new tenants, spares,
imports, restores or moves. Its tenants stay and are served. Every process reads the mark before it makes the next tenant, so nothing is
restarted. \`drain\` sets the mark itself.`

export function instancesCommand(): Command {
  return new Command('instances')
    .description('show the PostgreSQL instances of each service, and keep new tenants away from one')
    .addHelpText('after', about)
    .addCommand(list(), { isDefault: true })
    .addCommand(change('full', 'mark an instance full: no new tenant goes there'))
    .addCommand(change('open', 'take the mark away: new tenants go there again'))
}

function list(): Command {
  return new Command('list')
    .description('show tenants, size and marks')
    .action(async (_options: object, command: Command) => {
      const context = await contextOf(command)
      const { output } = context
      const { answers, through } = await askServices(context, {
        byApi: listByApi,
        byDatabase: async ({ tenancy }) => {
          const { listInstances } = await import('../../operations/instances/instances.js')
          return listInstances(tenancy)
        },
      })
      const rows = answers.flatMap(([service, those]) => those.map(one => ({ service, ...one })))
      output.table(
        ['service', 'instance', 'address', 'tenants', 'size', 'new tenants'],
        rows.map(one => [
          one.service,
          one.name,
          `${one.host}:${one.port}`,
          one.tenants,
          one.bytes === null ? one.error : sizeOf(one.bytes),
          one.fullSince === null ? 'yes' : `full since ${one.fullSince.toISOString().slice(0, 10)}, by ${one.fullBy}`,
        ]),
      )
      output.document({ through, instances: rows })
    })
}

async function listByApi(api: OperatorApi): Promise<InstanceFacts[]> {
  type Answered = Omit<InstanceFacts, 'fullSince'> & { fullSince: string | null }
  const { items } = await api.call<{ items: Answered[] }>('GET', '/instances')
  return items.map(({ name, host, port, tenants, bytes, fullSince, fullBy, error }) => ({
    ...{ name, host, port, tenants, bytes, error, fullBy },
    fullSince: fullSince === null ? null : new Date(fullSince),
  }))
}

function change(what: 'full' | 'open', description: string): Command {
  return new Command(what)
    .description(description)
    .argument('<instance>', 'main, or a name in DB_INSTANCES')
    .action(async (name: string, _options: object, command: Command) => {
      const { targets, output } = await contextOf(command)
      if (targets.services.length !== 1) {
        throw new UsageError('Instances belong to one service: name it with --service.')
      }
      const { closeInstance, openInstance } = await import('../../operations/instances/instances.js')
      const { operatorName, underAudit } = await import('../../operations/audit-trail.js')
      await withServices(targets, async services => {
        const [service] = services as [OpenService]
        const { tenancy } = service
        await tenancy.prepare({ patienceMs: 0 })
        const detail = { [what]: name }
        const changed = await underAudit([service], { command: 'instances', tenant: null, detail }, () =>
          what === 'full' ? closeInstance(tenancy, name, operatorName()) : openInstance(tenancy, name),
        )
        const state = what === 'full' ? 'is marked full' : 'takes new tenants'
        output.line(`${name} of ${service.name} ${state}${changed ? '' : ', as before'}.`)
        output.document({ service: service.name, instance: name, full: what === 'full', changed })
      })
    })
}
