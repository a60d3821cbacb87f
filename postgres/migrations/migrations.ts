// Schema migrations applied, each in one transaction together with its version row. Invariant: a database
// is at a version entirely or not at all; a version counts only when the transaction that its file began in is the one that
// ends with it; a file that was changed after it was applied is refused by name.

import { lockNames } from '../advisory-locks.js'
import { MigrationInvalid } from '../errors.js'
import type { QueryClient, SqlClient, TransactionClient } from '../types.js'
import { isKnownAs, type Migration, type MigrationSet } from './migration-files.js'
import { endedItsTransaction, runFile } from './migration-run.js'

/** The highest version applied for a set, 0 for none. */
export async function appliedVersion(sql: SqlClient, set: string): Promise<number> {
  const [row] = await sql<{ version: number }[]>`
    select coalesce(max(version), 0) as version from distributed_tenant.schema_migrations where set = ${set}`
  return row?.version ?? 0
}

/**
 * Brings a database to the set's newest version, one transaction per migration. Several runners at once are fine: one
 * works, the others wait on its lock and find the work done.
 * @returns the versions applied by this call
 * @throws MIGRATION_INVALID when an applied file was changed or the database is ahead of the set
 */
export async function migrate(sql: SqlClient, set: MigrationSet): Promise<number[]> {
  await sql.begin(tx => tx.unsafe(makeOwnTable))
  return migratePrepared(sql, [set])
}

/**
 * {@link migrate} for a database that has been migrated before, set after set: one query reads the versions of all sets,
 * and none checks that our own table exists.
 * @param session `new`: nothing has run in it yet, so that its settings are those that it began with
 */
export async function migratePrepared(
  sql: SqlClient,
  sets: readonly MigrationSet[],
  session: SessionAge = 'used',
): Promise<number[]> {
  const recorded = (await sql.unsafe(readRecorded)) as unknown as Recorded[]
  const done: number[] = []
  for (const set of sets) {
    const age = done.length > 0 ? 'used' : session
    done.push(...(await applyMissing(sql, set, appliedOf(recorded, set), age)))
  }
  return done
}

/** Whether a migration's file has run in a session. */
export type SessionAge = 'new' | 'used'

export interface Recorded {
  readonly set: string
  readonly version: number
  readonly checksum: string
}

/** What is recorded, and the id of a transaction that holds the lock: in one round trip, which begins the transaction. */
export async function lookUnderLock(
  sql: QueryClient,
): Promise<{ readonly recorded: readonly Recorded[]; readonly transaction: string }> {
  const answers = await sql.unsafe(
    `begin ${ISOLATION};${lock};${readRecorded};select pg_current_xact_id()::text as transaction`,
  )
  const [recorded, [found]] = answers.slice(-2) as unknown as [Recorded[], [{ transaction: string }]]
  return { recorded, transaction: found.transaction }
}

/** @throws MIGRATION_INVALID when an applied file was changed or the database is ahead of a set */
export function missingOf(
  sets: readonly MigrationSet[],
  recorded: readonly Recorded[],
): { readonly set: MigrationSet; readonly migration: Migration }[] {
  return sets.flatMap(set => {
    const applied = appliedOf(recorded, set)
    const missing = set.migrations.filter(migration => isMissing(set, migration, applied))
    refuseAhead(set, applied)
    return missing.map(migration => ({ set, migration }))
  })
}

export const readRecorded = 'select set, version, checksum from distributed_tenant.schema_migrations'

export const appliedOf = (recorded: readonly Recorded[], { name }: MigrationSet): Map<number, string> =>
  new Map(recorded.filter(({ set }) => set === name).map(({ version, checksum }) => [version, checksum]))

/** @throws MIGRATION_INVALID when it was applied with another content */
export function isMissing(set: MigrationSet, migration: Migration, applied: ReadonlyMap<number, string>): boolean {
  const checksum = applied.get(migration.version)
  if (checksum !== undefined && !isKnownAs(migration, checksum)) throw changed(set, migration)
  return checksum === undefined
}

export const nameOf = (set: MigrationSet, { version, name }: Migration): string =>
  `${set.name} migration ${version} (${name})`

async function applyMissing(
  sql: SqlClient,
  set: MigrationSet,
  applied: ReadonlyMap<number, string>,
  session: SessionAge,
): Promise<number[]> {
  const done: number[] = []
  for (const migration of set.migrations) {
    const age = done.length > 0 ? 'used' : session
    if (isMissing(set, migration, applied) && (await applyOne(sql, set, migration, age))) done.push(migration.version)
  }
  refuseAhead(set, applied)
  return done
}

function refuseAhead(set: MigrationSet, applied: ReadonlyMap<number, string>): void {
  const newest = Math.max(0, ...applied.keys())
  if (newest <= set.version) return
  throw new MigrationInvalid(
    `The database has ${set.name} migration ${newest}, this release ends at ${set.version}: deploy the newer release.`,
  )
}

/** Two first runners would collide on the schema's name, so the lock comes before this. */
const ownTable = `
  create schema if not exists distributed_tenant;
  create table if not exists distributed_tenant.schema_migrations (
    set text not null,
    version integer not null,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now(),
    primary key (set, version)
  )`

const lock = `select pg_advisory_xact_lock(hashtextextended('${lockNames.migrate}', 0))`

/** Makes our own table, under the lock of the transaction. */
export const makeOwnTable = `${lock};${ownTable}`

/** One runner at a time in a database, with a revert (migration-runs/), which would else find nothing to revert meanwhile. */
async function applyOne(
  sql: SqlClient,
  set: MigrationSet,
  migration: Migration,
  session: SessionAge,
): Promise<boolean> {
  return sql.begin(ISOLATION, async tx => {
    const { recorded, transaction } = await lockAndLook(tx, set, migration, session)
    if (recorded !== null) {
      if (!isKnownAs(migration, recorded)) throw changed(set, migration)
      return false
    }
    const what = nameOf(set, migration)
    const { version, name, checksum } = migration
    // Sent behind the file: where that fails this fails too, and where that has ended its transaction no row is written.
    const { count } = await withVersion(
      runFile(tx, migration.do, what, transaction),
      tx.unsafe(`
        insert into distributed_tenant.schema_migrations (set, version, name, checksum)
        select ${literal(set.name)}, ${version}, ${literal(name)}, ${literal(checksum)}
        where pg_current_xact_id_if_assigned() = ${literal(transaction)}::xid8`),
    )
    if (count === 0) throw endedItsTransaction(what)
    return true
  })
}

/**
 * The same row, for a text that is sent before the file's answer: in another transaction than this it fails with a division by
 * zero, and the transaction that the file may have begun fails with it.
 */
export const versionRow = (set: MigrationSet, { version, name, checksum }: Migration, transaction: string): string => `
  insert into distributed_tenant.schema_migrations (set, version, name, checksum)
  select ${literal(set.name)}, ${version} / coalesce((pg_current_xact_id_if_assigned() = ${literal(transaction)}::xid8)::int, 0),
    ${literal(name)}, ${literal(checksum)}`

/** The result of the second, once both are over, with the error of the file first: it asks for its reason. */
async function withVersion<T>(file: Promise<void>, version: PromiseLike<T>): Promise<T> {
  const [ran, written] = await Promise.allSettled([file, version])
  if (ran.status === 'rejected') throw ran.reason
  if (written.status === 'rejected') throw written.reason
  return written.value
}

/**
 * As a text without parameters, which the server answers in one round trip: the first statement with parameters takes two. Names,
 * checksums and versions hold no quote and no backslash (see migration-files.ts).
 */
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A later snapshot than the lock's sees the work of the runner before. */
export const ISOLATION = 'isolation level read committed'

/**
 * The settings that a new session in this database begins with. A file is run with them whatever the files before it have
 * set in this session, so that a database is the same after one run over many files and after many runs.
 */
const asInNewSession = `
  reset all;
  select set_config(name, value, false)
  from pg_db_role_setting, unnest(setconfig) as entry,
    lateral (select split_part(entry, '=', 1) as name, substr(entry, strpos(entry, '=') + 1) as value) as setting
  where setrole = 0 and setdatabase = (select oid from pg_database where datname = current_database())
    and coalesce((select context from pg_settings where pg_settings.name = setting.name), 'user') = 'user'`

/** In one round trip. Each statement of a text has a snapshot of its own, so that the last one is after the lock. */
export async function lockAndLook(
  tx: TransactionClient,
  set: MigrationSet,
  { version }: Migration,
  session: SessionAge = 'used',
): Promise<{ recorded: string | null; transaction: string }> {
  const answers = await tx.unsafe(`${session === 'new' ? '' : `${asInNewSession};`}${lock};
    select pg_current_xact_id()::text as transaction,
      (select checksum from distributed_tenant.schema_migrations
        where set = ${literal(set.name)} and version = ${version}) as recorded`)
  const [found] = answers.at(-1) as unknown as [{ recorded: string | null; transaction: string }]
  return found
}

const changed = (set: MigrationSet, migration: Migration): Error =>
  new MigrationInvalid(
    `The ${set.name} migration ${migration.version} (${migration.name}) was changed after it was applied: restore the file and add a new one.`,
  )
