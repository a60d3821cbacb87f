// A run of an import as the command starts it: recorded in the journal of each service before anything is
// touched, and executed with the parts of each service's tenancy.

import type { Instance } from '../copying/external-instance.js'
import { createJournal, type Journal, type TransferTenant } from '../copying/journal.js'
import type { SwitchLimits } from '../move/online/link.js'
import type { OpenService } from '../open-services.js'
import { createTenantTransfer, type TenantTransferOptions } from './import-tenant.js'
import { type ImportState, stateOf } from './online/places.js'
import type { Administrators } from './online/preflight.js'
import type { ImportService } from './parts.js'
import type { Plan } from './plan.js'

/** Of a run without a freeze. */
export interface SwitchHow {
  readonly limits: SwitchLimits
  readonly together: boolean
  readonly all: boolean
}

/** @param how null: with a freeze. @returns the id of the new run */
export async function beginRun(
  services: readonly OpenService[],
  source: Instance,
  plan: Plan,
  how: SwitchHow | null = null,
): Promise<string> {
  const online = how && ({ identities: [], ...how } satisfies ImportState as never)
  const id = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${crypto.randomUUID().slice(0, 6)}`
  for (const { name, tenancy } of services) {
    const mine = plan.tenants.flatMap(({ databases }) =>
      databases.filter(({ service }) => service === name).map(one => ({ ...one, online })),
    )
    await createJournal(tenancy.transfer.central).begin({ id, kind: 'import', source: source.label }, mine)
  }
  return id
}

/** The command looks no further back. */
const MOST_RUNS = 50

export type RunOptions = Pick<
  TenantTransferOptions,
  'source' | 'programs' | 'folder' | 'jobs' | 'largeBytes' | 'compare' | 'signal'
> & { readonly admins?: Administrators | null }

export const servicesOf = (
  services: readonly OpenService[],
  id: string,
  { admins = null, ...options }: RunOptions,
): ImportService[] =>
  services.map(({ name, tenancy: { transfer } }) => {
    const journal = createJournal(transfer.central)
    return {
      service: name,
      central: transfer.central,
      journal,
      transfer: createTenantTransfer({
        ...transfer,
        ...options,
        transfer: id,
        journal,
        admin: admins?.get(transfer.service) ?? null,
      }),
      removeNow: transfer.removeNow,
      report: transfer.report,
    }
  })

/** Whether the run was begun without a freeze, and how many services its largest tenant is in. */
export async function wayOf(
  services: readonly OpenService[],
  run: string,
): Promise<{ readonly online: boolean; readonly services: number }> {
  const counts = new Map<string, number>()
  let online = false
  for (const { tenancy } of services) {
    for (const row of await createJournal(tenancy.transfer.central).tenants(run)) {
      online ||= row.online !== null
      counts.set(row.id, (counts.get(row.id) ?? 0) + 1)
    }
  }
  return { online, services: Math.max(0, ...counts.values()) }
}

/**
 * The run without a freeze that the same command has begun and that has not ended: the newest from this source that was begun
 * for all tenants, or for exactly those that are named. @returns null when there is none
 */
export async function runToGoOnWith(
  services: readonly OpenService[],
  source: Instance,
  tenants: readonly string[] | undefined,
): Promise<string | null> {
  const [first] = services
  const runs = first ? await createJournal(first.tenancy.transfer.central).list(MOST_RUNS) : []
  for (const { id, state, source: label } of runs) {
    if (label !== source.label || state === 'done' || state === 'rolled_back') continue
    const rows = await rowsOf(services, id)
    // One that was killed before each service had recorded it has touched nothing.
    if (rows === null || rows.length === 0 || rows.some(({ row }) => row.online === null)) continue
    const ids = new Set<string>(rows.map(({ row }) => row.id))
    const forAll = rows.every(({ row }) => stateOf(row).all)
    const isSame = tenants ? !forAll && tenants.length === ids.size && tenants.every(one => ids.has(one)) : forAll
    if (isSame) return id
  }
  return null
}

/** From now on a run without a freeze has these limits. */
export async function setSwitch(services: readonly OpenService[], run: string, how: SwitchHow): Promise<void> {
  for (const { journal, row } of (await rowsOf(services, run)) ?? [])
    await journal.note(run, row.id, { online: { ...stateOf(row), ...how } as never })
}

/** @returns null when a service does not know it */
async function rowsOf(
  services: readonly OpenService[],
  run: string,
): Promise<{ readonly journal: Journal; readonly row: TransferTenant }[] | null> {
  const rows: { journal: Journal; row: TransferTenant }[] = []
  for (const { tenancy } of services) {
    const journal = createJournal(tenancy.transfer.central)
    if (!(await journal.list(MOST_RUNS)).some(({ id }) => id === run)) return null
    for (const row of await journal.tenants(run)) rows.push({ journal, row })
  }
  return rows
}
