// The registry's part of a move: the mark that a tenant is being moved, on which every replica closes its connections
// and every other part leaves it alone, and the switch. Invariant: the switch and its entry in the journal are one
// transaction. If the central database is down: nothing is switched.

import { lockNames, lockTransaction } from '../../plugins/distributed-tenant/advisory-locks.js'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import type { QueryClient, SqlClient, TenantId } from '../../plugins/distributed-tenant/types.js'

/** Under the tenant's lock, so that no other work on it is under way. @throws TRANSFER_REFUSED when it is not there */
export async function markMoving(
  central: SqlClient,
  id: TenantId,
  { from, state }: { readonly from: string; readonly state: 'frozen' | 'closing' },
): Promise<void> {
  await central.begin(async tx => {
    await lockTransaction(tx, lockNames.provision(id))
    const { count } = await tx`
      update tenants set moving = ${state}, moving_at = coalesce(case when moving is not null and ${state} = 'frozen' then moving_at end, now())
      where id = ${id} and instance = ${from} and provisioned = 'ready' and lifecycle <> 'deleted'`
    if (count === 0) {
      throw new TransferRefused(
        `${id} is not ready on the instance ${from} any more: look at \`distributed-tenant status\`.`,
      )
    }
  })
}

/** Makes every subscribed replica close its connections and open new ones. */
export async function notifyMoved(sql: QueryClient, id: TenantId): Promise<void> {
  await sql`
    select pg_notify('fdt_tenants',
      json_build_object('id', id, 'revision', revision, 'lifecycle', lifecycle, 'moved', true)::text)
    from tenants where id = ${id}`
}

export async function unmarkMoving(sql: QueryClient, id: TenantId): Promise<void> {
  await sql`update tenants set moving = null, moving_at = null where id = ${id} and moving is not null`
}

/** From here on the tenant is there. @throws TRANSFER_REFUSED when it is not where it was */
export async function switchPlace(
  central: SqlClient,
  id: TenantId,
  how: {
    readonly run: string
    readonly from: string
    readonly to: string
    readonly key: string
    readonly frozenAt: string
  },
): Promise<void> {
  await central.begin(async tx => {
    const { count } = await tx`
      update tenants set instance = ${how.to}, moving = null, moving_at = null, role_key = ${how.key}
      where id = ${id} and instance = ${how.from} and moving = 'closing'`
    if (count === 0)
      throw new TransferRefused(`${id} was changed by another process during its move: look at \`doctor\`.`)
    await tx`
      update transfer_tenants set step = 'switched', error = null, updated_at = now(),
        frozen_ms = extract(epoch from clock_timestamp() - ${how.frozenAt}::timestamptz) * 1000
      where transfer_id = ${how.run} and tenant_id = ${id}`
  })
}
