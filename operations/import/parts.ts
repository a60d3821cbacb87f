// What an import works with: a service's journal and transfer, a service's part of one tenant, and what it needs of identity. Types only.

import type { SqlClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import type { Journal, TenantFacts, TransferTenant } from '../copying/journal.js'
import type { TenantTransfer } from './import-tenant.js'

export interface ImportService {
  readonly service: string
  readonly central: SqlClient
  readonly journal: Journal
  readonly transfer: TenantTransfer
  readonly removeNow: (id: TenantId) => Promise<unknown>
  readonly report: (event: { readonly type: 'registered'; readonly id: TenantId }) => void
}

/** The part of identity that an import needs. Each call can be repeated. */
export interface Registrar {
  register(id: TenantId, facts: TenantFacts): Promise<void>
  /** @returns false when it knows no such tenant, or no more */
  suspend(id: TenantId): Promise<boolean>
  activate(id: TenantId): Promise<void>
  remove(id: TenantId): Promise<void>
}

/** A service's part of one tenant. */
export interface Part extends ImportService {
  row: TransferTenant
}
