// The work of the command `restore --central`: every central database is looked at before the first is filled.
import { matchServices } from '../operations/archive/match-services.js'
import { underAudit } from '../operations/audit-trail.js'
import { programsOf } from './backup-work.js'
import { confirm } from './confirm.js'
import type { Context } from './context.js'
import { startProgress } from './progress.js'
import type { RestoreWork } from './restore-tenant.js'

export async function restoreCentral(
  context: Context,
  { archive, services, options, signal }: RestoreWork,
): Promise<void> {
  const { output, showProgress } = context
  const { restoreCentralDatabase } = await import('../operations/archive/restore-central.js')
  const programs = await programsOf(options.programs)
  const { present } = matchServices(archive, services, true)
  const progress = startProgress('restore', archive.bytes, { show: showProgress && !options.dryRun, bytes: true })
  const each = async (dryRun: boolean): Promise<void> => {
    for (const { part, service } of present) {
      const dump = () => archive.part(part, progress.step)
      await restoreCentralDatabase(service.tenancy.transfer, { part, dump, programs, signal, dryRun })
    }
  }
  try {
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
