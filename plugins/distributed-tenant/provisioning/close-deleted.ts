// Closes the connections of a deleted tenant, and of one whose id is another tenant's now: at once on every replica, by the
// registry's own notification. Idle ones are closed; one in use is closed when its statement or transaction is over, at the
// latest at its deadline.
// If the listener is down: notifications may be lost, so the tenants with open connections are looked up when it is back.
import type { TenantId } from '../../../events/index.js'
import type { Pool } from '../../../postgres/pool/pool.js'
import type { Notifications, SqlClient } from '../types.js'

/** @returns the function that unsubscribes */
export function closeConnectionsOfDeleted(options: {
  readonly central: SqlClient
  readonly notifications: Notifications
  readonly tenants: Pick<Pool, 'evict' | 'info'>
}): () => void {
  const { central, notifications, tenants } = options
  const letGo = (id: TenantId): void => void tenants.evict(id)

  async function makeUp(): Promise<void> {
    const open = [...tenants.info().keys.keys()]
    if (open.length === 0) return
    const rows = await central<{ id: TenantId }[]>`
      select id from tenants where lifecycle = 'deleted' and id = any(${open}::text[])`
    for (const { id } of rows) letGo(id)
  }

  return notifications.subscribe(
    'fdt_tenants',
    payload => {
      const { id, lifecycle, reborn } = JSON.parse(payload) as { id: TenantId; lifecycle?: string; reborn?: boolean }
      if (lifecycle === 'deleted' || reborn) letGo(id)
    },
    // Without this read they are closed when they have been idle for long, and requests are refused by their lookup all the same.
    () => void makeUp().catch(() => {}),
  )
}
