// A run of an import as the command starts it: recorded in the journal of each service before anything is
// touched, and executed with the parts of each service's tenancy.

import type { Instance } from '../copying/external-instance.js'
import { createJournal } from '../copying/journal.js'
import type { OpenService } from '../open-services.js'
import type { ImportService } from './import.js'
import { createTenantTransfer, type TenantTransferOptions } from './import-tenant.js'
import type { Plan } from './plan.js'

/** @returns the id of the new run */
export async function beginRun(services: readonly OpenService[], source: Instance, plan: Plan): Promise<string> {
  const id = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${crypto.randomUUID().slice(0, 6)}`
  for (const { name, tenancy } of services) {
    const mine = plan.tenants.flatMap(({ databases }) => databases.filter(({ service }) => service === name))
    await createJournal(tenancy.transfer.central).begin({ id, kind: 'import', source: source.label }, mine)
  }
  return id
}

export type RunOptions = Pick<
  TenantTransferOptions,
  'source' | 'programs' | 'folder' | 'jobs' | 'largeBytes' | 'compare'
>

export const servicesOf = (services: readonly OpenService[], id: string, options: RunOptions): ImportService[] =>
  services.map(({ name, tenancy: { transfer } }) => {
    const journal = createJournal(transfer.central)
    return {
      service: name,
      central: transfer.central,
      journal,
      transfer: createTenantTransfer({ ...transfer, ...options, transfer: id, journal }),
      removeNow: transfer.removeNow,
      report: transfer.report,
    }
  })
