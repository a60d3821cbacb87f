// The end of a tenant that an import has registered, when the import is rolled back: suspended at identity, looked at in every service,
// deleted. Invariant: one that has been written to since it was imported is left as it is. If identity is down: nothing is removed.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { Part, Registrar } from './parts.js'

/** No writes may happen between the last check and the removal, so it is suspended first. */
export async function unregister(id: TenantId, parts: readonly Part[], registrar: Registrar): Promise<void> {
  if (await registrar.suspend(id)) {
    await waitForLifecycle(parts, id, ['suspended', 'deleted'])
    for (const part of parts) {
      if (await part.transfer.untouched(part.row)) continue
      if (part.row.facts.active) await registrar.activate(id)
      throw new TransferRefused(
        part.row.contents === null
          ? `${id} came with --online and is large, so nothing says whether it has been written to in ${part.service} since: it was left as it is.`
          : `${id} has been written to in ${part.service} since it was imported, and was left as it is: its data is here and no longer at the source.`,
      )
    }
    await registrar.remove(id)
  } else if (!(await findTenant((parts[0] as Part).central, id))) {
    // Killed before identity had registered it.
    return
  }
  await waitForLifecycle(parts, id, ['deleted'])
  for (const part of parts) await part.removeNow(id)
}

const LIFECYCLE_MS = 30_000

async function waitForLifecycle(parts: readonly Part[], id: TenantId, lifecycles: readonly string[]): Promise<void> {
  const deadline = performance.now() + LIFECYCLE_MS
  for (const { service, central } of parts) {
    for (;;) {
      const row = await findTenant(central, id)
      if (row && lifecycles.includes(row.lifecycle)) break
      if (performance.now() > deadline) {
        throw new TransferFailed(
          `${service} has not recorded within ${LIFECYCLE_MS / 1000} s that ${id} is ${lifecycles[0]}: check that it runs, then roll back again.`,
        )
      }
      await sleep(50)
    }
  }
}
