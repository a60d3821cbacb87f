// Migrations of a database that has a schema and was never migrated: the versions that it is at already are recorded, and ours
// are run. Invariant: all of it is one transaction.

import type { TransactionClient } from '../../plugins/distributed-tenant/types.js'
import type { Migration, MigrationSet } from '../../postgres/migrations/migration-files.js'
import { runFile } from '../../postgres/migrations/migration-run.js'
import {
  appliedOf,
  isMissing,
  makeOwnTable,
  nameOf,
  type Recorded,
  readRecorded,
} from '../../postgres/migrations/migrations.js'

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
  const answers = await tx.unsafe(`${makeOwnTable};${readRecorded}`)
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
