// Schema migrations applied and reverted, each in one transaction together with its version row. Invariant: a database
// is at a version entirely or not at all; a version counts only when the transaction that its file began in is the one that
// ends with it; a file that was changed after it was applied is refused by name.

import { lockNames } from '../advisory-locks.js'
import { MigrationInvalid } from '../errors.js'
import type { SqlClient, TransactionClient } from '../types.js'
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
  await prepare(sql)
  return migratePrepared(sql, [set])
}

/**
 * {@link migrate} for a database that has been migrated before, set after set: one query reads the versions of all sets,
 * and none checks that our own table exists.
 */
export async function migratePrepared(sql: SqlClient, sets: readonly MigrationSet[]): Promise<number[]> {
  const recorded = (await sql.unsafe(readRecorded)) as unknown as Recorded[]
  const done: number[] = []
  for (const set of sets) done.push(...(await applyMissing(sql, set, appliedOf(recorded, set))))
  return done
}

interface Recorded {
  readonly set: string
  readonly version: number
  readonly checksum: string
}

const readRecorded = 'select set, version, checksum from distributed_tenant.schema_migrations'

const appliedOf = (recorded: readonly Recorded[], { name }: MigrationSet): Map<number, string> =>
  new Map(recorded.filter(({ set }) => set === name).map(({ version, checksum }) => [version, checksum]))

/** @throws MIGRATION_INVALID when it was applied with another content */
function isMissing(set: MigrationSet, migration: Migration, applied: ReadonlyMap<number, string>): boolean {
  const checksum = applied.get(migration.version)
  if (checksum !== undefined && !isKnownAs(migration, checksum)) throw changed(set, migration)
  return checksum === undefined
}

const nameOf = (set: MigrationSet, { version, name }: Migration): string => `${set.name} migration ${version} (${name})`

async function applyMissing(
  sql: SqlClient,
  set: MigrationSet,
  applied: ReadonlyMap<number, string>,
): Promise<number[]> {
  const done: number[] = []
  for (const migration of set.migrations) {
    if (isMissing(set, migration, applied) && (await applyOne(sql, set, migration))) done.push(migration.version)
  }
  const newest = Math.max(0, ...applied.keys())
  if (newest > set.version) {
    throw new MigrationInvalid(
      `The database has ${set.name} migration ${newest}, this release ends at ${set.version}: deploy the newer release.`,
    )
  }
  return done
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

async function prepare(sql: SqlClient): Promise<void> {
  await sql.begin(tx => tx.unsafe(`${lock};${ownTable}`))
}

/** A version that is recorded as applied without being run: the schema is at this version already. */
export interface Baseline {
  readonly set: MigrationSet
  readonly version: number
}

/**
 * For a database that has a schema and was never migrated: in one transaction all of `ours`, and the record of the baseline.
 * Each round trip and each commit counts where there are many such databases.
 * @returns whether the baseline's set is missing nothing then
 * @throws MIGRATION_INVALID, MIGRATION_FAILED
 */
export async function migrateFromBaseline(
  tx: TransactionClient,
  ours: readonly MigrationSet[],
  { set, version }: Baseline,
): Promise<boolean> {
  const answers = await tx.unsafe(`${lock};${ownTable};${readRecorded}`)
  const recorded = (answers as unknown as Recorded[][]).at(-1) as Recorded[]
  const unapplied = (one: MigrationSet): Missing[] => {
    const applied = appliedOf(recorded, one)
    return one.migrations
      .filter(migration => isMissing(one, migration, applied))
      .map(migration => ({ set: one, migration }))
  }
  const missing = ours.flatMap(unapplied)
  const later = unapplied(set).filter(({ migration }) => migration.version > version)
  const noted = set.migrations.slice(0, version).map(migration => ({ set, migration }))
  const rows = [...missing, ...noted].map(({ set: { name: of }, migration: { version: at, name, checksum } }) => ({
    set: of,
    version: at,
    name,
    checksum,
  }))
  await tx`
    insert into distributed_tenant.schema_migrations (set, version, name, checksum)
    select set, version, name, checksum
    from jsonb_to_recordset(${tx.json(rows)}) as row (set text, version integer, name text, checksum text)
    on conflict do nothing`
  const what = missing.map(one => nameOf(one.set, one.migration)).join(', ')
  if (missing.length > 0) await runFile(tx, missing.map(one => one.migration.do).join('\n;\n'), what)
  return later.length === 0 && Math.max(0, ...appliedOf(recorded, set).keys()) <= set.version
}

interface Missing {
  readonly set: MigrationSet
  readonly migration: Migration
}

/** One runner at a time in a database, with {@link revertOne}, which would else find nothing to revert meanwhile. */
async function applyOne(sql: SqlClient, set: MigrationSet, migration: Migration): Promise<boolean> {
  return sql.begin(ISOLATION, async tx => {
    const { recorded, transaction } = await lockAndLook(tx, set, migration)
    if (recorded !== null) {
      if (!isKnownAs(migration, recorded)) throw changed(set, migration)
      return false
    }
    const what = nameOf(set, migration)
    await runFile(tx, migration.do, what, transaction)
    const { count } = await tx`
      insert into distributed_tenant.schema_migrations (set, version, name, checksum)
      select ${set.name}, ${migration.version}::int, ${migration.name}, ${migration.checksum}
      where pg_current_xact_id_if_assigned() = ${transaction}::text::xid8`
    if (count === 0) throw endedItsTransaction(what)
    return true
  })
}

/** A later snapshot than the lock's sees the work of the runner before. */
const ISOLATION = 'isolation level read committed'

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

/** In one round trip. */
async function lockAndLook(
  tx: TransactionClient,
  set: MigrationSet,
  { version }: Migration,
): Promise<{ recorded: string | null; transaction: string }> {
  const [, , rows] = await Promise.all([
    tx.unsafe(asInNewSession),
    tx.unsafe(lock),
    tx<{ recorded: string | null; transaction: string }[]>`
      select pg_current_xact_id()::text as transaction,
        (select checksum from distributed_tenant.schema_migrations
          where set = ${set.name} and version = ${version}) as recorded`,
  ])
  return rows[0] as { recorded: string | null; transaction: string }
}

/**
 * Reverts every migration of the set above `to`, newest first, one transaction each.
 * @returns the versions reverted by this call
 * @throws MIGRATION_INVALID when an undo file is missing, MIGRATION_FAILED when one fails
 */
export async function revert(sql: SqlClient, set: MigrationSet, to: number): Promise<number[]> {
  const done: number[] = []
  for (const migration of set.migrations.slice(to).reverse()) {
    if (await revertOne(sql, set, migration)) done.push(migration.version)
  }
  return done
}

async function revertOne(sql: SqlClient, set: MigrationSet, migration: Migration): Promise<boolean> {
  const { version, name, undo } = migration
  return sql.begin(ISOLATION, async tx => {
    const { recorded, transaction } = await lockAndLook(tx, set, migration)
    if (recorded === null) return false
    if (undo === null)
      throw new MigrationInvalid(`The ${set.name} migration ${version} (${name}) has no undo file: add it.`)
    const what = `undoing of ${set.name} migration ${version} (${name})`
    await runFile(tx, undo, what, transaction)
    const { count } = await tx`
      delete from distributed_tenant.schema_migrations
      where set = ${set.name} and version = ${version} and pg_current_xact_id_if_assigned() = ${transaction}::text::xid8`
    if (count === 0) throw endedItsTransaction(what)
    return true
  })
}

const changed = (set: MigrationSet, migration: Migration): Error =>
  new MigrationInvalid(
    `The ${set.name} migration ${migration.version} (${migration.name}) was changed after it was applied: restore the file and add a new one.`,
  )
