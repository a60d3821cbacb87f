// The tenants of a list: those that can be read one by one too, so deleted ones only on request.
import type { Lifecycle, RegistryRow, Tenants } from '../../plugins/distributed-tenant/index.js'
import { pageOfBytes } from '../http/paging.js'

export interface Listing {
  limit: number
  after: string | undefined
  lifecycle: Lifecycle | undefined
}

/** Read at a time: one query for a page of the usual length. */
const BATCH = 64

/** At most `limit` tenants after `after`, by id, and about 1 MB of them. `more`: whether there are others after these. */
export async function listTenants(
  tenants: Tenants,
  { limit, after, lifecycle }: Listing,
): Promise<{ rows: RegistryRow[]; more: boolean }> {
  const found: RegistryRow[] = []
  const fits = pageOfBytes()
  let last = after
  for (;;) {
    const rows = await tenants.list({
      limit: BATCH,
      ...(last !== undefined && { after: last }),
      ...(lifecycle && { lifecycle }),
    })
    for (const row of rows.filter(({ lifecycle: now }) => lifecycle === 'deleted' || now !== 'deleted')) {
      if (found.length === limit || !fits(row)) return { rows: found, more: true }
      found.push(row)
    }
    last = rows.at(-1)?.id
    if (rows.length < BATCH) return { rows: found, more: false }
  }
}
