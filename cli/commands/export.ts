// The command `export`: a tenant's data for a customer that leaves, in open formats.
import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import type { ExportFormat } from '../../operations/archive/export.js'
import { underAudit } from '../../operations/audit-trail.js'
import { withServices } from '../../operations/open-services.js'
import { release } from '../../operations/release.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { programsOf } from '../backup-work.js'
import { collect, contextOf } from '../context.js'
import { interruptible } from '../interrupt.js'
import { sizeOf } from '../output.js'
import { startProgress } from '../progress.js'
import { tenantId } from '../tenant-id.js'

interface Options {
  readonly to: string
  readonly format: ExportFormat
  readonly exact?: boolean
  readonly leaveOut?: readonly string[]
  readonly keep?: readonly string[]
  readonly programs?: string
}

const about = `
Writes schema.sql and one file per table for each service, and a manifest with counts and checksums. The target is a folder, or one tar
file if the name ends in .tar.

CSV is what COPY reads. A cell that a spreadsheet would run as a formula gets a leading ' (--exact: without). Columns that are named like
secrets (password, token, …) are left out, and the manifest names them. --leave-out and --keep take names like
employee.public.employees.email. See docs/backup.md.`

export function exportCommand(): Command {
  return new Command('export')
    .description('write a tenant’s data in open formats, for a customer that leaves')
    .argument('<tenant>', 'its id', tenantId)
    .requiredOption('--to <folder or file>', 'a new folder, or a file that ends in .tar')
    .addOption(new Option('--format <format>', 'the format of the tables').choices(['jsonl', 'csv']).default('jsonl'))
    .option('--exact', 'CSV: write cells that begin with = + - @ unchanged')
    .option('--leave-out <column>', 'also leave out this column (repeat it, or separate by commas)', collect)
    .option('--keep <column>', 'keep this column: it is no secret', collect)
    .option('--programs <folder>', 'the folder of pg_dump')
    .addHelpText('after', about)
    .action(async (id: TenantId, options: Options, command: Command) => {
      const { targets, output, showProgress } = await contextOf(command)
      const to = resolve(options.to)
      await withServices(targets, services =>
        interruptible(async signal => {
          const { exportTenant } = await import('../../operations/archive/export.js')
          const { createFolder, createTar } = await import('../../operations/archive/archive-writer.js')
          const { countTables } = await import('../../operations/archive/export.js')
          const parts = services.map(({ tenancy }) => tenancy.transfer)
          const progress = startProgress('tables', await countTables(id, parts), { show: showProgress })
          const deed = { command: 'export', tenant: id, detail: { to, format: options.format } }
          const manifest = await underAudit(services, deed, async add => {
            const parcel = to.endsWith('.tar') ? await createTar(to) : await createFolder(to)
            try {
              const made = await exportTenant(id, {
                services: parts,
                programs: await programsOf(options.programs),
                release: release(),
                format: options.format,
                cells: options.exact ? 'exact' : 'guarded',
                leaveOut: options.leaveOut ?? [],
                keep: options.keep ?? [],
                parcel,
                signal,
                onTable: progress.step,
              })
              add({ rows: made.services.flatMap(({ tables }) => tables).reduce((sum, { rows }) => sum + rows, 0) })
              return made
            } finally {
              await parcel.abort()
              progress.end()
            }
          })
          output.table(
            ['service', 'table', 'rows', 'size', 'left out'],
            manifest.services.flatMap(({ service, tables }) =>
              tables.map(one => [service, one.table, one.rows, sizeOf(one.bytes), one.leftOut.join(', ')]),
            ),
          )
          output.line(`${to} is written.`)
          output.document({ to, ...manifest })
        }),
      )
    })
}
