// A part of an archive becomes a database beside the tenant's: restored, compared with the manifest, and with the service's own
// schema and the registry's certificate, so that the provisioner takes it as its own.
// Invariant: a database that differs from the manifest stays beside the tenant's and is not used.
import type { Readable } from 'node:stream'
import { applyDatabaseSettings } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { createDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import type { MigrationSet } from '../../postgres/migrations/migration-files.js'
import { adopt } from '../copying/adopt-database.js'
import { differences, differencesText, readContents } from '../copying/compare-contents.js'
import { giveDefaultRights, withoutDefaultRights } from '../copying/default-rights.js'
import { dropPublicSchema } from '../copying/empty-database.js'
import { refreshViews, unrefreshedText } from '../copying/materialized-views.js'
import type { Programs } from '../copying/pg-programs.js'
import type { Part } from './manifest.js'
import type { Place } from './tenant-place.js'

export interface RestoreSource {
  readonly part: Part
  readonly programs: Programs
  /** Of the archive: it stands in the mark until the provisioner has written its own. */
  readonly sha256: string
  /** The differences from the original, in a sentence. */
  readonly onWarning?: ((text: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Copy extends RestoreSource {
  readonly service: string
  readonly place: Place
  /** There is no database of this name. */
  readonly name: string
  readonly sets: readonly MigrationSet[]
  /** @returns the registry's certificate of the tenant, asked for when the rows are here */
  certify(): Promise<string>
}

const COPY = 'distributed-tenant:copy:v1'

/** @throws TRANSFER_FAILED */
export async function buildCopy(to: Copy, dump: () => Readable): Promise<void> {
  const { service, place, name, sets, certify, part, programs, sha256, onWarning, signal } = to
  // Of format 2: with rights and our own schema.
  const whole = part.settings !== undefined
  const { database: locale } = part
  await place.session(sql => createDatabase(sql, name, { template: 'template0', locale, comment: `${COPY} ${sha256}` }))
  const hasPublic = part.contents.shape.some(({ kind, name }) => kind === 'schema' && name === 'public')
  if (!hasPublic) await place.withDirectConnection(name, dropPublicSchema)
  const { user } = place.addressOf(name)
  const renamed = part.role !== undefined && part.role !== user
  // Default rights name the role whose objects they are for; all else in a dump that is its owner's says no name.
  const entries = renamed ? withoutDefaultRights(await programs.list(dump(), signal)) : undefined
  await programs.restore(dump(), place.addressOf(name), { whole, entries, signal })
  if (renamed) await place.withDirectConnection(name, inside => giveDefaultRights(inside, part.contents.shape))
  const settings = (part.settings ?? []).map(one => (one.role === part.role && renamed ? { ...one, role: user } : one))
  await place.session(sql => applyDatabaseSettings(sql, name, settings))
  const certificate = await certify()
  await place.withDirectConnection(name, async inside => {
    const contents = await readContents(inside, { asTables: !whole })
    const wrong = differences(part.contents, contents, { by: 'wording', ...(!whole && { only: 'rows' }) })
    if (wrong.length > 0) {
      throw new TransferFailed(
        `What was restored of ${service} is not what the archive says (${differencesText(wrong)}): nothing was put in its place.`,
      )
    }
    signal?.throwIfAborted()
    const failed = await refreshViews(inside, part.views ?? [])
    if (failed.length > 0) {
      onWarning?.(
        `${service}: materialized views without rows, as they cannot be refreshed: ${unrefreshedText(failed)}.`,
      )
    }
    await adopt(inside, { name, sets, baseline: part.migrations.length, certificate, whole })
  })
}
