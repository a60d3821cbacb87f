// The two places of an import without a freeze, and the names of what it makes there. A run brings many tenants of many services out of
// one server, so each name has a part for the service and the tenant. Names and connections only.

import { createHash } from 'node:crypto'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import type { ServiceName, TenantId } from '../../../plugins/distributed-tenant/types.js'
import { createInstance, type Instance } from '../../copying/external-instance.js'
import type { TransferTenant } from '../../copying/journal.js'
import type { TransferParts } from '../../copying/parts.js'
import { type Administrator, administratorOf, type Login } from '../../move/online/administrator.js'
import { type Identity, type Link, linkOf, type SwitchLimits } from '../../move/online/link.js'

export const SOURCE = 'source'
export const TARGET = 'target'

/** The journal's column `online` of an import; null for one with a freeze. */
export interface ImportState {
  readonly identities: readonly Identity[]
  readonly limits: SwitchLimits
  /** No tenant of the run is closed before all have caught up; one that fails takes back all. */
  readonly together?: boolean
  /** The command named no tenant, so that it means all. */
  readonly all?: boolean
}

export const stateOf = ({ online }: TransferTenant): ImportState => online as unknown as ImportState

const shortName = (service: ServiceName, id: TenantId): string =>
  createHash('sha256').update(`${service}/${id}`).digest('hex').slice(0, 8)

export function linkOfImport(
  { id, sourceDatabase }: Pick<TransferTenant, 'id' | 'sourceDatabase'>,
  { service, transfer }: { readonly service: ServiceName; readonly transfer: string },
): Link {
  return linkOf({
    id,
    run: `${transfer}-${shortName(service, id)}`,
    from: { instance: SOURCE, database: sourceDatabase },
    to: { instance: TARGET, database: tenantDatabaseName(id, service) },
  })
}

/** At the source the login of the import, at the target the one that `init` has. It closes the connections to the target alone. */
export function importAdministrator(
  source: Instance,
  { database }: Pick<TransferParts, 'database'>,
  { user, password }: Login,
): Administrator {
  const target = createInstance({ ...database, user, password, database: 'postgres' }, 'target')
  return administratorOf(
    new Map([
      [SOURCE, { ...source, close: async () => {} }],
      [TARGET, target],
    ]),
    user,
  )
}
