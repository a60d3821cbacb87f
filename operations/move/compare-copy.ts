// The comparison of a frozen tenant's database with its copy on another instance, whose materialized views are made anew. Invariant: any
// difference is thrown. Safe to repeat.
// If either server is down: it fails with that server's reason.

import { applyDatabaseSettings } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import type { SessionClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { besideDump } from '../copying/beside-dump.js'
import { contentsDigest, readContents } from '../copying/compare-contents.js'
import { refreshViews, unrefreshedText } from '../copying/materialized-views.js'
import type { Programs } from '../copying/pg-programs.js'
import { refuseUnlike } from '../copying/rehearsal.js'
import { serverRelease } from '../copying/server-release.js'
import { cancelledOn } from './online/cancel-on.js'
import type { MoveParts } from './parts.js'
import { instanceAt } from './reach-instance.js'
import { rehearseMove } from './rehearse-move.js'

export interface CompareOptions extends MoveParts {
  readonly from: string
  readonly to: string
  readonly programs: Programs
  /** Aborted: views are made no further, and are left without rows perhaps. */
  readonly signal: AbortSignal
}

/** @returns one checksum of what both hold. @throws TRANSFER_FAILED naming the differences, or the views that cannot be refreshed */
export async function compareCopy(options: CompareOptions, id: TenantId): Promise<string> {
  const { service, withDirectConnection, sessionAt, from, to, signal } = options
  const name = tenantDatabaseName(id, service)
  const here = instanceAt(options, from)
  const beside = await here.withDirectConnection(sql => besideDump(sql, name), name)
  await sessionAt(to)(sql => applyDatabaseSettings(sql, name, beside.settings))
  const [original, copied] = await Promise.all([
    here.withDirectConnection(sql => readContents(sql), name),
    withDirectConnection(name, sql => readContents(sql), to),
  ])
  const programs = await options.programs.suiting(await serverRelease(here))
  const again = () => rehearseMove(options, { programs, database: name, from, to, beside })
  await refuseUnlike(original, copied, { database: name, again })
  const populated = beside.views.filter(view => view.populated).map(view => view.name)
  const at = <T>(instance: string, fn: (sql: SessionClient) => Promise<T>) => sessionAt(instance)(fn)
  const failed = await withDirectConnection(
    name,
    inside =>
      cancelledOn(signal, { admin: { at }, sessions: [{ at: to, sql: inside }] }, () =>
        refreshViews(inside, populated),
      ),
    to,
  )
  if (failed.length > 0 && !signal.aborted) {
    throw new TransferFailed(
      `Materialized views of ${name} cannot be refreshed in the copy: ${unrefreshedText(failed)}. Refresh them where the tenant is, then move it.`,
    )
  }
  return contentsDigest(copied)
}
