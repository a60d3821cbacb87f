// The command `restore`: a tenant out of an archive, as itself or as a new one, or the services' central databases. This opens
// the archive, holds it to what was asked for, and reads it whole before anything is touched.
import { Command, Option } from 'commander'
import type { Archive } from '../../operations/archive/archive-reader.js'
import { withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
import { parseTenantId } from '../../plugins/distributed-tenant/names.js'
import { type Context, contextOf, type GlobalOptions } from '../context.js'
import { interruptible } from '../interrupt.js'
import { startProgress } from '../progress.js'
import { restoreCentral } from '../restore-central.js'
import { type RestoreOptions, restoreTenant } from '../restore-tenant.js'
import { newTenantId, tenantId } from '../tenant-id.js'

const about = `
Restores a deleted tenant under its own id, or as a new tenant with --as. If the tenant is active, only missing databases are restored.
Existing ones are replaced with --replace, while the tenant is suspended.

Everything is restored into new databases, compared with the manifest, and then renamed. A failure or a kill before that changes nothing,
and the same command finishes it or undoes it. The archive is run as SQL by the service's role: restore only archives that you trust. See
docs/backup.md.`

export function restoreCommand(): Command {
  return new Command('restore')
    .description('restore a tenant from an archive')
    .argument('<archive>', 'a file that `backup` has written')
    .addOption(
      new Option('--as <id>', 'restore as a new tenant with this id, without the domain')
        .argParser(newTenantId)
        .conflicts(['replace', 'central']),
    )
    .option('--name <name>', 'with --as: its name; default the one in the archive')
    .option('--tenant <id>', 'refuse the archive if it is another tenant’s', tenantId)
    .option('--replace', 'replace the data of a suspended tenant')
    .option('--no-domain', 'restore without the domain, which another tenant may have now')
    .addOption(
      new Option('--central', 'restore the central databases of `backup --all` into empty ones').conflicts([
        'replace',
        'tenant',
      ]),
    )
    .option('--programs <folder>', 'the folder of pg_restore')
    .option('--dry-run', 'read the whole archive, show the plan, and change nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', about)
    .action(async (path: string, options: RestoreOptions, command: Command) => {
      if (options.name !== undefined && options.as === undefined) throw new UsageError('--name is for --as.')
      const { as, tenant: expected } = options
      const context = await contextOf(command)
      const { openArchive } = await import('../../operations/archive/archive-reader.js')
      const archive = await openArchive(path)
      try {
        const { tenant } = archive.manifest
        if (expected !== undefined && tenant?.id !== expected) {
          throw new UsageError(
            `${path} is of ${tenant?.id ?? 'the central databases'}, not of ${expected}: nothing was done.`,
          )
        }
        if ((tenant === null) !== (options.central === true)) {
          throw new UsageError(
            tenant
              ? `${path} holds the tenant ${tenant.id}: leave --central out.`
              : `${path} holds the central databases: pass --central.`,
          )
        }
        await interruptible(async signal => {
          await checked(archive, context)
          await withServices(context.targets, services =>
            tenant
              ? restoreTenant(context, {
                  archive,
                  services,
                  options,
                  signal,
                  id: as ?? parseTenantId(tenant.id),
                  partial: command.optsWithGlobals<GlobalOptions>().service !== undefined,
                })
              : restoreCentral(context, { archive, services, options, signal }),
          )
        })
      } finally {
        await archive.close()
      }
    })
}

/** All of it, before anything is touched. */
async function checked(archive: Archive, { showProgress }: Context): Promise<void> {
  const progress = startProgress('checking', archive.bytes, { show: showProgress, bytes: true })
  try {
    await archive.check(progress.step)
  } finally {
    progress.end()
  }
}
