// The connections that the database of a move allows: none to a copy that is kept, superusers' alone to one that follows.

import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'

/** @param limit of everybody but superusers; -1: none */
export async function allowConnections(
  at: SessionClient,
  database: string,
  { allow, limit }: { readonly allow: boolean; readonly limit: number },
): Promise<void> {
  const [row] = await at<{ statement: string }[]>`
    select format('alter database %I with allow_connections %s connection limit %s',
      ${database}::text, ${String(allow)}::text, ${String(limit)}::text) as statement`
  await at.unsafe((row as { statement: string }).statement)
}
