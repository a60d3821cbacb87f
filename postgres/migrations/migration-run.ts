// One migration file run in a transaction that is open already. Invariant: a file that ends its transaction, or changes another
// database, fails by name, so that its version never counts.

import { withCause } from '../connections/failures.js'
import { MigrationFailed } from '../errors.js'
import type { QueryClient, TransactionClient } from '../types.js'

/** PostgreSQL's codes for a COMMIT in a block or a procedure, and for a command that runs in no transaction. */
const OUTSIDE_TRANSACTIONS = new Set(['2D000', '25001'])

/** @throws MIGRATION_FAILED for a refusal of the server; a connection's own failure passes as it is */
export async function runFile(tx: TransactionClient, text: string, what: string, transaction?: string): Promise<void> {
  try {
    await tx.unsafe(text)
  } catch (error) {
    if (!isRefusal(error)) throw error
    throw failureOf(error, what, transaction !== undefined && (await isOver(tx, transaction)))
  }
  if (transaction !== undefined && mayChangeOthers(text)) await refuseOtherDatabases(tx, what, transaction)
}

/** Of the server; a connection's own failure has no severity. */
const isRefusal = (error: unknown): error is Error & { code?: string } =>
  Boolean((error as { severity?: string }).severity)

/** @param ended whether the file's transaction had ended before it failed */
export function failureOf(error: unknown, what: string, ended: boolean): unknown {
  if (!isRefusal(error)) return error
  if (ended) return withCause(endedItsTransaction(what, error.message), error)
  const cure = OUTSIDE_TRANSACTIONS.has(error.code as string)
    ? ': a migration runs in one transaction with its version, so take this out of the file'
    : ''
  return withCause(new MigrationFailed(`The ${what} failed: ${error.message}${cure}.`), error)
}

/** Whether a file needs {@link refuseOtherDatabases} behind it. */
export const mayChangeOthers = (text: string): boolean => /\bdatabase\b/i.test(text)

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

export const endedItsTransaction = (what: string, message?: string): Error =>
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
