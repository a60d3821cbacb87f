// The registry's part of a move: the mark that a tenant is being moved, on which every replica closes its connections
// and every other part leaves it alone, and the switch. Invariant: the switch and its entry in the journal are one
// transaction. If the central database is down: nothing is switched.

import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import type { QueryClient, SqlClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { lockNames, lockTransaction } from '../../postgres/advisory-locks.js'

/** Under the tenant's lock, so that no other work on it is under way. @throws TRANSFER_REFUSED when it is not there */
export async function markMoving(
  central: SqlClient,
  id: TenantId,
  { from, state }: { readonly from: string; readonly state: 'copying' | 'frozen' | 'closing' },
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

/**
 * A tenant that is held goes on where it was: under its row's lock, so that a switch whose answer was lost is either seen or
 * cannot happen any more. `open` runs in between, where it was closed. @returns false when the registry has it at another instance
 */
export async function releaseHold(
  central: SqlClient,
  id: TenantId,
  from: string,
  open: () => Promise<void>,
): Promise<boolean> {
  return central.begin(async tx => {
    const [row] = await tx<{ instance: string; moving: string | null }[]>`
      select instance, moving from tenants where id = ${id} for update`
    if (row && row.instance !== from) return false
    if (row?.moving !== 'closing') return true
    await open()
    await tx`update tenants set moving = 'copying' where id = ${id}`
    return true
  })
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
    /** Default: when it was marked as closing. */
    readonly frozenAt?: string
    /** Of the journal. */
    readonly step?: 'switched' | 'relocated' | 'returned'
  },
): Promise<void> {
  await central.begin(async tx => {
    const [before] = await tx<{ at: string }[]>`
      select coalesce(moving_at, now())::text as at from tenants
      where id = ${id} and instance = ${how.from} and moving = 'closing' and lifecycle <> 'deleted' for update`
    if (before)
      await tx`update tenants set instance = ${how.to}, moving = null, moving_at = null, role_key = ${how.key} where id = ${id}`
    else throw new TransferRefused(`${id} was changed by another process during its move: look at \`doctor\`.`)
    await tx`
      update transfer_tenants set step = ${how.step ?? 'switched'}, error = null, updated_at = now(),
        frozen_ms = extract(epoch from clock_timestamp() - ${how.frozenAt ?? before?.at ?? ''}::timestamptz) * 1000
      where transfer_id = ${how.run} and tenant_id = ${id}`
  })
}
