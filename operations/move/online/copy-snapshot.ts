// The copy of a tenant's database at the snapshot of a slot, and its comparison there: all rows of all tables and every definition.
// Invariant: the subscription begins only once the target's own snapshot is taken, so that what is compared stands still on both sides.
// If the target's disk runs full, or a server is cut off: the copy fails with that server's reason.

import { join } from 'node:path'
import { applyDatabaseSettings } from '../../../plugins/distributed-tenant/databases/database-settings.js'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { besideDump } from '../../copying/beside-dump.js'
import { alike, type Contents, contentsOf } from '../../copying/compare-contents.js'
import { dropPublicSchema } from '../../copying/empty-database.js'
import type { TransferTenant } from '../../copying/journal.js'
import { LARGE_BYTES } from '../../copying/pg-programs.js'
import { refuseUnlike } from '../../copying/rehearsal.js'
import { serverRelease } from '../../copying/server-release.js'
import { rehearseMove } from '../rehearse-move.js'
import { WITHOUT_TIMEOUTS } from './administrator.js'
import { cancelledOn } from './cancel-on.js'
import type { OnlineRun } from './online-run.js'
import { createReporter } from './progress.js'

/** By pg_dump and pg_restore, from the snapshot of the slot. */
export async function copySnapshot(
  { options, here, there, goOn, note }: OnlineRun,
  row: TransferTenant,
  snapshot: string,
): Promise<TransferTenant> {
  const { service, run, to, report, withDirectConnection, signal } = options
  const programs = await options.programs.suiting(await serverRelease(here))
  const database = tenantDatabaseName(row.id, service)
  const progress = createReporter(report, row.id)
  const begun = await note(row, { step: 'copying' })
  const [out, into] = [
    { ...here.address, database },
    { ...there.address, database },
  ]
  const { hasPublic, views } = await here.withDirectConnection(sql => besideDump(sql, database), database)
  if (!hasPublic) await withDirectConnection(database, dropPublicSchema, to)
  const what = { whole: true, views, snapshot, signal }
  const watching = progress.watchCopy(row.bytes, () =>
    options.sessionAt(to)(async sql => {
      const [size] = await sql<{ bytes: number }[]>`select pg_database_size(${database}::name)::float8 as bytes`
      return size?.bytes ?? 0
    }),
  )
  try {
    if (row.bytes < LARGE_BYTES) await programs.pipe(out, into, what)
    else {
      const folder = join(options.folder, `${run}-${row.id}-${service}`)
      await programs.parallel(out, into, { folder, jobs: options.jobs, compress: 0, ...what })
    }
  } catch (error) {
    // A program that was ended for it reports that alone.
    goOn(row.id)
    throw error
  } finally {
    watching.stop()
  }
  report({ type: 'restored', id: row.id })
  return note(begun, { step: 'copied' })
}

/** Both sides at the snapshot: the target's own is taken before the subscription begins, which then goes on meanwhile. */
export async function compareSnapshot(
  { options, here, there, replication, linkOf, goOn, note }: OnlineRun,
  row: TransferTenant,
  { snapshot, held }: { readonly snapshot: string; readonly held: SessionClient },
): Promise<TransferTenant> {
  const { service, from, to, report, admin, signal } = options
  const database = tenantDatabaseName(row.id, service)
  const link = linkOf(row.id)
  const beside = await here.withDirectConnection(sql => besideDump(sql, database), database)
  await options.sessionAt(to)(sql => applyDatabaseSettings(sql, database, beside.settings))
  createReporter(report, row.id).phase('comparing')
  const repeatable = 'set transaction isolation level repeatable read, read only;'
  const compare = async (inTarget: SessionClient): Promise<[Contents, Contents]> => {
    await inTarget.unsafe(WITHOUT_TIMEOUTS)
    return inTarget.begin(async tx => {
      await tx.unsafe(`${repeatable} select 1 from pg_class limit 1`)
      await replication.subscribe(link)
      await replication.start(link)
      report({ type: 'replicating', id: row.id })
      return Promise.all([
        held.begin(old =>
          contentsOf(old, { settings: `${repeatable} set transaction snapshot '${snapshot}'; ${alike}` }),
        ),
        contentsOf(tx),
      ])
    })
  }
  const [original, copied] = await there
    .withDirectConnection(inTarget => {
      const sessions = [
        { at: from, sql: held },
        { at: to, sql: inTarget },
      ]
      return cancelledOn(signal, { admin, sessions }, () => compare(inTarget))
    }, database)
    .catch(error => {
      // A statement that was cancelled for it reports that alone.
      goOn(row.id)
      throw error
    })
  // Values of sequences are of no snapshot: they are carried and compared at the switch.
  const rowsOf = (contents: Contents): Contents => ({ ...contents, sequences: [] })
  const again = async () => {
    const programs = await options.programs.suiting(await serverRelease(here))
    return rehearseMove(options, { programs, database, from, to, beside })
  }
  await refuseUnlike(rowsOf(original), rowsOf(copied), { database, again })
  return note(row, { step: 'verified' })
}
