// The parts of `backup` that one archive and many share: the client programs, the journal of the run, and one archive under its audit
// row.
import type { BackupJournal } from '../operations/archive/backup-journal.js'
import { underAudit } from '../operations/audit-trail.js'
import type { TransferParts } from '../operations/copying/parts.js'
import type { Programs } from '../operations/copying/pg-programs.js'
import type { ShapeLine } from '../operations/copying/schema-shape.js'
import type { OpenService } from '../operations/open-services.js'
import { release } from '../operations/release.js'
import type { TenantId } from '../plugins/distributed-tenant/types.js'

export async function programsOf(folder: string | undefined): Promise<Programs> {
  const { inherited } = await import('../operations/child-environment.js')
  const { createPrograms } = await import('../operations/copying/pg-programs.js')
  return createPrograms({ folder, environment: inherited() })
}

/** Says which services have no journal of backups yet. */
export async function journalOf(
  target: string,
  planned: ReadonlyMap<TenantId | null, readonly OpenService[]>,
): Promise<BackupJournal> {
  const { beginBackup } = await import('../operations/archive/backup-journal.js')
  const journal = await beginBackup(target, planned)
  if (journal.without.length > 0)
    process.stderr.write(
      `${journal.without.join(', ')}: the central database is of an older release and has no journal of backups, so the console does not show this one.\n`,
    )
  return journal
}

/** The run is over in the journal when the work is. */
export async function underJournal<T>(
  journal: BackupJournal,
  work: (archive: BackupJournal['archive']) => Promise<T>,
): Promise<T> {
  return journal.carryOut(async () => {
    let done: T
    try {
      done = await work(journal.archive)
    } catch (error) {
      // The reason of the work is the one to read.
      await journal.end('stopped').catch(() => {})
      throw error
    }
    await journal.end('done')
    return done
  })
}

interface Made {
  readonly archive: string
  readonly sha256: string
  readonly tenant: string | null
  readonly services: readonly {
    readonly service: string
    readonly at: string
    readonly schemaVersion: number
    readonly tables: number
    readonly rows: number
    readonly bytes: number
    readonly sha256: string
  }[]
  readonly warnings: readonly string[]
}

export async function backUpOne(
  services: readonly OpenService[],
  programs: Programs,
  how: {
    id: TenantId | null
    to: string
    signal: AbortSignal
    verify: boolean
    proven?: Map<string, readonly ShapeLine[]>
    onBytes?: (bytes: number) => void
  },
): Promise<Made> {
  const { backUpCentral, backUpTenant } = await import('../operations/archive/backup.js')
  const { id, to, ...more } = how
  return underAudit(services, { command: 'backup', tenant: id, detail: { to } }, async add => {
    const parts: TransferParts[] = services.map(({ tenancy }) => tenancy.transfer)
    const options = { services: parts, programs, release: release(), to, ...more }
    const { archive, sha256, manifest, warnings } = id ? await backUpTenant(id, options) : await backUpCentral(options)
    add({ sha256 })
    return {
      archive,
      sha256,
      tenant: id,
      services: manifest.services.map(one => ({
        service: one.service,
        at: one.at,
        schemaVersion: one.migrations.length,
        tables: one.contents.tables.length,
        rows: one.contents.tables.reduce((sum, { rows }) => sum + rows, 0),
        bytes: one.bytes,
        sha256: one.sha256,
      })),
      warnings,
    }
  })
}
