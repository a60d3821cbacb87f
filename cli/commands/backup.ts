// The command `backup`: one tenant into one archive, or all of them and the central databases into a folder. The work
// is in operations/; this names files, writes the audit rows, and prints.
import { mkdir, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import type { BackupJournal } from '../../operations/archive/backup-journal.js'
import { underAudit } from '../../operations/audit-trail.js'
import type { TransferParts } from '../../operations/copying/parts.js'
import type { Programs } from '../../operations/copying/pg-programs.js'
import type { ShapeLine } from '../../operations/copying/schema-shape.js'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { sentenceOf, UsageError } from '../../operations/outcome.js'
import { release } from '../../operations/release.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { type Context, contextOf, wholeNumber } from '../context.js'
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
The archive is a tar file: one pg_dump of each service, and a manifest with versions, sizes, checksums and the number and
checksum of every table's rows. Each service is one snapshot. Before it gets its name, its definitions are restored from it
into a database beside the tenant's, compared and dropped; --verify does so with all rows. --all writes <tenant>.tar for every tenant that has databases
and central.tar into a folder that must be new or empty. Archives hold customers' data, and central.tar the keys that sign
tokens: they are written readable by their owner alone, and are not encrypted. See docs/backup.md.`

export function backupCommand(): Command {
  return new Command('backup')
    .description('all databases of a tenant into one archive')
    .argument('[tenant]', 'its id', tenantId)
    .option('--all', 'every tenant, and the central databases')
    .option('--to <file or folder>', 'where; default <tenant>-<time>.tar here')
    .option('--verify', 'restore all of it into a database beside the tenant’s and compare, before it counts')
    .option('--parallel <n>', 'with --all: archives side by side', wholeNumber(1), 4)
    .option('--programs <folder>', 'where pg_dump is')
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

export async function programsOf(folder: string | undefined): Promise<Programs> {
  const { inherited } = await import('../../operations/child-environment.js')
  const { createPrograms } = await import('../../operations/copying/pg-programs.js')
  return createPrograms({ folder, environment: inherited() })
}

/** Says which services have no journal of backups yet. */
async function journalOf(
  target: string,
  planned: ReadonlyMap<TenantId | null, readonly OpenService[]>,
): Promise<BackupJournal> {
  const { beginBackup } = await import('../../operations/archive/backup-journal.js')
  const journal = await beginBackup(target, planned)
  if (journal.without.length > 0)
    process.stderr.write(
      `${journal.without.join(', ')}: the central database is of an older release and has no journal of backups, so the console does not show this one.\n`,
    )
  return journal
}

/** The run is over in the journal when the work is. */
async function underJournal<T>(
  journal: BackupJournal,
  work: (archive: BackupJournal['archive']) => Promise<T>,
): Promise<T> {
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

async function backUpOne(
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
  const { backUpCentral, backUpTenant } = await import('../../operations/archive/backup.js')
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

interface Outcome {
  readonly archive: string
  readonly bytes: number | null
  readonly warnings: readonly string[]
  readonly error: string | null
}

async function backUpAll(
  { output, showProgress }: Context,
  services: readonly OpenService[],
  programs: Programs,
  { folder, signal, verify, parallel }: { folder: string; signal: AbortSignal; verify: boolean; parallel: number },
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if ((await readdir(folder)).length > 0) throw new UsageError(`${folder} is not empty: name a new folder.`)
  const held = await tenantsOf(services)
  const progress = startProgress('archives', held.size + 1, { show: showProgress })
  const outcomes = new Map<TenantId | null, Outcome>()
  // Most tenants have the same definitions: those are tried out once.
  const proven = new Map<string, readonly ShapeLine[]>()
  const one = async (
    archive: BackupJournal['archive'],
    id: TenantId | null,
    of: readonly OpenService[],
  ): Promise<void> => {
    const to = join(folder, `${id ?? 'central'}.tar`)
    try {
      const made = await archive(id, () => backUpOne(of, programs, { id, to, signal, verify, proven }))
      const bytes = made.services.reduce((sum, one) => sum + one.bytes, 0)
      outcomes.set(id, { archive: to, bytes, warnings: made.warnings, error: null })
    } catch (error) {
      signal.throwIfAborted()
      outcomes.set(id, { archive: to, bytes: null, warnings: [], error: sentenceOf(error) })
    }
    progress.step()
  }
  const planned = new Map<TenantId | null, readonly OpenService[]>([...held, [null, services]])
  try {
    await underJournal(await journalOf(resolve(folder), planned), async archive => {
      const line = held[Symbol.iterator]()
      // The first by itself: the others then have its definitions, mostly theirs too, tried out already.
      const [first] = held
      if (first) {
        line.next()
        await one(archive, ...first)
      }
      const worker = async (): Promise<void> => {
        for (const [id, of] of line) await one(archive, id, of)
      }
      // All to their end: an interrupted one leaves nothing that writes.
      const ends = await Promise.allSettled(Array.from({ length: parallel }, worker))
      for (const end of ends) if (end.status === 'rejected') throw end.reason
      // Last the central databases: every tenant they know has an archive, or was made while this ran and is named by `doctor`
      // after a restore.
      await one(archive, null, services)
    })
  } finally {
    progress.end()
  }
  const all = [...planned.keys()].flatMap(id => outcomes.get(id) ?? [])
  output.table(
    ['archive', 'size', 'error'],
    all.map(({ archive, bytes, error }) => [archive, bytes === null ? null : sizeOf(bytes), error]),
  )
  for (const { archive, warnings } of all) for (const one of warnings) output.line(`${archive}: ${one}`)
  output.document({ archives: all })
  const failed = all.filter(({ error }) => error !== null).length
  if (failed > 0) throw new Error(`${failed} of ${all.length} were not written: see above.`)
}

/** Every tenant with a database, and the services that have one. */
async function tenantsOf(services: readonly OpenService[]): Promise<Map<TenantId, OpenService[]>> {
  const held = new Map<TenantId, OpenService[]>()
  for (const service of services) {
    const rows = await service.tenancy.transfer.central<{ id: TenantId }[]>`
      select id from tenants where certificate is not null and provisioned <> 'removed' order by id`
    for (const { id } of rows) held.set(id, [...(held.get(id) ?? []), service])
  }
  return held
}
