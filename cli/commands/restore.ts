// The command `restore`: a tenant out of an archive, as itself or as a new one, or the services' central databases. The work
// is in operations/; this matches the archive with the services, asks, writes the audit rows, and prints.
import { Command, Option } from 'commander'
import type { Archive } from '../../operations/archive/archive-reader.js'
import type { RecoveryOptions } from '../../operations/archive/restore-plan.js'
import { underAudit } from '../../operations/audit-trail.js'
import { identityApi } from '../../operations/identity-api.js'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
import { parseTenantId } from '../../plugins/distributed-tenant/names.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { programsOf } from '../backup-work.js'
import { confirm } from '../confirm.js'
import { type Context, contextOf, type GlobalOptions } from '../context.js'
import { interruptible } from '../interrupt.js'
import { sizeOf } from '../output.js'
import { startProgress } from '../progress.js'
import { newTenantId, tenantId } from '../tenant-id.js'

interface Options {
  readonly as?: TenantId
  readonly name?: string
  readonly tenant?: TenantId
  readonly replace?: boolean
  /** False with --no-domain. */
  readonly domain: boolean
  readonly central?: boolean
  readonly programs?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
}

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
    .action(async (path: string, options: Options, command: Command) => {
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

interface Work {
  readonly archive: Archive
  readonly services: readonly OpenService[]
  readonly options: Options
  readonly signal: AbortSignal
}

async function restoreTenant(
  context: Context,
  { archive, services, options, signal, id, partial }: Work & { readonly id: TenantId; readonly partial: boolean },
): Promise<void> {
  const { targets, showProgress } = context
  const { planRecovery } = await import('../../operations/archive/restore-plan.js')
  const { recover } = await import('../../operations/archive/restore-tenant.js')
  const { createServiceRestore } = await import('../../operations/archive/restore-service.js')
  const { unproven } = await import('../../operations/archive/compatibility.js')
  const { authorityOf } = await import('../../operations/archive/identity-authority.js')
  const programs = await programsOf(options.programs)
  const matched = match(archive, services, partial)
  const warnings: string[] = []
  const onWarning = (text: string): void => void warnings.push(text)
  const recovery: RecoveryOptions = {
    id,
    archive,
    services: await Promise.all(
      matched.present.map(async ({ service, part }) => {
        const parts = service.tenancy.transfer
        const { sha256 } = archive
        return { parts, restore: await createServiceRestore(parts, id, { part, programs, sha256, signal, onWarning }) }
      }),
    ),
    absent: matched.absent.map(({ tenancy }) => tenancy.transfer),
    authority: authorityOf(identityApi(targets)),
    as: options.as !== undefined,
    replace: options.replace === true,
    partial,
    withoutDomain: !options.domain,
    name: options.name,
    signal,
  }
  if (options.dryRun) {
    const plan = await planRecovery(recovery)
    const doubt = unproven(archive.manifest)
    if (doubt !== null) onWarning(doubt)
    print(context, {
      id,
      archive,
      done: `would be restored: ${words[plan.case]}`,
      case: plan.case,
      dryRun: true,
      warnings,
    })
    return
  }
  await confirm(`This restores ${id} as of ${archive.manifest.services[0]?.at}`, id, options.yes)
  for (const { service } of matched.present) await service.tenancy.prepare({ patienceMs: 0 })
  const of = matched.present.map(({ service }) => service)
  const detail = { archive: archive.label, sha256: archive.sha256, from: archive.manifest.tenant?.id ?? null }
  const bytes = matched.present.reduce((sum, { part }) => sum + part.bytes, 0)
  const progress = startProgress('restore', bytes, { show: showProgress, bytes: true })
  try {
    const plan = await underAudit(of, { command: 'restore', tenant: id, detail }, () =>
      recover({
        ...recovery,
        onBytes: progress.step,
        onSettled: left => {
          progress.end()
          context.output.line(`A restore of ${id} was killed: its leftovers (${left.join(', ')}) are removed now.`)
        },
      }),
    )
    progress.end()
    print(context, { id, archive, done: `is restored: ${words[plan.case]}`, case: plan.case, dryRun: false, warnings })
  } finally {
    progress.end()
  }
}

const words = {
  new: 'a new tenant',
  deleted: 'its deletion is taken back',
  missing: 'its missing databases',
  replace: 'its data replaced; it is suspended as before',
  finished: 'the run that was killed had come so far; nothing of this archive was read into it now',
} as const

function print(
  { output }: Context,
  result: { id: TenantId; archive: Archive; done: string; case: string; dryRun: boolean; warnings: readonly string[] },
): void {
  const { services } = result.archive.manifest
  output.table(
    ['service', 'at', 'schema', 'tables', 'size'],
    services.map(one => [one.service, one.at, one.migrations.length, one.contents.tables.length, sizeOf(one.bytes)]),
  )
  const { id, dryRun, warnings } = result
  for (const warning of warnings) output.line(warning)
  output.line(`${id} ${result.done}.`)
  const { label, sha256 } = result.archive
  output.document({ tenant: id, case: result.case, dryRun, archive: label, sha256, warnings })
}

/** @throws UsageError for a part whose service was not named */
function match({ manifest }: Archive, services: readonly OpenService[], partial: boolean) {
  const known = new Map(services.map(service => [service.name, service]))
  const present = manifest.services.flatMap(part => {
    const service = known.get(part.service)
    if (!service && !partial) {
      throw new UsageError(
        `The archive holds ${part.service}, and that service is not configured: name it in --config, or restore one service with --service.`,
      )
    }
    return service ? [{ part, service }] : []
  })
  if (present.length === 0) {
    throw new UsageError(
      `The archive holds ${manifest.services.map(({ service }) => service).join(', ')}, and none of the named services.`,
    )
  }
  const absent = services.filter(({ name }) => !present.some(({ part }) => part.service === name))
  return { present, absent }
}

async function restoreCentral(context: Context, { archive, services, options, signal }: Work): Promise<void> {
  const { output, showProgress } = context
  const { restoreCentralDatabase } = await import('../../operations/archive/restore-central.js')
  const programs = await programsOf(options.programs)
  const { present } = match(archive, services, true)
  const progress = startProgress('restore', archive.bytes, { show: showProgress && !options.dryRun, bytes: true })
  const each = async (dryRun: boolean): Promise<void> => {
    for (const { part, service } of present) {
      const dump = () => archive.part(part, progress.step)
      await restoreCentralDatabase(service.tenancy.transfer, { part, dump, programs, signal, dryRun })
    }
  }
  try {
    // Every one is looked at before the first is filled.
    await each(true)
    if (!options.dryRun) {
      await confirm('This fills the central databases', 'central', options.yes)
      await each(false)
    }
    const detail = { archive: archive.label, sha256: archive.sha256, central: true }
    // Before it there was no table for it.
    if (!options.dryRun)
      await underAudit(
        present.map(({ service }) => service),
        { command: 'restore', tenant: null, detail },
        async () => {},
      )
  } finally {
    progress.end()
  }
  const names = present.map(({ part }) => part.service)
  output.line(`The central databases of ${names.join(', ')} ${options.dryRun ? 'would be' : 'are'} restored.`)
  output.document({ central: names, dryRun: options.dryRun === true, archive: archive.label, sha256: archive.sha256 })
}
