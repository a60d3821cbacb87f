// The work of the command `restore` on one tenant: plans it, asks, writes the audit rows, and prints.
import type { Archive } from '../operations/archive/archive-reader.js'
import { matchServices } from '../operations/archive/match-services.js'
import type { RecoveryOptions } from '../operations/archive/restore-plan.js'
import { underAudit } from '../operations/audit-trail.js'
import { identityApi } from '../operations/identity-api.js'
import type { OpenService } from '../operations/open-services.js'
import type { TenantId } from '../plugins/distributed-tenant/types.js'
import { programsOf } from './backup-work.js'
import { confirm } from './confirm.js'
import type { Context } from './context.js'
import { sizeOf } from './output.js'
import { startProgress } from './progress.js'

export interface RestoreOptions {
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

export interface RestoreWork {
  readonly archive: Archive
  readonly services: readonly OpenService[]
  readonly options: RestoreOptions
  readonly signal: AbortSignal
}

export async function restoreTenant(
  context: Context,
  {
    archive,
    services,
    options,
    signal,
    id,
    partial,
  }: RestoreWork & { readonly id: TenantId; readonly partial: boolean },
): Promise<void> {
  const { targets, showProgress } = context
  const { planRecovery } = await import('../operations/archive/restore-plan.js')
  const { recover } = await import('../operations/archive/restore-tenant.js')
  const { createServiceRestore } = await import('../operations/archive/restore-service.js')
  const { unproven } = await import('../operations/archive/compatibility.js')
  const { authorityOf } = await import('../operations/archive/identity-authority.js')
  const programs = await programsOf(options.programs)
  const matched = matchServices(archive, services, partial)
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
