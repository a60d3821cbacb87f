// The two ways to drop a tenant's database: the purger asks for confirmation first, as the data is gone then; the remover
// undoes an import, whose data is still at its origin.

import type { Settings } from '../config/settings.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { PurgeStep } from '../diagnostics/steps.js'
import { IdentityUnavailable } from '../errors.js'
import { createPurger, type Purger } from '../provisioning/purge.js'
import type { Feed } from '../reconciliation/feed-client.js'
import type { RegistryRow, TenantId } from '../types.js'
import type { Pools } from './pools.js'

export function assemblePurgers(
  settings: Settings,
  {
    pools,
    instances,
    feed,
    publish,
  }: { pools: Pools; instances: readonly string[]; feed: Feed | null; publish: PublishStep },
): { readonly purger: Purger; readonly remover: Purger } {
  const purges = {
    service: settings.service,
    session: pools.provisioning.session,
    instances,
    sessionAt: pools.sessionAt,
    report: (event: { step: PurgeStep; id: TenantId }) => publish({ area: 'purge', event }),
  }
  return {
    purger: createPurger({ ...purges, confirm: confirmPurge(settings, feed) }),
    remover: createPurger({ ...purges, confirm: async () => true }),
  }
}

/** Where tenants are made the row itself confirms; elsewhere identity's feed does, and without its URL there is no confirmation. */
function confirmPurge({ source }: Settings, feed: Feed | null): (row: RegistryRow) => Promise<boolean> {
  if (source) return async ({ purgeAfter }) => purgeAfter !== null && purgeAfter.getTime() <= Date.now()
  return async ({ id }) => {
    if (!feed) throw new IdentityUnavailable('IDENTITY_URL or SERVICE_TOKEN is not set')
    return (await feed.tenant(id))?.purgeable ?? false
  }
}
