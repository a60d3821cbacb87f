// The republication of all tenants: one event for each tenant with its whole state at its present version, written
// to the outbox of the service that makes tenants. A consumer that is up to date changes nothing; the relay publishes as usual.
import { randomBytes } from 'node:crypto'
import type { SqlClient } from '../plugins/distributed-tenant/types.js'

/** @returns how many events were written */
export async function writeResync(central: SqlClient): Promise<number> {
  // Its own message id: the stream drops what it has seen within its window.
  const run = randomBytes(4).toString('hex')
  const { count } = await central`
    insert into outbox (message_id, tenant_id, subject, payload)
    select subject || ':' || id || ':' || version || ':resync-' || ${run}, id, subject,
      jsonb_build_object('id', id, 'version', version, 'name', name, 'domain', domain, 'settings', settings,
        'is_active', lifecycle = 'active', 'actor', 'resync')
        || jsonb_strip_nulls(jsonb_build_object('incarnation', incarnation))
    from (
      select *, case lifecycle when 'deleted' then 'tenant.deleted' when 'suspended' then 'tenant.suspended'
        else 'tenant.updated' end as subject
      from tenants where version > 0
    ) states order by id`
  return count
}
