// The proof that all that was written at the source is at the target, once nothing is written at the source any more: a marker in
// the log is waited for, sequences are set and read back, the rows that are still open and the definitions are compared.
// Invariant: any doubt is thrown. Nothing is changed here but the sequences of the target.

import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { refuseLargeObjects } from '../../copying/not-copyable.js'
import type { ChangeCheck } from './check-changes.js'
import type { Hold } from './hold.js'
import type { Link } from './link.js'
import { waitApplied, writeMarker } from './position.js'
import { carrySequences } from './sequences.js'
import type { Sessions } from './sessions.js'
import { fingerprint } from './tables.js'

export interface Proof {
  readonly run: string
  readonly link: Link
  readonly hold: Hold
  readonly check: ChangeCheck
  /** Of the source's definitions when they were copied. */
  readonly print: string
  /** Of the sequences, as a statement names them. */
  readonly names: readonly string[]
  readonly waitsFor: (what: string) => void
  readonly onApplied: () => void
}

/** @returns how many rows were compared in it. @throws HoldTooLong, TRANSFER_FAILED with the doubt */
export async function proveAlike(sessions: Sessions, proof: Proof): Promise<number> {
  const { run, link, hold, check, print, names, waitsFor, onApplied } = proof
  const { there, source, target } = sessions
  waitsFor('the marker')
  const marker = await hold.step('the marker', () => writeMarker(sessions.slotSide, run))
  const applied = await hold.step('the marker', ms => waitApplied(there, link, marker, { ms }))
  if (!applied) throw hold.tooLong('the marker')
  onApplied()
  waitsFor('the comparison')
  return hold.step('the comparison', async () => {
    await carrySequences(source, target, names)
    const { rows } = await check.settle(sessions, marker)
    await unchanged(source, link.from.database, print)
    return rows
  })
}

async function unchanged(source: SessionClient, database: string, print: string): Promise<void> {
  if ((await fingerprint(source)) !== print) {
    throw new TransferFailed(
      `Definitions in ${database} were changed during the move, which replication does not carry.`,
    )
  }
  await refuseLargeObjects(source, database)
  const prepared = await source`select from pg_prepared_xacts where database = current_database()`
  if (prepared.length > 0) throw new TransferFailed(`${database} has prepared transactions.`)
}
