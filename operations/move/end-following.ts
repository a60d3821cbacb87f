// The end of a tenant's way back before its databases are dropped: a database with a slot or a subscription of it cannot be dropped,
// and only the administrator may drop those. A run that was killed after its switch is ended first.

import { stepsThatFollow } from '../../plugins/distributed-tenant/instances/following-copy.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { MoveParts } from './parts.js'
import { carryOutMove, finishMove, type HowToMove } from './run.js'

/** Nothing follows the tenant any more; its data stays as it is. @throws TRANSFER_REFUSED without the administrator's login */
export async function endFollowing(parts: MoveParts, id: TenantId, how: HowToMove): Promise<void> {
  const { central } = parts
  const stepOf = async (run: string): Promise<string | undefined> => (await how.journal.tenants(run))[0]?.step
  const runs = await central<{ run: string }[]>`
    select transfer_id as run from transfer_tenants join transfers on transfers.id = transfer_id
    where kind = 'move' and tenant_id = ${id} and step = any(${[...stepsThatFollow]}::text[]) order by started_at`
  for (const { run } of runs) {
    if ((await stepOf(run)) !== 'following') await carryOutMove(parts, run, how)
    if ((await stepOf(run)) === 'following') await finishMove(parts, run, how)
  }
}
