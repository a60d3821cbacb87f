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
    try {
      await waitForLifecycle(parts, id, ['suspended', 'deleted'])
      for (const part of parts) await refuseOnceWritten(id, part)
    } catch (error) {
      await goOn(id, parts, registrar, error as Error)
      throw error
    }
    await registrar.remove(id)
  } else if (!(await findTenant((parts[0] as Part).central, id))) {
    // Killed before identity had registered it.
    return
  }
  await waitForLifecycle(parts, id, ['deleted'])
  for (const part of parts) await part.removeNow(id)
}

async function refuseOnceWritten(id: TenantId, { service, row, transfer }: Part): Promise<void> {
  if (await transfer.untouched(row)) return
  throw new TransferRefused(
    row.contents === null
      ? `${id} came with --online and is large, so nothing says whether it has been written to in ${service} since: it was left as it is.`
      : `${id} has been written to in ${service} since it was imported, and was left as it is: its data is here and no longer at the source.`,
  )
}

/** It is not removed, so it is served as before. @throws TRANSFER_FAILED with both reasons */
async function goOn(id: TenantId, parts: readonly Part[], registrar: Registrar, error: Error): Promise<void> {
  if (!parts.some(({ row }) => row.facts.active)) return
  try {
    await registrar.activate(id)
  } catch (second) {
    throw new TransferFailed(`${error.message} ${id} stays suspended (${(second as Error).message}): activate it.`)
  }
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
