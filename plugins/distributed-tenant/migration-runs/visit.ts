// One visit of a migration run to a tenant's database. Where one file is missing, as after most releases, it takes two round
// trips: lock and versions, then the file, its version and COMMIT; and the session is closed without a reset. Otherwise the
// files are applied as in databases/migrations.ts. Invariant: its own, a database is at a version entirely or not at all.
import type { Migration, MigrationSet } from '../../../postgres/migrations/migration-files.js'
import { endedItsTransaction, failureOf, mayChangeOthers } from '../../../postgres/migrations/migration-run.js'
import {
  lookUnderLock,
  migratePrepared,
  missingOf,
  nameOf,
  versionRow,
} from '../../../postgres/migrations/migrations.js'
import { leaseSession } from '../../../postgres/sql/session-lease.js'
import type { QueryClient, SessionLease, SqlClient } from '../types.js'

/** Called behind the migrations, in the same database. */
export type After = (inside: QueryClient) => Promise<void>

/** @throws MIGRATION_INVALID, MIGRATION_FAILED; the error of `after` */
export async function migrateInVisit(sql: SqlClient, sets: readonly MigrationSet[], after?: After): Promise<void> {
  const session = await leaseSession(sql)
  let how: 'reuse' | 'close' = 'close'
  try {
    const { recorded, transaction } = await lookUnderLock(session.sql)
    const [first, ...more] = missingOf(sets, recorded)
    if (first && more.length === 0 && !mayChangeOthers(first.migration.do)) {
      await applyAndCommit(session, first, transaction, after)
      return
    }
    await session.sql.unsafe('rollback')
    how = 'reuse'
  } finally {
    session.release(how)
  }
  await migratePrepared(sql, sets, 'new')
  await after?.(sql)
}

/**
 * Sent together, as none needs the answer of another: after a file that failed, its version fails and COMMIT rolls back; after
 * one that has ended its transaction, the version fails, and with it the transaction that the file may have begun.
 */
async function applyAndCommit(
  { sql }: SessionLease,
  { set, migration }: { readonly set: MigrationSet; readonly migration: Migration },
  transaction: string,
  after: After | undefined,
): Promise<void> {
  // Begun before they are awaited: a query of `after` would else be sent before them.
  const file = sql.unsafe(migration.do).execute()
  const version = sql.unsafe(versionRow(set, migration, transaction)).execute()
  const commit = sql.unsafe('commit').execute()
  const [ran, written, committed, checked] = await Promise.allSettled([file, version, commit, after?.(sql)])
  const what = nameOf(set, migration)
  const ended = written.status === 'rejected' && codeOf(written.reason) === DIVISION_BY_ZERO
  if (ran.status === 'rejected') throw failureOf(ran.reason, what, ended)
  if (ended) throw endedItsTransaction(what)
  for (const one of [written, committed, checked]) if (one.status === 'rejected') throw one.reason
}

/** Of {@link versionRow}, in another transaction than it was made for. */
const DIVISION_BY_ZERO = '22012'

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code
