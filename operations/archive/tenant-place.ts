// The place of a tenant's database of one service, and the connection to it for backup, restore and export. The names of the
// databases that a restore makes beside it are here too; `_` separates the service, so that rights inside find it.

import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { ServiceName, TenantId } from '../../plugins/distributed-tenant/types.js'
import type { TransferParts } from '../copying/parts.js'

export interface Place extends Pick<TransferParts, 'session' | 'withDirectConnection'> {
  /** The tenant's database. */
  readonly name: string
  /** For pg_dump and pg_restore. */
  readonly addressOf: (database: string) => DatabaseOptions
}

/** On the instance that the registry names; a tenant that it does not know goes to the default instance. */
export async function placeOf({ service, central, placeAt }: TransferParts, id: TenantId): Promise<Place> {
  const row = await findTenant(central, id)
  const { database, session, withDirectConnection } = placeAt(row?.instance ?? DEFAULT_INSTANCE)
  return {
    name: tenantDatabaseName(id, service),
    addressOf: name => ({ ...database, database: name }),
    session,
    withDirectConnection,
  }
}

/** The database that is being restored, until it takes the tenant's name: at most 61 bytes. */
export const copyName = (id: TenantId, service: ServiceName): string => `copy_${service}_${id}`

/** The database that had the tenant's name before, until the restore is over. */
export const pastName = (id: TenantId, service: ServiceName): string => `past_${service}_${id}`
