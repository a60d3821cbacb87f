// The copy of one tenant's database from the source, and its comparison with it: rows, definitions and settings.
// Invariant: a copy that differs is an error, and so is one whose source was open meanwhile. What is copied is never changed here.
// If the disk of the target's server is nearly full: the copy ends before. If either server is down: it fails, and its caller drops it.

import { join } from 'node:path'
import { applyDatabaseSettings } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import type { SqlClient } from '../../plugins/distributed-tenant/types.js'
import { besideDump } from '../copying/beside-dump.js'
import { type Contents, contentsDigest, readContents } from '../copying/compare-contents.js'
import type { Instance } from '../copying/external-instance.js'
import { isFrozen } from '../copying/freeze.js'
import type { TransferTenant } from '../copying/journal.js'
import { refreshViews, unrefreshedText } from '../copying/materialized-views.js'
import { refuseLargeObjects } from '../copying/not-copyable.js'
import type { TransferParts } from '../copying/parts.js'
import { LARGE_BYTES, type Programs } from '../copying/pg-programs.js'
import { refuseUnlike, rehearse } from '../copying/rehearsal.js'
import { OF_THE_SERVER } from '../copying/schema-shape.js'
import { serverRelease } from '../copying/server-release.js'
import { copiedSettings } from '../copying/settings-left-out.js'
import { type WatchedDisk, whileRoom } from '../copying/watch-disk.js'
import type { Administrator } from '../move/online/administrator.js'
import { TARGET } from './online/places.js'

export interface TenantCopyOptions extends TransferParts {
  readonly transfer: string
  readonly source: Instance
  readonly programs: Programs
  /** Where copies of large databases lie for a while. */
  readonly folder: string
  /** Jobs on either side for a large one. */
  readonly jobs: number
  /** From how many bytes on one is large; default 256 MB. */
  readonly largeBytes?: number
  /** Of this service; null: no login is given, which a tenant without a freeze wants. */
  readonly admin?: Administrator | null
}

export interface TenantCopy {
  isLarge(row: Pick<TransferTenant, 'bytes'>): boolean
  /**
   * Fills the target, which is made and empty.
   * @param snapshot of a transaction at the source; without one, what is there at that moment
   */
  fill(row: TransferTenant, snapshot?: string, signal?: AbortSignal): Promise<void>
  /** The same, for as long as the target's server has room. @throws TRANSFER_FAILED, also before it is full */
  fillWhileRoom(row: TransferTenant): Promise<void>
  /** The source's definitions as they are spelled at the target. */
  again(row: TransferTenant): Promise<Contents>
  /** @returns one checksum of the contents of both. @throws TRANSFER_FAILED when they differ, or the source was opened */
  verify(row: TransferTenant, inside: SqlClient, frozenAt: string): Promise<string>
}

export function createTenantCopy(options: TenantCopyOptions): TenantCopy {
  const { service, session, source, transfer, report, largeBytes = LARGE_BYTES } = options

  const isLarge = ({ bytes }: Pick<TransferTenant, 'bytes'>): boolean => bytes >= largeBytes

  const suiting = async () => options.programs.suiting(await serverRelease(source))

  const besideOf = ({ sourceDatabase }: TransferTenant) =>
    source.withDirectConnection(sql => besideDump(sql, sourceDatabase), sourceDatabase)

  async function fill(row: TransferTenant, snapshot?: string, signal?: AbortSignal): Promise<void> {
    const name = tenantDatabaseName(row.id, service)
    const from = { ...source.address, database: row.sourceDatabase }
    const to = { ...options.database, database: name }
    const { views, settings } = await besideOf(row)
    const programs = await suiting()
    if (isLarge(row)) {
      const folder = join(options.folder, `${transfer}-${row.id}-${service}`)
      await programs.parallel(from, to, { folder, jobs: options.jobs, views, snapshot, signal })
    } else await programs.pipe(from, to, { views, snapshot, signal })
    // The plan names the others.
    await session(async sql => applyDatabaseSettings(sql, name, await copiedSettings(sql, settings)))
    report({ type: 'restored', id: row.id })
  }

  function fillWhileRoom(row: TransferTenant): Promise<void> {
    const { admin, database } = options
    const { host, port } = database
    const disk: WatchedDisk = {
      label: service,
      host,
      port,
      ask: fn => (admin ? admin.at(TARGET, fn) : session(fn)),
    }
    return whileRoom(disk, signal => fill(row, undefined, signal))
  }

  async function again(row: TransferTenant): Promise<Contents> {
    const from = { ...source.address, database: row.sourceDatabase }
    const programs = await suiting()
    return rehearse(options, {
      service,
      ...(await besideOf(row)),
      settings: [],
      fill: database => programs.pipe(from, { ...options.database, database }, { definitions: true }),
    })
  }

  async function verify(row: TransferTenant, inside: SqlClient, frozenAt: string): Promise<string> {
    const [original, copied] = await Promise.all([
      source.withDirectConnection(async sql => {
        if (!(await isFrozen(sql, row.sourceDatabase, frozenAt))) {
          throw new TransferFailed(
            `${row.sourceDatabase} was opened during the copy: close it, then go on with --resume.`,
          )
        }
        await refuseLargeObjects(sql, row.sourceDatabase)
        return readContents(sql)
      }, row.sourceDatabase),
      readContents(inside),
    ])
    const how = { database: row.sourceDatabase, without: OF_THE_SERVER, again: () => again(row) }
    await refuseUnlike(original, copied, how)
    const populated = (await besideOf(row)).views.filter(view => view.populated).map(view => view.name)
    const failed = await refreshViews(inside, populated)
    if (failed.length > 0) {
      throw new TransferFailed(
        `Materialized views of ${row.sourceDatabase} cannot be refreshed in the copy: ${unrefreshedText(failed)}. Correct them at the source.`,
      )
    }
    return contentsDigest(copied)
  }

  return { isLarge, fill, fillWhileRoom, again, verify }
}
