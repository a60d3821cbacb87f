// Owns which tenants a list shows: those that can be read one by one too, so deleted ones only when asked for by name.
import type { Lifecycle, RegistryRow, Tenants } from '../../plugins/distributed-tenant/index.js'

export interface Listing {
  limit: number
  after: string | undefined
  lifecycle: Lifecycle | undefined
}

/** At most `limit` tenants behind `after`, by id. */
export async function listTenants(tenants: Tenants, { limit, after, lifecycle }: Listing): Promise<RegistryRow[]> {
  const found: RegistryRow[] = []
  let last = after
  while (found.length < limit) {
    const rows = await tenants.list({
      limit,
      ...(last !== undefined && { after: last }),
      ...(lifecycle && { lifecycle }),
    })
    found.push(...rows.filter(row => lifecycle === 'deleted' || row.lifecycle !== 'deleted'))
    last = rows.at(-1)?.id
    if (rows.length < limit) break
  }
  return found.slice(0, limit)
}
