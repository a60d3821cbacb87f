// A run of an import as the command starts it: recorded in the journal of each service before anything is
// touched, and executed with the parts of each service's tenancy.

import type { Instance } from '../copying/external-instance.js'
import { createJournal } from '../copying/journal.js'
import type { SwitchLimits } from '../move/online/link.js'
import type { OpenService } from '../open-services.js'
import type { ImportService } from './import.js'
import { createTenantTransfer, type TenantTransferOptions } from './import-tenant.js'
import type { ImportState } from './online/places.js'
import type { Administrators } from './online/preflight.js'
import type { Plan } from './plan.js'

/** @param limits of the switch, for a run without a freeze. @returns the id of the new run */
export async function beginRun(
  services: readonly OpenService[],
  source: Instance,
  plan: Plan,
  limits: SwitchLimits | null = null,
): Promise<string> {
  const online = limits && ({ identities: [], limits } satisfies ImportState as never)
  const id = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${crypto.randomUUID().slice(0, 6)}`
  for (const { name, tenancy } of services) {
    const mine = plan.tenants.flatMap(({ databases }) =>
      databases.filter(({ service }) => service === name).map(one => ({ ...one, online })),
    )
    await createJournal(tenancy.transfer.central).begin({ id, kind: 'import', source: source.label }, mine)
  }
  return id
}

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
