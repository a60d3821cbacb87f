// The command `pg-upgrade`: makes a service's instances fit for pg_upgrade, and puts them back after it.
import { Command } from 'commander'
import { withServices } from '../../operations/open-services.js'
import type { Direction, UpgradeReport } from '../../operations/server-upgrade/server-upgrade.js'
import { contextOf } from '../context.js'

const about = `
pg_upgrade refuses a server whose databases allow no connections, as templates, spares and old copies of moves do. The order is: stop the
service, run \`pg-upgrade prepare\`, run pg_upgrade, run \`init\` and \`pg-upgrade finish\` on the new server, start the service. Both can
be repeated. All steps: docs/major-versions.md.`

export function pgUpgradeCommand(): Command {
  const command = new Command('pg-upgrade')
    .description('open the closed databases of a service for pg_upgrade, and close them after it')
    .addHelpText('after', about)
  command.addCommand(direction('prepare', 'before pg_upgrade: open templates, spares and old copies of moves'))
  command.addCommand(direction('finish', 'after pg_upgrade: close them again, and name the remaining steps'))
  return command
}

function direction(name: Direction, description: string): Command {
  return new Command(name)
    .description(description)
    .option('--dry-run', 'show what would be done and change nothing')
    .action(async (options: { dryRun?: boolean }, command: Command) => {
      const begun = performance.now()
      const { targets, output } = await contextOf(command)
      const { changeForUpgrade } = await import('../../operations/server-upgrade/server-upgrade.js')
      await withServices(targets, async services => {
        const reports: UpgradeReport[] = []
        for (const { tenancy } of services) {
          for (const instance of tenancy.instances.all) {
            const { service } = tenancy.settings
            const dryRun = options.dryRun === true
            reports.push(await changeForUpgrade({ service, instance, direction: name, dryRun, begun }))
          }
        }
        const rows = reports.flatMap(report => report.databases.map(one => ({ ...one, report })))
        output.table(
          ['service', 'instance', 'database', 'kind', 'outcome'],
          rows.map(({ report, name, kind, outcome }) => [report.service, report.instance, name, kind, outcome]),
        )
        for (const { service, instance, obstacles } of reports) {
          for (const { about, what, blocks } of obstacles) {
            output.line(`${blocks ? 'in the way' : 'note'}: ${service} on ${instance}: ${about} ${what}`)
          }
        }
        output.document({ instances: reports })
        const blocked = reports.flatMap(({ obstacles }) => obstacles.filter(({ blocks }) => blocks))
        if (blocked.length > 0 && !options.dryRun) {
          const names = [...new Set(blocked.map(one => `${one.about} ${one.what}`))].join('; ')
          throw new Error(`${names}. Nothing was changed where that is so.`)
        }
      })
    })
}
