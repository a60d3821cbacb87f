// The run of `backup --all`: an archive for each tenant, some side by side, then one of the central databases.
// Invariant: an archive that fails is named at the end, and the others are written.
import { mkdir, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BackupJournal } from '../operations/archive/backup-journal.js'
import type { Programs } from '../operations/copying/pg-programs.js'
import type { ShapeLine } from '../operations/copying/schema-shape.js'
import type { OpenService } from '../operations/open-services.js'
import { sentenceOf, UsageError } from '../operations/outcome.js'
import type { TenantId } from '../plugins/distributed-tenant/types.js'
import { backUpOne, journalOf, underJournal } from './backup-work.js'
import type { Context } from './context.js'
import { sizeOf } from './output.js'
import { startProgress } from './progress.js'

interface Outcome {
  readonly archive: string
  readonly bytes: number | null
  readonly warnings: readonly string[]
  readonly error: string | null
}

export async function backUpAll(
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
