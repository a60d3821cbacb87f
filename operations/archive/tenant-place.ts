// The place of a tenant's database of one service, and the connection to it for backup, restore and export. The names of the
// databases that a restore makes beside it are here too; `_` separates the service, so that rights inside find it.

import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { QueryClient, RegistryRow, ServiceName, TenantId } from '../../plugins/distributed-tenant/types.js'
import type { TransferParts } from '../copying/parts.js'

export interface Place extends Pick<TransferParts, 'session' | 'withDirectConnection'> {
  /** The tenant's database. */
  readonly name: string
  /** For pg_dump and pg_restore. */
  readonly addressOf: (database: string) => DatabaseOptions
  /** For one question about the instance: at home a connection of the central database, which needs no reset behind it. */
  readonly look: <T>(fn: (sql: QueryClient) => Promise<T>) => Promise<T>
}

/** On the instance that the registry names; a tenant that it does not know goes to the default instance. */
export async function placeOf(parts: TransferParts, id: TenantId): Promise<Place> {
  return placeIn(parts, id, await findTenant(parts.central, id))
}

export function placeIn(
  { service, central, placeAt }: TransferParts,
  id: TenantId,
  row: Pick<RegistryRow, 'instance'> | null | undefined,
): Place {
  const instance = row?.instance ?? DEFAULT_INSTANCE
  const { database, session, withDirectConnection } = placeAt(instance)
  return {
    name: tenantDatabaseName(id, service),
    addressOf: name => ({ ...database, database: name }),
    session,
    withDirectConnection,
    look: instance === DEFAULT_INSTANCE ? fn => fn(central) : session,
  }
}

/** The database that is being restored, until it takes the tenant's name: at most 61 bytes. */
export const copyName = (id: TenantId, service: ServiceName): string => `copy_${service}_${id}`

/** The database that had the tenant's name before, until the restore is over. */
export const pastName = (id: TenantId, service: ServiceName): string => `past_${service}_${id}`
