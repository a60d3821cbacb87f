// Schema migrations: plain SQL files, each run in one transaction together with its version row. Invariant: a database
// is at a version entirely or not at all; a version counts only when the transaction that its file began in is the one that
// ends with it; a file that was changed after it was applied is refused by name.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { lockNames } from '../advisory-locks.js'
import { withCause } from '../connections/failures.js'
import { MigrationFailed, MigrationInvalid } from '../errors.js'
import { NoText, textOf } from '../text-file.js'
import type { QueryClient, SqlClient, TransactionClient } from '../types.js'
import { flawIn } from './migration-text.js'

export interface Migration {
  readonly version: number
  readonly name: string
  readonly do: string
  /** Null when there is no undo file: rolling back is refused by name. */
  readonly undo: string | null
  /** Over the text with line feeds, whatever ends its lines in the file. */
  readonly checksum: string
  /** Checksums by which earlier releases may have recorded the same content. */
  readonly formerChecksums: readonly string[]
}

/** Whether a database with this recorded checksum has applied this content. */
export const isKnownAs = ({ checksum, formerChecksums }: Migration, recorded: string): boolean =>
  recorded === checksum || formerChecksums.includes(recorded)

/** A numbered series for one kind of database: `registry`, `central`, `mark`, `tenant`. */
export interface MigrationSet {
  readonly name: string
  readonly migrations: readonly Migration[]
  /** The newest version, 0 for an empty set. */
  readonly version: number
  /** Over all files: tells two sets with one version and different content apart. */
  readonly checksum: string
}

const fileName = /^(\d{3,})\.(do|undo)\.([a-z0-9-]+)\.sql$/

/**
 * Reads `NNN.do.name.sql` and `NNN.undo.name.sql` from a folder; `null` gives an empty set.
 * @throws MIGRATION_INVALID for a missing folder, a file of another name, a repeated or missing number
 */
export function readMigrations(set: string, folder: string | null): MigrationSet {
  const found = new Map<number, Files>()
  for (const file of folder === null ? [] : list(folder)) {
    const [, digits, kind, name] = fileName.exec(file) ?? []
    if (!digits || !name) {
      throw new MigrationInvalid(
        `${file} in ${folder} is no migration: name it like 001.do.users.sql or 001.undo.users.sql.`,
      )
    }
    const version = Number(digits)
    const entry = found.get(version) ?? { name }
    if (entry.name !== name || entry[kind as 'do' | 'undo'] !== undefined) {
      throw new MigrationInvalid(`Migration ${digits} exists twice in ${folder}: give each a number of its own.`)
    }
    entry[kind as 'do' | 'undo'] = readMigration(folder as string, file)
    found.set(version, entry)
  }
  const migrations = [...found].sort(([a], [b]) => a - b).map(([version, entry]) => complete(version, entry, folder))
  migrations.forEach((migration, at) => {
    if (migration.version !== at + 1) {
      throw new MigrationInvalid(`Migration ${at + 1} is missing in ${folder}: number them 001, 002, … without a gap.`)
    }
  })
  return {
    name: set,
    migrations,
    version: migrations.length,
    checksum: digest(migrations.map(migration => migration.checksum).join()),
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).filter(file => file.endsWith('.sql'))
  } catch (error) {
    throw new MigrationInvalid(
      `The migrations folder ${folder} cannot be read (${(error as NodeJS.ErrnoException).code}): check the path.`,
    )
  }
}

interface Files {
  readonly name: string
  do?: string
  undo?: string
}

/** @returns its text as it was written, without a byte order mark */
function readMigration(folder: string, file: string): string {
  const bytes = readFileSync(join(folder, file))
  const refuse = (what: string): never => {
    // The checksum that earlier releases computed and recorded, if they applied it.
    const former = digest(bytes.toString('utf8'))
    throw new MigrationInvalid(
      `${file} in ${folder} ${what}. Where it was applied as it is, add the line "-- applied as: ${former}" to the corrected file.`,
    )
  }
  let text: string
  try {
    text = textOf(bytes)
  } catch (error) {
    if (error instanceof NoText) return refuse(error.message)
    throw error
  }
  const flaw = flawIn(text)
  return flaw ? refuse(`has ${flaw.what} in line ${flaw.line}: ${flaw.cure}`) : text
}

/** A corrected file names the checksum that it was applied with. */
const APPLIED_AS = /^-- applied as: ([0-9a-f]{32})\r?$/gm

function complete(version: number, entry: Files, folder: string | null): Migration {
  if (entry.do === undefined) {
    throw new MigrationInvalid(`Migration ${version} in ${folder} has an undo file but no do file: add it.`)
  }
  const text = withLineFeeds(entry.do)
  return {
    version,
    name: entry.name,
    do: text,
    undo: entry.undo === undefined ? null : withLineFeeds(entry.undo),
    checksum: digest(text),
    formerChecksums: [
      digest(entry.do),
      digest(text.replaceAll('\n', '\r\n')),
      ...[...entry.do.matchAll(APPLIED_AS)].map(([, checksum]) => checksum as string),
    ],
  }
}

/** A checkout may write line ends as its system does: the databases must be the same. */
const withLineFeeds = (text: string): string => text.replaceAll('\r\n', '\n')

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

/** The checksums of these sets: names the content of a database with all of them applied, and nothing beyond them. */
export const builtBy = (sets: readonly MigrationSet[]): string => sets.map(({ checksum }) => checksum).join(' ')

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

/** PostgreSQL's codes for a COMMIT in a block or a procedure, and for a command that runs in no transaction. */
const OUTSIDE_TRANSACTIONS = new Set(['2D000', '25001'])

/** @throws MIGRATION_FAILED for a refusal of the server; a connection's own failure passes as it is */
async function runFile(tx: TransactionClient, text: string, what: string, transaction?: string): Promise<void> {
  try {
    await tx.unsafe(text)
  } catch (error) {
    if (!(error as { severity?: string }).severity) throw error
    const message = (error as Error).message
    if (transaction !== undefined && (await isOver(tx, transaction))) {
      throw withCause(endedItsTransaction(what, message), error)
    }
    const cure = OUTSIDE_TRANSACTIONS.has((error as { code?: string }).code as string)
      ? ': a migration runs in one transaction with its version, so take this out of the file'
      : ''
    throw withCause(new MigrationFailed(`The ${what} failed: ${message}${cure}.`), error)
  }
  if (transaction !== undefined && /\bdatabase\b/i.test(text)) await refuseOtherDatabases(tx, what, transaction)
}

const IN_FAILED_TRANSACTION = '25P02'

async function isOver(tx: QueryClient, transaction: string): Promise<boolean> {
  try {
    const [row] = await tx<{ now: string | null }[]>`select pg_current_xact_id_if_assigned()::text as now`
    return row?.now !== transaction
  } catch (error) {
    if ((error as { code?: string }).code === IN_FAILED_TRANSACTION) return false
    throw error
  }
}

const endedItsTransaction = (what: string, message?: string): Error =>
  new MigrationFailed(
    `The ${what} ended its transaction${message === undefined ? '' : ` and then failed (${message})`}, so its version does not count: its changes before that stay in this database. Take COMMIT or ROLLBACK out of the file, and set this database right by hand.`,
  )

/** Rows of the catalogue that this transaction, or a block inside of it, has written: its ids are still in progress. */
const ofThisTransaction = (xmin: string): string => `
  case when age(${xmin}) <= age(pg_current_xact_id()::xid) then pg_xact_status(
    (pg_current_xact_id()::text::bigint + age(pg_current_xact_id()::xid) - age(${xmin}))::text::xid8) = 'in progress'
  else false end`

/** A tenant's migration that changes another database would change it once for each tenant, whichever it names. */
async function refuseOtherDatabases(tx: QueryClient, what: string, transaction: string): Promise<void> {
  const [other] = await tx.unsafe<{ name: string }[]>(
    `select datname as name from pg_database d
     where datname <> current_database() and pg_current_xact_id_if_assigned() = '${transaction}'
       and (${ofThisTransaction('d.xmin')} or exists (
         select from pg_db_role_setting s where setdatabase = d.oid and ${ofThisTransaction('s.xmin')}))
     limit 1`,
  )
  if (!other) return
  throw new MigrationFailed(
    `The ${what} changes the database ${other.name}, and it may change its own alone: name it by current_database().`,
  )
}

const changed = (set: MigrationSet, migration: Migration): Error =>
  new MigrationInvalid(
    `The ${set.name} migration ${migration.version} (${migration.name}) was changed after it was applied: restore the file and add a new one.`,
  )
