// The time between the copy and the switch: the subscription applies what was written since the snapshot, and those rows are compared.
// If either server is down, or the network between them: it waits, and ends once the target has got nothing for two minutes.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { TransferTenant } from '../../copying/journal.js'
import type { ChangeCheck } from './check-changes.js'
import type { OnlineRun } from './online-run.js'
import { createApplyWatch, lagOf, positionOf, waitApplied } from './position.js'
import { createReporter } from './progress.js'
import type { Sessions } from './sessions.js'

/** So little of the log is left for the target that the switch waits for it no longer than for anything else. */
const SMALL_LAG_BYTES = 2 * 1024 * 1024
const BETWEEN_ROUNDS_MS = 200
/** Without a keepalive for so long the target is down, or the network to it. */
const SILENT_MS = 120_000

export interface Followed extends Pick<OnlineRun, 'linkOf' | 'goOn' | 'note'> {
  /** `from` and `to`: for messages. */
  readonly options: Pick<OnlineRun['options'], 'from' | 'to' | 'report' | 'signal'>
  readonly here: Pick<OnlineRun['here'], 'address'>
}

/** Until little is left to apply, and nearly all that was written since the snapshot is compared. */
export async function catchUp(
  { options, here, linkOf, goOn, note }: Followed,
  row: TransferTenant,
  {
    sessions,
    check,
    enough = () => true,
  }: {
    readonly sessions: Sessions
    readonly check: ChangeCheck
    /** Asked whenever little is left; false: it follows on. */
    readonly enough?: () => boolean
  },
): Promise<TransferTenant> {
  const { from, to, report, signal } = options
  const link = linkOf(row.id)
  const progress = createReporter(report, row.id)
  const look = createApplyWatch(link)
  const begun = await note(row, { step: 'following_up' })
  for (let moved = performance.now(), before = ''; ; ) {
    goOn(row.id)
    const { end, bytes } = await lagOf(sessions.here, link.slot)
    progress.lag(bytes)
    if (await waitApplied(sessions.there, link, end, { ms: 1_000, signal })) {
      await check.look(sessions, end)
      if (bytes < SMALL_LAG_BYTES && enough()) return note(begun, { step: 'caught_up' })
    }
    const position = await positionOf(sessions.there, link, end)
    look(position)
    const now = `${position.applied} ${position.received}`
    if (now !== before) [moved, before] = [performance.now(), now]
    if (performance.now() - moved > SILENT_MS) {
      const { host, port, servers = [{ host, port }] } = here.address
      const places = servers.map(server => `${server.host}:${server.port}`).join(', ')
      throw new TransferFailed(
        `The target has applied nothing for ${SILENT_MS / 1000} s: can ${to} reach ${from} at ${places}?`,
      )
    }
    await sleep(BETWEEN_ROUNDS_MS)
  }
}
