// Whether an old copy of a tenant follows it since a move. Its slot and its subscription keep both databases from being dropped, and a
// service's role may drop neither.

import type { QueryClient, TenantId } from '../types.js'

/** Steps of a move's journal between its switch and the end of its way back. */
export const stepsThatFollow = ['relocated', 'following', 'returning', 'returned'] as const

/** @returns the run of the move; null when nothing follows */
export async function followingRun(sql: QueryClient, id: TenantId): Promise<string | null> {
  const [row] = await sql<{ run: string }[]>`
    select transfer_id as run from transfer_tenants join transfers on transfers.id = transfer_id
    where kind = 'move' and online is not null and tenant_id = ${id} and step = any(${[...stepsThatFollow]}::text[])
    order by started_at desc limit 1`
  return row?.run ?? null
}
