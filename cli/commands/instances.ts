// The commands `instances list`, `full` and `open`: the PostgreSQL instances of a service, and the mark that keeps new tenants away.
import { Command } from 'commander'
import { fromEach, type OpenService, withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
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
      const { targets, output } = await contextOf(command)
      const { listInstances } = await import('../../operations/instances/instances.js')
      await withServices(targets, async services => {
        const found = await fromEach(services, ({ tenancy }) => listInstances(tenancy))
        const rows = found.flatMap(([service, those]) => those.map(one => ({ service, ...one })))
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
        output.document({ instances: rows })
      })
    })
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
