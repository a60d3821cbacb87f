// The SQL of the processes of a service and the connections that each may open. Invariant: the sum of `granted` never exceeds the
// smallest limit of all processes, as every change is made under one lock, and a process changes its own row alone: it raises the row before it opens more,
// and lowers it after it has closed some.
import { lockNames, lockTransaction } from '../../../postgres/advisory-locks.js'
import type { SqlClient } from '../types.js'

export const PROCESSES_CHANNEL = 'fdt_processes'
/** A process whose sessions are all gone counts as ended when it was not renewed for so long: it may be connecting again. */
const GONE_AFTER = '6 seconds'
/** A process that is frozen in a renewal would else keep all others from theirs. */
const LONGEST_RENEWAL = '5s'
/** Others may not be connected again yet. */
const SERVER_STARTED = '15 seconds'

/** Held by a process in its own session of notifications: PostgreSQL frees it when the process dies. `id` is ours, and a UUID. */
export const proofOfLife = (id: string): string =>
  `select pg_advisory_lock_shared(hashtextextended('${lockNames.process(id)}', 0))`

export interface Renewal {
  readonly id: string
  /** The most connections that all processes of the service may open, by the configuration of this one. */
  readonly limit: number
  /** The most that this one has use for. */
  readonly wanted: number
  /** The least that a process can run with; as much is kept free for the next one to start. */
  readonly least: number
  /** The most that this one may have open at this moment. */
  readonly holding: number
  /** Whether rows of others that were not renewed may be removed. */
  readonly mayRemove: boolean
}

export interface Lease {
  readonly granted: number
  /** What it should have with so many processes: below `granted`, some must be closed. */
  readonly target: number
  readonly processes: number
  /** The smallest limit of all processes: a lowered one holds as soon as the first process with it has started. */
  readonly limit: number
}

export async function renewLease(central: SqlClient, renewal: Renewal): Promise<Lease> {
  const { id, limit: own, wanted, least, holding, mayRemove } = renewal
  return central.begin(async tx => {
    await tx`
      select set_config('idle_in_transaction_session_timeout', ${LONGEST_RENEWAL}, true),
        set_config('lock_timeout', ${LONGEST_RENEWAL}, true)`
    await lockTransaction(tx, lockNames.processes)
    const removed = mayRemove
      ? await tx`
          with stale as materialized (
            select id from service_processes
            where id <> ${id} and seen_at < now() - ${GONE_AFTER}::interval
              and pg_postmaster_start_time() < now() - ${SERVER_STARTED}::interval)
          delete from service_processes where id in (
            select id from stale where pg_try_advisory_xact_lock(hashtextextended(${lockNames.process('')} || id, 0)))
          returning id`
      : []
    const [state] = await tx<{ others: number; sum: number; mine: number | null; limit: number }[]>`
      select count(*) filter (where id <> ${id})::int as others,
        coalesce(sum(granted) filter (where id <> ${id}), 0)::int as sum,
        max(granted) filter (where id = ${id}) as mine,
        least(${own}::int, min(connection_limit) filter (where id <> ${id})) as limit
      from service_processes`
    const { others, sum, mine, limit } = state as NonNullable<typeof state>
    const processes = others + 1
    const target = Math.min(wanted, Math.max(least, Math.floor((limit - least) / processes)))
    const before = mine ?? 0
    const granted =
      target > before ? Math.max(before, Math.min(target, limit - sum)) : Math.max(target, Math.min(before, holding))
    await tx`
      insert into service_processes (id, granted, connection_limit) values (${id}, ${granted}, ${own})
      on conflict (id) do update set granted = excluded.granted, connection_limit = excluded.connection_limit, seen_at = now()`
    // Others may raise their own, or have to lower it.
    if (mine === null || granted < before || removed.length > 0) await tx`select pg_notify(${PROCESSES_CHANNEL}, ${id})`
    return { granted, target, processes, limit }
  })
}

export async function endLease(central: SqlClient, id: string): Promise<void> {
  await central`
    with gone as (delete from service_processes where id = ${id} returning id)
    select pg_notify(${PROCESSES_CHANNEL}, id::text) from gone`
}
