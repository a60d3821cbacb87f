// The attempts to switch a tenant to the target: everything that can be done before is done while it is served, then the switch is tried,
// and tried again while only time was short. Invariant: between two attempts the tenant is served at the source.
// If a server does not answer between two attempts: the move ends, and the tenant stays where it was.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { TransferTenant } from '../../copying/journal.js'
import { switchPlace } from '../registry-switch.js'
import type { ChangeCheck } from './check-changes.js'
import { HoldTooLong, within } from './hold.js'
import type { OnlineRun } from './online-run.js'
import { lagOf } from './position.js'
import { createReporter } from './progress.js'
import type { Sessions } from './sessions.js'
import { stateOf } from './state.js'
import { switchOver } from './switch-over.js'
import { fingerprint } from './tables.js'
import { populatedViews, refreshed } from './views.js'

const ATTEMPTS = 6
/** A comparison between two attempts that takes longer has a target that does not answer. */
const LOOK_MS = 30_000

/** @returns the row when the registry has the tenant at the target. @throws TRANSFER_FAILED, and then it goes on at the source */
export async function attemptSwitch(
  { options, replication, linkOf, backOf, goOn, note }: OnlineRun,
  row: TransferTenant,
  how: {
    readonly sessions: Sessions
    readonly check: ChangeCheck
    /** Of the source's definitions when they were copied. */
    readonly print: string
    /** Makes the copy at the target the tenant's. */
    readonly accept: (row: TransferTenant) => Promise<void>
  },
): Promise<TransferTenant> {
  const { central, journal, run, from, to, report, signal, withDirectConnection, credentials } = options
  const { sessions, check, print } = how
  const { limits, follow } = stateOf(row)
  const link = linkOf(row.id)
  const back = backOf(row.id)
  const progress = createReporter(report, row.id)
  if (follow) for (const slot of [back.slot, back.checkSlot]) await replication.makeSlot(back, slot)
  const views = await populatedViews(sessions.source)
  const unrefreshed = await withDirectConnection(link.to.database, inside => refreshed(inside, views), to)
  if (unrefreshed) throw new TransferFailed(`${unrefreshed} Refresh them where the tenant is, then move it.`)
  await sessions.target`analyze`
  await how.accept(row)
  const printThere = await fingerprint(sessions.target)
  const [database] = await sessions.source<{ limit: number }[]>`
    select datconnlimit as limit from pg_database where datname = current_database()`
  const online = { ...stateOf(row), printThere, views, connectionLimit: database?.limit ?? -1 }
  await journal.note(run, row.id, { online: online as never })
  let now = await note(row, { step: 'accepted' })
  for (let attempt = 1; ; attempt++) {
    now = await note(now, { step: 'closing' })
    try {
      await switchOver(options, sessions, {
        run,
        link,
        limits,
        check,
        print,
        signal,
        slotsThere: follow ? [back.slot, back.checkSlot] : [],
        waitsFor: progress.waits,
        commit: async () => {
          await switchPlace(central, row.id, { run, from, to, key: credentials.current, step: 'relocated' })
        },
      })
    } catch (error) {
      const [known = now] = await journal.tenants(run)
      // The answer to the commit was lost.
      if (known.step === 'relocated') return known
      goOn(row.id)
      if (!(error instanceof HoldTooLong) || attempt >= ATTEMPTS) throw error
      progress.waits(`another attempt, as ${error.message}`)
      await sleep(1_000 * attempt)
      const look = async () => check.look(sessions, (await lagOf(sessions.here, link.slot)).end)
      await within(
        LOOK_MS,
        look().catch(() => 0),
        () => {
          throw new TransferFailed(`${(error as Error).message} The instance ${to} has not answered since.`)
        },
      )
      continue
    }
    report({ type: 'relocated', id: row.id })
    const [known = now] = await journal.tenants(run)
    return known
  }
}
