// The proof that no session writes: every session from before the rights were revoked has ended, and at the end the server's
// own counters show that no row was touched meanwhile. A running statement may end; an idle session, and one that
// takes too long, is ended. A session whose state cannot be seen counts as one to end.
import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'

export interface Patience {
  /** Milliseconds a session may idle before it is ended: a notified replica has closed it by then. */
  readonly restMs: number
  /** Milliseconds a statement or a transaction under way may take. */
  readonly graceMs: number
}

const PROOF_MS = 20_000
const BETWEEN_LOOKS_MS = 20
/** A session that was starting during the close shows only later. */
const LAST_LOOK_MS = 100

/**
 * Ends the sessions of a database that began at `before` or earlier, or all of them; `ours` are left alone.
 * @throws TRANSFER_FAILED naming the processes that do not end
 */
export async function endSessions(
  sql: QueryClient,
  database: string,
  how: { readonly before: string | null; readonly ours: readonly number[]; readonly patience: Patience },
): Promise<void> {
  const { before, ours, patience } = how
  const began = performance.now()
  for (let clean = false; ; ) {
    const left = await sql<{ pid: number; rests: boolean }[]>`
      select pid, coalesce(state = 'idle', false) as rests from pg_stat_activity
      where datname = ${database} and usesysid is not null and pid <> pg_backend_pid() and pid <> all(${[...ours]}::int[])
        and (${before}::timestamptz is null or backend_start is null or backend_start <= ${before}::timestamptz)`
    const waited = performance.now() - began
    if (left.length === 0 && clean) return
    clean = left.length === 0
    for (const { pid, rests } of left) {
      if (waited > patience.graceMs || (rests && waited > patience.restMs))
        await sql`select pg_terminate_backend(${pid})`
    }
    if (waited > PROOF_MS) {
      const pids = left.map(({ pid }) => pid).join(', ')
      throw new TransferFailed(
        `Sessions of ${database} do not end (process ${pids}): end them by hand, then move it again.`,
      )
    }
    await sleep(clean ? LAST_LOOK_MS : BETWEEN_LOOKS_MS)
  }
}

/** How many rows were ever written in this database, as the server counts them: exact once the sessions that wrote are over. */
export async function rowsWritten(inside: QueryClient): Promise<string> {
  const [row] = await inside<{ written: string }[]>`
    select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::text as written from pg_stat_user_tables`
  return (row as { written: string }).written
}

export const readPid = async (sql: QueryClient): Promise<number> => {
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
  return (row as { pid: number }).pid
}
