// A comparison of all rows may take hours: it is cancelled at both servers when the move is interrupted, or must end.

import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { readPid } from '../no-writers.js'
import type { Administrator } from './administrator.js'
import type { Spot } from './link.js'

/** Runs `work`, whose statements run in these sessions, and cancels them once the signal comes. */
export async function cancelledOn<T>(
  signal: AbortSignal | undefined,
  {
    admin,
    sessions,
  }: { admin: Pick<Administrator, 'at'>; sessions: readonly { at: Spot['instance']; sql: SessionClient }[] },
  work: () => Promise<T>,
): Promise<T> {
  const pids: { at: string; pid: number }[] = []
  for (const { at, sql } of sessions) pids.push({ at, pid: await readPid(sql) })
  const cancel = (): void => {
    for (const { at, pid } of pids) {
      // A server that cannot be asked has lost the session as well.
      admin.at(at, sql => sql`select pg_cancel_backend(${pid})`).catch(() => {})
    }
  }
  if (signal?.aborted) cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    return await work()
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}
