// What a service and its commands are doing at this moment, as its central database shows it: by the locks of living sessions, and by rows
// of the last minute. `doctor` has it as a note: it passes by itself. Reads only, and takes no lock.

import type { QueryClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { lockNames, locksHeld, runsCarriedOut } from '../../postgres/advisory-locks.js'

/** After this a service had time: it looks every 10 s for spares, and every 60 s for a tenant whose event has not come. */
const LATELY = '1 minute'

/** Whether spares are made now, or one was taken so lately that its service has yet to look. */
export async function sparesAreMade(central: QueryClient): Promise<boolean> {
  if ((await locksHeld(central, [lockNames.spares])).size > 0) return true
  const [row] = await central<{ lately: boolean }[]>`
    select exists (select from tenants where ready_at > now() - ${LATELY}::interval) as lately`
  return row?.lately === true
}

/** The tenants whose database is made for the first time: none of its attempts has failed, and one runs, or is about to. */
export async function madeNow(central: QueryClient): Promise<Set<TenantId>> {
  const rows = await central<{ id: TenantId; lately: boolean }[]>`
    select id, updated_at > now() - ${LATELY}::interval as lately from tenants
    where provisioned = 'pending' and last_error is null`
  const old = rows.filter(({ lately }) => !lately)
  const held = await locksHeld(
    central,
    old.map(({ id }) => lockNames.provision(id)),
  )
  return new Set(rows.flatMap(({ id, lately }) => (lately || held.has(lockNames.provision(id)) ? [id] : [])))
}

/** Those of the runs of moves and imports that a process carries out, by themselves or as part of a drain or a rebalance. */
export async function runsUnderWay(central: QueryClient, runs: readonly string[]): Promise<Set<string>> {
  if (runs.length === 0) return new Set()
  const parts = await central<{ run: string; batch: string }[]>`
    select transfer_id as run, batch_id as batch from move_batch_tenants
    where transfer_id = any(${[...runs]}::text[]) and state = 'moving'`
  const carried = await runsCarriedOut(central, [...runs, ...parts.map(({ batch }) => batch)])
  const inBatches = parts.filter(({ batch }) => carried.has(batch)).map(({ run }) => run)
  return new Set([...runs.filter(run => carried.has(run)), ...inBatches])
}
