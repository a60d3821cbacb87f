// The end of every session of clients in a database that accepts no connection any more. A transaction under way has its limit; a
// session that rests is ended after a moment, as a notified replica has closed it by then. The sessions of replication go on.
// Invariant: a session that was being opened during the close is seen by its lock on the database, so that two clean looks
// in this order prove that no session can write.

import { setTimeout as sleep } from 'node:timers/promises'
import type { QueryClient } from '../../../plugins/distributed-tenant/types.js'
import { HoldTooLong } from './hold.js'

const REST_MS = 150
const BETWEEN_LOOKS_MS = 5

/**
 * `at`: the administrator's session on that instance. @returns how many were ended in the middle of a transaction
 * @throws HoldTooLong when some are left after `withinMs`
 */
export async function endClients(
  at: QueryClient,
  database: string,
  how: { readonly ours: readonly number[]; readonly transactionMs: number; readonly withinMs: number },
): Promise<number> {
  const { transactionMs, withinMs } = how
  const ours = [...how.ours]
  const began = performance.now()
  const ended = new Set<number>()
  for (;;) {
    const opening = await at`
      select from pg_locks where locktype = 'object' and classid = 'pg_database'::regclass
        and objid = (select oid from pg_database where datname = ${database}) and pid <> pg_backend_pid() and pid <> all(${ours}::int[])
        and pid not in (select pid from pg_stat_activity where backend_type <> 'client backend')`
    const left = await at<{ pid: number; rests: boolean }[]>`
      select pid, coalesce(state = 'idle', false) as rests from pg_stat_activity
      where datname = ${database} and backend_type in ('client backend', 'parallel worker') and pid <> all(${ours}::int[])`
    if (opening.length === 0 && left.length === 0) return ended.size
    const waited = performance.now() - began
    for (const { pid, rests } of left) {
      if (!(rests ? waited > REST_MS : waited > transactionMs)) continue
      await at`select pg_terminate_backend(${pid})`
      if (!rests) ended.add(pid)
    }
    if (waited > withinMs) {
      throw new HoldTooLong(`Sessions of ${database} do not end (process ${left.map(({ pid }) => pid).join(', ')}).`)
    }
    await sleep(BETWEEN_LOOKS_MS)
  }
}

/** The oldest transaction of a client there, in milliseconds; 0 when there is none. */
export async function oldestTransaction(at: QueryClient, database: string, ours: readonly number[]): Promise<number> {
  const [row] = await at<{ ms: number }[]>`
    select coalesce(max(extract(epoch from clock_timestamp() - xact_start)) * 1000, 0)::float8 as ms from pg_stat_activity
    where datname = ${database} and backend_type = 'client backend' and xact_start is not null and pid <> all(${[...ours]}::int[])`
  return row?.ms ?? 0
}
