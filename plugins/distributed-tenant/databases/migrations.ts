// Owns schema migrations: plain SQL files, each in one transaction together with its version row. Invariant: a database
// is at a version entirely or not at all; a file that was changed after it was applied is refused by name.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { withCause } from '../connections/failures.js'
import { MigrationFailed, MigrationInvalid } from '../errors.js'
import type { SqlClient, TransactionClient } from '../types.js'

export interface Migration {
  readonly version: number
  readonly name: string
  readonly do: string
  /** Null when there is no undo file: rolling back is refused by name. */
  readonly undo: string | null
  readonly checksum: string
}

/** A numbered series for one kind of database: `registry`, `central`, `mark`, `tenant`. */
export interface MigrationSet {
  readonly name: string
  readonly migrations: readonly Migration[]
  /** The newest version, 0 for an empty set. */
  readonly version: number
  /** Over all files: two sets with one version and different content are told apart. */
  readonly checksum: string
}

const fileName = /^(\d{3,})\.(do|undo)\.([a-z0-9-]+)\.sql$/

/**
 * Reads `NNN.do.name.sql` and `NNN.undo.name.sql` from a folder; `null` gives an empty set.
 * @throws MIGRATION_INVALID for a missing folder, a file of another name, a repeated or missing number
 */
export function readMigrations(set: string, folder: string | null): MigrationSet {
  const found = new Map<number, { name: string; do?: string; undo?: string }>()
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
    entry[kind as 'do' | 'undo'] = readFileSync(join(folder as string, file), 'utf8')
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

function complete(
  version: number,
  entry: { name: string; do?: string; undo?: string },
  folder: string | null,
): Migration {
  if (entry.do === undefined) {
    throw new MigrationInvalid(`Migration ${version} in ${folder} has an undo file but no do file: add it.`)
  }
  return { version, name: entry.name, do: entry.do, undo: entry.undo ?? null, checksum: digest(entry.do) }
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

/** One word for what a database holds to which all of these were applied, whole files and nothing beyond them. */
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
 * {@link migrate} for a database that has been migrated before, set after set: what all of them have applied is one
 * question, and whether our own table is there is none.
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
  if (checksum !== undefined && checksum !== migration.checksum) throw changed(set, migration)
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

const lock = `select pg_advisory_xact_lock(hashtextextended('distributed_tenant.migrate', 0))`

async function prepare(sql: SqlClient): Promise<void> {
  await sql.begin(tx => tx.unsafe(`${lock};${ownTable}`))
}

/** What is written down as applied without being run: the schema is at this version already. */
export interface Baseline {
  readonly set: MigrationSet
  readonly version: number
}

/**
 * For a database that has a schema and was never migrated: in one transaction all of `ours` and the baseline written down.
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

/**
 * One runner at a time in a database, with {@link revertOne}, which would else find nothing to take back while the
 * migration runs. Lock and row are one round trip; the lock comes first, as the insert reads its row from it.
 */
async function applyOne(sql: SqlClient, set: MigrationSet, migration: Migration): Promise<boolean> {
  return sql.begin(async tx => {
    const { count } = await tx`
      with held as materialized (select pg_advisory_xact_lock(hashtextextended('distributed_tenant.migrate', 0)))
      insert into distributed_tenant.schema_migrations (set, version, name, checksum)
      select ${set.name}, ${migration.version}::int, ${migration.name}, ${migration.checksum} from held
      on conflict (set, version) do nothing`
    if (count === 0) {
      const [row] = await tx<{ checksum: string }[]>`
        select checksum from distributed_tenant.schema_migrations
        where set = ${set.name} and version = ${migration.version}`
      if (row?.checksum !== migration.checksum) throw changed(set, migration)
      return false
    }
    await runFile(tx, migration.do, nameOf(set, migration))
    return true
  })
}

/**
 * Takes back every migration of the set above `to`, newest first, one transaction each.
 * @returns the versions taken back by this call
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
  return sql.begin(async tx => {
    await tx`select pg_advisory_xact_lock(hashtextextended('distributed_tenant.migrate', 0))`
    const { count } = await tx`
      delete from distributed_tenant.schema_migrations where set = ${set.name} and version = ${version}`
    if (count === 0) return false
    if (undo === null)
      throw new MigrationInvalid(`The ${set.name} migration ${version} (${name}) has no undo file: add it.`)
    await runFile(tx, undo, `undoing of ${set.name} migration ${version} (${name})`)
    return true
  })
}

/** @throws MIGRATION_FAILED for what the server refuses; a connection's own failure passes as it is */
async function runFile(tx: TransactionClient, text: string, what: string): Promise<void> {
  await tx.unsafe(text).catch(error => {
    if (!(error as { severity?: string }).severity) throw error
    throw withCause(new MigrationFailed(`The ${what} failed: ${(error as Error).message}.`), error)
  })
}

const changed = (set: MigrationSet, migration: Migration): Error =>
  new MigrationInvalid(
    `The ${set.name} migration ${migration.version} (${migration.name}) was changed after it was applied: restore the file and add a new one.`,
  )
