// The command `backup`: one tenant into one archive, or all of them and the central databases into a folder. The work
// is in operations/; this names files, writes the audit rows, and prints.
import { resolve } from 'node:path'
import { Command } from 'commander'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { backUpAll } from '../backup-all.js'
import { backUpOne, journalOf, programsOf, underJournal } from '../backup-work.js'
import { contextOf, wholeNumber } from '../context.js'
import { interruptible } from '../interrupt.js'
import { sizeOf } from '../output.js'
import { startProgress } from '../progress.js'
import { tenantId } from '../tenant-id.js'

interface Options {
  readonly all?: boolean
  readonly to?: string
  readonly programs?: string
  readonly verify?: boolean
  readonly parallel: number
}

const about = `
The archive is a tar file. It holds one pg_dump of each service, and a manifest with versions, sizes, checksums, and the number and
checksum of every table's rows. The dump of a service is one snapshot.

Before the archive gets its name, its definitions are restored into a new database, compared, and dropped. --verify does the same with all
rows. --all writes <tenant>.tar for every tenant with databases, and central.tar, into a folder that must be new or empty.

Archives hold customers' data, and central.tar the keys that sign tokens. Only their owner can read the files. They are not encrypted. See
docs/backup.md.`

export function backupCommand(): Command {
  return new Command('backup')
    .description('write all databases of a tenant into one archive')
    .argument('[tenant]', 'its id', tenantId)
    .option('--all', 'every tenant, and the central databases')
    .option('--to <file or folder>', 'the file or folder to write; default <tenant>-<time>.tar in this folder')
    .option('--verify', 'restore all rows into a new database and compare them')
    .option('--parallel <n>', 'with --all: how many archives at a time', wholeNumber(1), 4)
    .option('--programs <folder>', 'the folder of pg_dump')
    .addHelpText('after', about)
    .action(async (tenant: TenantId | undefined, options: Options, command: Command) => {
      if ((tenant === undefined) === (options.all !== true)) throw new UsageError('Name a tenant, or pass --all.')
      if (options.all && !options.to) throw new UsageError('--all needs a folder: pass --to <folder>.')
      const context = await contextOf(command)
      await withServices(context.targets, services =>
        interruptible(async signal => {
          const programs = await programsOf(options.programs)
          const { verify = false, parallel } = options
          if (tenant === undefined) {
            return backUpAll(context, services, programs, { folder: options.to as string, signal, verify, parallel })
          }
          const id = tenant
          const stamp = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
          const to = resolve(options.to ?? `${id}-${stamp}.tar`)
          const total = await bytesOf(services, id)
          const journal = await journalOf(to, new Map([[id, services]]))
          const progress = startProgress('backup', total, { show: context.showProgress, bytes: true })
          try {
            const made = await underJournal(journal, archive =>
              archive(id, () => backUpOne(services, programs, { id, to, signal, verify, onBytes: progress.step })),
            )
            progress.end()
            context.output.table(
              ['service', 'at', 'schema', 'tables', 'rows', 'size'],
              made.services.map(one => [
                one.service,
                one.at,
                one.schemaVersion,
                one.tables,
                one.rows,
                sizeOf(one.bytes),
              ]),
            )
            for (const warning of made.warnings) context.output.line(warning)
            context.output.line(`${to}: ${sizeOf(made.services.reduce((sum, { bytes }) => sum + bytes, 0))}.`)
            context.output.document(made)
          } finally {
            progress.end()
          }
        }),
      )
    })
}

/** An estimate of the size: a dump is smaller than its database, by an unknown factor. */
async function bytesOf(services: readonly OpenService[], id: TenantId): Promise<number> {
  const { placeOf } = await import('../../operations/archive/tenant-place.js')
  let sum = 0
  for (const { tenancy } of services) {
    const name = tenantDatabaseName(id, tenancy.settings.service)
    const { session } = await placeOf(tenancy.transfer, id)
    const [row] = await session(
      sql => sql<{ bytes: number }[]>`
        select sum(pg_database_size(oid))::float8 as bytes from pg_database where datname = ${name}`,
    )
    sum += row?.bytes ?? 0
  }
  return sum
}
