// A tenant as the operator reads it: the registry's row and the statuses of all services, as one.
import type { RegistryRow } from '../../plugins/distributed-tenant/index.js'
import type { Ledger, Progress } from './ledger.js'
import type { Tenant } from './schemas/tenant.js'

/** The columns of a registry's row that are shown. */
export type Shown = Pick<
  RegistryRow,
  | 'id'
  | 'name'
  | 'domain'
  | 'settings'
  | 'lifecycle'
  | 'version'
  | 'createdAt'
  | 'updatedAt'
  | 'deletedAt'
  | 'purgeAfter'
>

export interface Presentation {
  one(row: Shown): Promise<Tenant>
  /** One query of the ledger, however many rows. */
  many(rows: readonly Shown[]): Promise<Tenant[]>
}

export function createPresentation(ledger: Ledger): Presentation {
  const tenant = (row: Shown, services: Progress): Tenant => ({
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
    deletedAt: row.deletedAt,
    purgeAfter: row.purgeAfter,
  })

  async function many(rows: readonly Shown[]): Promise<Tenant[]> {
    const services = await ledger.read(rows.map(({ id }) => id))
    return rows.map(row => tenant(row, services.get(row.id) ?? {}))
  }

  return {
    many,
    one: async row => (await many([row]))[0] as Tenant,
  }
}
