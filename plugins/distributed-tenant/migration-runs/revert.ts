// Schema migrations reverted, each in one transaction together with its version row. Invariant: a database is at a version
// entirely or not at all; a version goes only with the transaction that its file began in.

import type { Migration, MigrationSet } from '../../../postgres/migrations/migration-files.js'
import { endedItsTransaction, runFile } from '../../../postgres/migrations/migration-run.js'
import { ISOLATION, lockAndLook } from '../../../postgres/migrations/migrations.js'
import { MigrationInvalid } from '../errors.js'
import type { SqlClient } from '../types.js'

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
