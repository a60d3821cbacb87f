// The instances of a service as an operator sees them: tenants, size, and whether new tenants may come. The mark that keeps them away
// is a row of the central database. Invariant: one instance at least takes new tenants.
// If an instance is down: its size is null, and it says why.

import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { listFull, markFull, unmarkFull } from '../../plugins/distributed-tenant/registry/full-instances.js'
import { surveyInstances } from '../move/many/survey.js'
import type { OperatorTenancy } from '../parts.js'

export interface InstanceFacts {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly tenants: number
  /** Of its databases; null where it does not answer. */
  readonly bytes: number | null
  readonly fullSince: Date | null
  readonly fullBy: string | null
  readonly error: string | null
}

export async function listInstances(tenancy: OperatorTenancy): Promise<InstanceFacts[]> {
  const { central } = tenancy.fleet
  const full = new Map((await listFull(central)).map(one => [one.name, one]))
  const counts = await central<{ instance: string; tenants: number }[]>`
    select instance, count(*)::int as tenants from tenants where provisioned <> 'removed' group by instance`
  const { instances } = await surveyInstances(tenancy.move)
  return tenancy.settings.instances.map(({ name, host, port }) => {
    const mark = full.get(name)
    const tenants = counts.find(one => one.instance === name)?.tenants ?? 0
    const { bytes = null, error = null } = instances.find(one => one.name === name) ?? {}
    return { name, host, port, tenants, bytes, fullSince: mark?.since ?? null, fullBy: mark?.markedBy ?? null, error }
  })
}

/** From now on no new tenant goes there. @returns false when it was marked already. @throws TRANSFER_REFUSED */
export async function closeInstance(tenancy: OperatorTenancy, name: string, by: string): Promise<boolean> {
  const { central, service } = tenancy.fleet
  const names = tenancy.settings.instances.map(one => one.name)
  if (!names.includes(name)) throw unknownInstance(service, name, names)
  const full = new Set((await listFull(central)).map(one => one.name))
  if (names.every(one => one === name || full.has(one))) {
    throw new TransferRefused(
      `${name} is the only instance of ${service} that takes new tenants: add one to DB_INSTANCES, or open another with \`instances open\`.`,
    )
  }
  return markFull(central, name, by)
}

/** New tenants may come again. @returns false when it was not marked. @throws TRANSFER_REFUSED */
export async function openInstance(tenancy: OperatorTenancy, name: string): Promise<boolean> {
  const { central, service } = tenancy.fleet
  const names = tenancy.settings.instances.map(one => one.name)
  // One that is no longer configured may have left its mark.
  if (await unmarkFull(central, name)) return true
  if (!names.includes(name)) throw unknownInstance(service, name, names)
  return false
}

export const unknownInstance = (service: string, name: string, names: readonly string[]): Error =>
  new TransferRefused(`${service} has no instance ${name}: it has ${names.join(', ')}.`)
