// How far the target of a subscription is. A position is reached when the target reports a keepalive from behind it: the worker
// applies what it gets in order, so everything before is applied. (The position that it reports as flushed comes up to 300 ms later.)
// Invariant: every wait has a limit. A change that the target cannot apply is tried again by its server; a watch ends the wait after
// some attempts without progress. If the source is down: the position stays, and the server of the target connects again by itself.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { QueryClient, SessionClient } from '../../../plugins/distributed-tenant/types.js'
import type { Link } from './link.js'

const BETWEEN_LOOKS_MS = 5
/** The server tries again every 5 s. One attempt can end with a lost connection that is counted as an error. */
const ATTEMPTS = 3

export interface Position {
  readonly enabled: boolean
  /** Null until the worker has begun. */
  readonly applied: string | null
  readonly reached: boolean
  /** When the worker last got anything from the source, also in the middle of a transaction that it applies. */
  readonly received: string | null
  /** `applied` as a number of bytes; 0 until the worker has begun. */
  readonly bytes: number
  /** Attempts to apply a change that have failed, since the subscription was made. */
  readonly errors: number
}

/** `at`: the administrator's session on the target. */
export async function positionOf(at: QueryClient, { subscription }: Link, wanted: string): Promise<Position> {
  const [row] = await at<Position[]>`
    select subenabled as enabled, latest_end_lsn::text as applied, coalesce(latest_end_lsn >= ${wanted}::pg_lsn, false) as reached,
      last_msg_receipt_time::text as received, coalesce(pg_wal_lsn_diff(latest_end_lsn, '0/0'), 0)::float8 as bytes,
      coalesce(e.apply_error_count, 0)::float8 as errors
    from pg_subscription left join pg_stat_subscription s on s.subid = oid and s.relid is null
      left join pg_stat_subscription_stats e on e.subid = oid where pg_subscription.subname = ${subscription}`
  if (!row) throw new TransferFailed(`The subscription ${subscription} is gone: begin again.`)
  if (!row.enabled) {
    throw new TransferFailed(
      `The subscription ${subscription} is disabled, which no move does: enable it, or begin again.`,
    )
  }
  return row
}

/** @returns a function to look at each position with. @throws TRANSFER_FAILED when a change cannot be applied */
export function createApplyWatch({ subscription, to }: Link): (position: Pick<Position, 'bytes' | 'errors'>) => void {
  let furthest = -1
  let errorsThere = 0
  return ({ bytes, errors }) => {
    if (bytes > furthest) [furthest, errorsThere] = [bytes, errors]
    if (errors - errorsThere < ATTEMPTS) return
    throw new TransferFailed(
      `The target could not apply a change of ${subscription} to ${to.database} in ${ATTEMPTS} attempts: its server’s log has the reason.`,
    )
  }
}

/** @returns whether it was reached within the limit */
export async function waitApplied(
  at: QueryClient,
  link: Link,
  wanted: string,
  how: { readonly ms: number; readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  const until = performance.now() + how.ms
  while (!(await positionOf(at, link, wanted)).reached) {
    if (performance.now() > until || how.signal?.aborted) return false
    await sleep(BETWEEN_LOOKS_MS)
  }
  return true
}

/** The end of the source's log now, and how much of it the slot still holds for the target. */
export async function lagOf(at: QueryClient, slot: string): Promise<{ readonly end: string; readonly bytes: number }> {
  const [row] = await at<{ end: string; bytes: number; status: string }[]>`
    select pg_current_wal_lsn()::text as end, wal_status as status,
      greatest(0, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn))::float8 as bytes
    from pg_replication_slots where slot_name = ${slot}`
  if (!row || row.status === 'lost') {
    throw new TransferFailed(
      `The replication slot ${slot} is ${row ? 'lost: raise max_slot_wal_keep_size at the source' : 'gone'}, and with it changes.`,
    )
  }
  return row
}

/** Writes a marker into the log, and all before it to the disk. @returns its position */
export function writeMarker(at: SessionClient, run: string): Promise<string> {
  return at.begin(async tx => {
    await tx.unsafe('set local synchronous_commit = on')
    const [row] = await tx<
      { lsn: string }[]
    >`select pg_logical_emit_message(true, 'distributed-tenant', ${run})::text as lsn`
    return (row as { lsn: string }).lsn
  })
}
