// The switch of a tenant from the source of a running replication to its target. New statements of the tenant are held in the
// lease queues of all processes; transactions under way end; a marker in the log is waited for; sequences, changed rows and
// definitions are compared; the registry row is switched. Invariants: nothing is written at the source from the last session's
// end on, and nothing at the target before the registry says so; any doubt is thrown before the registry is touched, and the
// caller then lets the tenant go on at the source. Sessions are opened before: the closed database lets none in.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { SqlClient } from '../../../plugins/distributed-tenant/types.js'
import type { MoveParts } from '../parts.js'
import { markMoving, releaseHold } from '../registry-switch.js'
import type { ChangeCheck } from './check-changes.js'
import { endClients, oldestTransaction } from './clients-gone.js'
import { createHold, HoldTooLong } from './hold.js'
import type { Link, SwitchLimits } from './link.js'
import { writeMarker } from './position.js'
import { proveAlike } from './prove-alike.js'
import { sequenceNames } from './sequences.js'
import type { Sessions } from './sessions.js'

export interface Crossing {
  readonly run: string
  readonly link: Link
  readonly limits: SwitchLimits
  readonly check: ChangeCheck
  /** Of the source's definitions when they were copied. */
  readonly print: string
  /** Slots at the target for the way back, which are to begin at the switch. */
  readonly slotsThere: readonly string[]
  readonly signal?: AbortSignal | undefined
  readonly waitsFor: (what: string) => void
  /** While the tenant is held and everything is alike: commits the registry's row. */
  readonly commit: () => Promise<void>
}

const BETWEEN_LOOKS_MS = 50

/** @throws HoldTooLong, or TRANSFER_FAILED with the doubt: in both cases the tenant is at the source, and goes on there */
export async function switchOver(
  parts: MoveParts & { readonly central: SqlClient },
  sessions: Sessions,
  crossing: Crossing,
): Promise<{ readonly ended: number }> {
  const { link, limits, check, run, print, waitsFor } = crossing
  const { here, source, target, ours } = sessions
  const { id, from } = link
  const session = parts.sessionAt(from.instance)
  const names = await sequenceNames(source)
  await quiet(sessions, crossing)
  const hold = createHold(id, limits.holdMs, crossing.signal)
  let closed = false
  try {
    await markMoving(parts.central, id, { from: from.instance, state: 'closing' })
    parts.report({ type: 'held', id })
    closed = true
    waitsFor('transactions')
    // Waited for to its end, as its server alone can end it: later it would close what was opened again.
    await session(sql =>
      sql.begin(async tx => {
        await tx.unsafe(`set local statement_timeout = ${limits.holdMs}`)
        await tx`alter database ${tx(from.database)} allow_connections false`
      }),
    )
    const transactionMs = Math.min(limits.transactionMs, limits.holdMs)
    const ended = await hold.step('transactions', withinMs =>
      endClients(here, from.database, { ours, transactionMs, withinMs }),
    )
    parts.report({ type: 'quiet', id })
    const onApplied = () => parts.report({ type: 'marker_applied', id })
    await proveAlike(sessions, { run, link, hold, check, print, names, waitsFor, onApplied })
    await hold.step('the comparison', async () => {
      // What was applied is on the disk with this: it is a commit that waits for it. A slot goes no further than that.
      await writeMarker(target, run)
      for (const slot of crossing.slotsThere) {
        await target`select pg_replication_slot_advance(${slot}, pg_current_wal_lsn())`
      }
    })
    await hold.step('the comparison', async () => {})
    await crossing.commit()
    return { ended }
  } catch (error) {
    if (closed) {
      await letGoOn(parts, link).catch(second => {
        throw new TransferFailed(`${(error as Error).message} ${(second as Error).message}`)
      })
    }
    if (error instanceof HoldTooLong && !(await hold.ended())) {
      throw new TransferFailed(
        `${error.message} A server has not answered since: check ${from.instance} and ${link.to.instance}.`,
      )
    }
    throw error
  }
}

/** The tenant goes on at the source. Nothing is done when the registry has it at the target. */
export async function letGoOn(parts: MoveParts, { id, from }: Link): Promise<boolean> {
  return releaseHold(parts.central, id, from.instance, () =>
    parts.sessionAt(from.instance)(async sql => {
      await sql`alter database ${sql(from.database)} allow_connections true`
    }),
  )
}

/** Waits until no transaction is so old that the switch would end it, for as long as is allowed. */
export async function quiet(
  { here, ours }: Sessions,
  { link, limits, signal, waitsFor }: Pick<Crossing, 'link' | 'limits' | 'signal' | 'waitsFor'>,
): Promise<void> {
  const until = performance.now() + limits.quietMs
  for (;;) {
    const oldest = await oldestTransaction(here, link.from.database, ours)
    if (oldest < limits.transactionMs || performance.now() > until || signal?.aborted) return
    waitsFor(`a transaction that has run for ${(oldest / 1000).toFixed(0)} s`)
    await sleep(BETWEEN_LOOKS_MS)
  }
}
