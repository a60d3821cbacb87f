// The schedule of attempts: the columns `attempts`, `last_error` and `next_attempt_at` of the registry.
// Invariants: while an attempt runs its row is due again soon, so that a killed process leaves no tenant stuck; a due row is
// claimed by one process at a time; there is no last try. Times are the database's own, whatever a process's clock is.

import type { TenantId } from '../../../events/index.js'
import { lockNames } from '../../../postgres/advisory-locks.js'
import { backoffMs } from '../../../timing/backoff.js'
import type { QueryClient } from '../types.js'

/** After this an attempt whose process has died is made again. One that still runs holds its lock and is not claimed. */
const ATTEMPT_LEASE_MS = 15_000
/** After this a tenant whose event never came is tried. Longer: the events of many tenants in the queue come within it. */
const UNHEARD_MS = 60_000
/** The same while no event can come. */
const UNHEARD_IN_SILENCE_MS = 500
const FIRST_DELAY_MS = 1_000
const LONGEST_DELAY_MS = 300_000

/** 1 s doubling to 5 min, a fifth of it at random either way. `attempts` counts the one that has just failed. */
export const retryDelayMs = (attempts: number): number =>
  backoffMs({ firstMs: FIRST_DELAY_MS, longestMs: LONGEST_DELAY_MS }, Math.max(attempts, 1) - 1)

/**
 * Claims up to `limit` tenants that are due, the longest due first; no other process claims them before the lease is over.
 * A pending one that was never tried is due a minute after its last change: its event was lost or waits for NATS. With
 * `silence`, no event comes at present, and it is due at once.
 */
export async function claimDue(sql: QueryClient, limit: number, silence = false): Promise<TenantId[]> {
  const unheardMs = silence ? UNHEARD_IN_SILENCE_MS : UNHEARD_MS
  const rows = await sql<{ id: TenantId; free: boolean }[]>`
    with due as materialized (
      select id from tenants
      where lifecycle <> 'deleted' and provisioned in ('pending', 'failed', 'ready') and (
        next_attempt_at <= now() or (next_attempt_at is null and provisioned = 'pending'
          and updated_at < now() - ${unheardMs} * interval '1 millisecond'))
      order by next_attempt_at limit ${limit} for update skip locked
    )
    update tenants set next_attempt_at = now() + ${ATTEMPT_LEASE_MS} * interval '1 millisecond'
    from (select id, pg_try_advisory_xact_lock(hashtextextended(${lockNames.provision('')} || id, 0)) as free from due) as one
    where tenants.id = one.id
    returning tenants.id, one.free`
  return rows.filter(row => row.free).map(row => row.id)
}

/** Records that provisioning has begun once more; if this process dies, the tenant is due again when the lease is over. */
export async function recordAttempt(sql: QueryClient, id: TenantId): Promise<void> {
  await sql`
    update tenants set attempts = attempts + 1, step = 'claim',
      next_attempt_at = now() + ${ATTEMPT_LEASE_MS} * interval '1 millisecond'
    where id = ${id}`
}

/** Postpones a tenant that needs work, without an attempt: the breaker of its instance is open. */
export async function deferAttempt(
  sql: QueryClient,
  id: TenantId,
  { error, delayMs }: { error: string; delayMs: number },
): Promise<void> {
  await sql`
    update tenants set last_error = ${error.slice(0, 500)}, next_attempt_at = now() + ${delayMs} * interval '1 millisecond'
    where id = ${id} and lifecycle <> 'deleted' and provisioned in ('pending', 'failed')`
}

/** After a change of identity's: tenants that are not ready are tried at once, whatever they wait for. */
export async function retryNow(sql: QueryClient, ids: readonly TenantId[]): Promise<void> {
  await sql`
    update tenants set next_attempt_at = now(),
      provisioned = case when provisioned in ('foreign', 'removed') then 'pending' else provisioned end
    where id = any(${ids as TenantId[]}::text[]) and lifecycle <> 'deleted'
      and provisioned in ('pending', 'failed', 'foreign', 'removed')`
}

/** Tenants to be checked again: tried when no other attempt is due for them already. */
export async function scheduleRetry(sql: QueryClient, ids: readonly TenantId[]): Promise<void> {
  await sql`
    update tenants set next_attempt_at = now()
    where id = any(${ids as TenantId[]}::text[]) and lifecycle <> 'deleted' and provisioned = 'pending'
      and next_attempt_at is null`
}

/** Whether the tenant has no database here yet that it should have. */
export async function needsAttempt(sql: QueryClient, id: TenantId): Promise<boolean> {
  const [row] = await sql`
    select 1 from tenants where id = ${id} and lifecycle <> 'deleted' and provisioned in ('pending', 'failed')`
  return row !== undefined
}

/** Whether nothing is left to do, or the next attempt is scheduled. */
export async function isSettled(sql: QueryClient, id: TenantId): Promise<boolean> {
  const [row] = await sql<{ settled: boolean }[]>`
    select lifecycle = 'deleted' or next_attempt_at is not null or provisioned not in ('pending', 'failed') as settled
    from tenants where id = ${id}`
  return row?.settled ?? true
}
