// Owns how a tenant is told to the operator: the registry's row and what every service said about it, as one.
import type { RegistryRow } from '../../plugins/distributed-tenant/index.js'
import type { Ledger, Progress } from './ledger.js'
import type { Tenant } from './schemas/tenant.js'

export interface Presentation {
  one(row: RegistryRow): Promise<Tenant>
  /** One question to the ledger, however many rows. */
  many(rows: readonly RegistryRow[]): Promise<Tenant[]>
}

export function createPresentation(ledger: Ledger): Presentation {
  const tenant = (row: RegistryRow, services: Progress): Tenant => ({
    id: row.id,
    name: row.name,
    domain: row.domain,
    settings: row.settings,
    lifecycle: row.lifecycle,
    version: row.version,
    status: ledger.summarize(services),
    services,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  })

  async function many(rows: readonly RegistryRow[]): Promise<Tenant[]> {
    const services = await ledger.read(rows.map(({ id }) => id))
    return rows.map(row => tenant(row, services.get(row.id) ?? {}))
  }

  return {
    many,
    one: async row => (await many([row]))[0] as Tenant,
  }
}
