// The commands `purge` and `resync`: drops the databases of deleted tenants, each service after identity has confirmed it, and
// publishes every tenant's state once more.
import { tmpdir } from 'node:os'
import { Command } from 'commander'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { sentenceOf, UsageError } from '../../operations/outcome.js'
import { alone } from '../../operations/single-run.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { confirm } from '../confirm.js'
import { contextOf } from '../context.js'
import { howToMove } from '../move-work.js'
import { tenantId } from '../tenant-id.js'

export function purgeCommands(): Command[] {
  return [purge(), resync()]
}

interface Purged {
  readonly service: string
  readonly tenant: string
  readonly error: string | null
}

/** More at once would only be listed at once. */
const DUE = 1_000

function purge(): Command {
  return new Command('purge')
    .description('drop the databases of deleted tenants whose retention is over')
    .argument('[tenant]', 'only this tenant; default all that are due', tenantId)
    .option('--yes', 'do not ask')
    .option('--dry-run', 'show what would be dropped and change nothing')
    .addHelpText(
      'after',
      '\nEach service asks identity first, and drops only databases of tenants that are deleted and past their retention.\nThe services do this themselves once a minute, except for tenants whose old copy follows since a move.\nFor those this command needs INIT_SUPERUSER and INIT_PASSWORD.',
    )
    .action(async (only: TenantId | undefined, options: { yes?: boolean; dryRun?: boolean }, command: Command) => {
      const { targets, output } = await contextOf(command)
      const { dueForPurge } = await import('../../plugins/distributed-tenant/provisioning/purge.js')
      await withServices(targets, async services => {
        const due = await Promise.all(
          services.map(async service => ({
            service,
            ids: only ? [only] : await dueForPurge(service.tenancy.fleet.central, DUE),
          })),
        )
        const count = due.reduce((sum, { ids }) => sum + ids.length, 0)
        if (options.dryRun || count === 0) {
          for (const { service, ids } of due)
            output.line(`${service.name}: ${ids.length === 0 ? 'nothing is due' : ids.join(', ')}`)
          output.document({ due: Object.fromEntries(due.map(({ service, ids }) => [service.name, ids])) })
          return
        }
        await confirm(`This drops ${count} databases for good`, only ?? 'purge', options.yes)
        const outcomes: Purged[] = []
        for (const { service, ids } of due) for (const id of ids) outcomes.push(await purgeOne(service, id))
        output.table(
          ['service', 'tenant', 'outcome'],
          outcomes.map(one => [one.service, one.tenant, one.error ?? 'dropped']),
        )
        output.document({ purged: outcomes })
        const failed = outcomes.filter(({ error }) => error !== null)
        if (failed.length > 0) throw new Error(`${failed.length} of ${outcomes.length} were not dropped.`)
      })
    })
}

async function purgeOne(service: OpenService, id: TenantId): Promise<Purged> {
  const { name, tenancy } = service
  const { TenantCopyFollows } = await import('../../plugins/distributed-tenant/errors.js')
  const { administratorLogin } = await import('../../operations/targets.js')
  try {
    try {
      await tenancy.purger.purge(id)
    } catch (error) {
      // Identity has confirmed it by then.
      if (!(error instanceof TenantCopyFollows) || administratorLogin() === null) throw error
      await endFollowing(service, id)
      await tenancy.purger.purge(id)
    }
    return { service: name, tenant: id, error: null }
  } catch (error) {
    return { service: name, tenant: id, error: sentenceOf(error) }
  }
}

async function endFollowing(service: OpenService, id: TenantId): Promise<void> {
  const { endFollowing: end } = await import('../../operations/move/end-following.js')
  await alone([service], async lost => {
    const { how, close } = await howToMove(service, { jobs: 1, folder: tmpdir() }, lost)
    await end(service.tenancy.move, id, how).finally(close)
  })
}

function resync(): Command {
  return new Command('resync')
    .description('publish every tenant’s state again; a service that has it changes nothing')
    .option('--yes', 'do not ask')
    .action(async (options: { yes?: boolean }, command: Command) => {
      const { targets, output } = await contextOf(command)
      await withServices(targets, async services => {
        const source = services.find(({ tenancy }) => tenancy.source !== null)
        if (!source)
          throw new UsageError(
            'Only the service that makes tenants can publish them: leave --service out, or name identity.',
          )
        await confirm('This publishes one event for each tenant', 'resync', options.yes)
        const { writeResync } = await import('../../operations/resync.js')
        const events = await writeResync(source.tenancy.fleet.central)
        output.line(`${events} events wait in the outbox; identity publishes them now.`)
        output.document({ events })
      })
    })
}
