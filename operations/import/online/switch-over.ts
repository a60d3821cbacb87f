// The switch of an import without a freeze: the source is closed to everybody, and all that was written there is proven to be at the
// target. Invariants: from the last session's end to the proof the source accepts no connection; any doubt opens it again before
// anything else; once the proof may be in the journal it stays closed.
// If either server is down: the doubt is thrown, and the source is opened now, or by the caller once it answers.

import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import { readBefore, shut, thaw } from '../../copying/freeze.js'
import type { Change, TransferTenant } from '../../copying/journal.js'
import type { TransferParts } from '../../copying/parts.js'
import type { ChangeCheck } from '../../move/online/check-changes.js'
import { endClients } from '../../move/online/clients-gone.js'
import { createHold } from '../../move/online/hold.js'
import type { Link } from '../../move/online/link.js'
import { createReporter } from '../../move/online/progress.js'
import { proveAlike } from '../../move/online/prove-alike.js'
import { sequenceNames } from '../../move/online/sequences.js'
import type { Sessions } from '../../move/online/sessions.js'
import { quiet } from '../../move/online/switch-over.js'
import { populatedViews, refreshed } from '../../move/online/views.js'
import { stateOf } from './places.js'

export interface Crossing {
  readonly sessions: Sessions
  readonly link: Link
  readonly check: ChangeCheck
  /** Of the source's definitions when they were copied. */
  readonly print: string
}

export interface SwitchOptions extends Pick<TransferParts, 'service' | 'withDirectConnection' | 'report'> {
  readonly transfer: string
  readonly note: (row: TransferTenant, change: Change) => Promise<TransferTenant>
  readonly signal?: AbortSignal | undefined
}

/** The statements that close a database, which wait for none that runs in it. */
const CLOSES_WITHIN_MS = 1_000

/** @returns the row as `verified`. @throws the doubt, and then the source is open */
export async function switchOver(
  options: SwitchOptions,
  row: TransferTenant,
  { sessions, link, check, print }: Crossing,
): Promise<TransferTenant> {
  const { report, transfer, note, signal } = options
  const { here, ours, source: old } = sessions
  const { limits } = stateOf(row)
  const database = row.sourceDatabase
  const waitsFor = createReporter(report, row.id).waits
  const views = await populatedViews(old)
  await refresh(options, row, views)
  const names = await sequenceNames(old)
  await quiet(sessions, { link, limits, signal, waitsFor })
  const { connect, readOnly } = await readBefore(here, database)
  const before = { connect: connect.filter(({ role }) => role !== link.role), readOnly, shut: true }
  let now = await note(row, { step: 'freezing', frozen: before })
  const hold = createHold(row.id, limits.holdMs, signal)
  try {
    waitsFor('transactions')
    // Waited for to its end, as its server alone can end it: later it would close what was opened again.
    const at = await shut(here, database, Math.max(limits.holdMs, CLOSES_WITHIN_MS))
    report({ type: 'closed', id: row.id })
    const transactionMs = Math.min(limits.transactionMs, limits.holdMs)
    await hold.step('transactions', withinMs => endClients(here, database, { ours, transactionMs, withinMs }))
    now = await note(now, { step: 'frozen', frozen: { ...before, at } })
    const proof = { run: transfer, link, hold, check, print, names, waitsFor }
    await proveAlike(sessions, { ...proof, onApplied: () => report({ type: 'marker_applied', id: row.id }) })
    // Whatever writes there without a session of a client is found by this.
    const late = await proveAlike(sessions, { ...proof, onApplied: () => {} })
    if (late > 0) throw new TransferFailed(`${late} rows of ${database} were written after its last session had ended.`)
    await refresh(options, row, views)
  } catch (error) {
    await thaw(here, database, before).catch(() => {
      // The caller opens it by other sessions, and names it if that fails as well.
    })
    throw error
  }
  // Once this may be in the journal the source is opened only after the journal says otherwise.
  return note(now, { step: 'verified' })
}

async function refresh(
  { service, withDirectConnection }: SwitchOptions,
  row: TransferTenant,
  views: readonly string[],
): Promise<void> {
  const name = tenantDatabaseName(row.id, service)
  const failed = await withDirectConnection(name, inside => refreshed(inside, views))
  if (failed) throw new TransferFailed(`${row.sourceDatabase}: ${failed} Correct them at the source.`)
}
