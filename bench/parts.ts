// The plugin's parts without its way of finding a tenant, for arms that are to differ from `ours` in that alone. They are
// built as the plugin builds them, with the same options.
import type { FastifyInstance } from 'fastify'
import { settle } from '../plugins/distributed-tenant/config/settings.js'
import { createTenancy, type Tenancy } from '../plugins/distributed-tenant/tenancy.js'
import type { TenantId } from '../plugins/distributed-tenant/types.js'
import type { ClientScope } from '../postgres/sql/client.js'
import type { ArmConfig } from './arm.js'
import { pluginOptions } from './ours.js'

export interface Parts {
  readonly tenancy: Tenancy
  readonly clientFor: (id: TenantId) => ClientScope
}

/** They are closed with the server; `tenancy.prepare()` is the caller's, once it has subscribed to its steps. */
export function makeParts(app: FastifyInstance, config: ArmConfig): Parts {
  const tenancy = createTenancy(settle(pluginOptions(config)))
  app.addHook('onClose', () => tenancy.close())
  return { tenancy, clientFor: tenancy.pools.clientFor }
}
