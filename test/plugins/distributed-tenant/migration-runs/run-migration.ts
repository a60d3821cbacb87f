// A process of its own that migrates all tenants, for tests that kill it. OPTIONS: { database, migrations }. Sends a
// message for each tenant that is done.

import { withOperations } from '../../../../operations/parts.js'
import { readEnvironment } from '../../../../plugins/distributed-tenant/config/environment.js'
import { settle } from '../../../../plugins/distributed-tenant/config/settings.js'
import { migrateFleet } from '../../../../plugins/distributed-tenant/migration-runs/migrate.js'
import { createTenancy } from '../../../../plugins/distributed-tenant/tenancy.js'

const { database, migrations } = JSON.parse(process.env.OPTIONS ?? '{}')
const tenancy = withOperations(
  createTenancy(
    settle(
      { service: 'employee', database, migrations: { tenant: migrations }, nats: null, redis: null },
      readEnvironment({}),
    ),
  ),
)
await migrateFleet(tenancy.fleet, { concurrency: 2, onTenant: outcome => process.send?.(outcome) })
await tenancy.close()
process.disconnect?.()
