// What every stage of a move without a freeze works with: its options, the two instances, its objects of replication, and the journal.

import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { TenantId } from '../../../plugins/distributed-tenant/types.js'
import type { Instance } from '../../copying/external-instance.js'
import type { Change, TransferTenant } from '../../copying/journal.js'
import type { MoveOptions } from '../move.js'
import { instanceAt } from '../reach-instance.js'
import type { Administrator } from './administrator.js'
import { type Link, linkOf, routesOf } from './link.js'
import { createReplication, type Replication } from './replication.js'
import { isRelocated } from './state.js'

export interface OnlineOptions extends MoveOptions {
  readonly admin: Administrator
}

export interface OnlineRun {
  readonly options: OnlineOptions
  readonly here: Instance
  readonly there: Instance
  readonly replication: Replication
  readonly linkOf: (id: TenantId) => Link
  /** The way back. */
  readonly backOf: (id: TenantId) => Link
  /** @throws TRANSFER_FAILED when the command was interrupted */
  goOn(id: TenantId): void
  /** Records and publishes a step. Before the switch it is where an interruption ends the move. */
  note(row: TransferTenant, change: Change): Promise<TransferTenant>
}

export function createOnlineRun(options: OnlineOptions): OnlineRun {
  const { journal, run, from, to, report, admin, signal } = options
  const { routeOf, backOf } = routesOf(options)

  function goOn(id: TenantId): void {
    if (!signal?.aborted) return
    const why = signal.reason instanceof TransferFailed ? ` (${signal.reason.message})` : ''
    throw new TransferFailed(`The move of ${id} was interrupted${why}.`)
  }

  return {
    options,
    here: instanceAt(options, from),
    there: instanceAt(options, to),
    replication: createReplication(name => instanceAt(options, name), admin),
    linkOf: id => linkOf(routeOf(id)),
    backOf,
    goOn,
    async note(row, change) {
      if (!isRelocated(row) && !change.step?.startsWith('und')) goOn(row.id)
      const now = await journal.note(run, row.id, change)
      if (change.step) report({ type: change.step, id: row.id })
      return now
    },
  }
}
