// The command's tenancy of a service: built as the service itself does, but without Redis, NATS and Fastify. It opens
// nothing yet; the caller closes it.
import { readEnvironment } from '../plugins/distributed-tenant/config/environment.js'
import { settle } from '../plugins/distributed-tenant/config/settings.js'
import { createTenancy } from '../plugins/distributed-tenant/tenancy.js'
import { type OperatorTenancy, withOperations } from './parts.js'
import type { ServiceTarget, Targets } from './targets.js'

/** For each answer of a server. */
export const PATIENCE_MS = 30_000

export function openTenancy(target: ServiceTarget, { identityUrl, serviceToken }: Targets): OperatorTenancy {
  const { name, database, migrations, instances, roleSecret } = target
  // Its folders are one service's, which the target has; others must not get them.
  const { CENTRAL_MIGRATIONS: _, TENANT_MIGRATIONS: __, ...environment } = readEnvironment()
  return withOperations(
    createTenancy(
      settle(
        {
          service: name,
          database,
          migrations: {
            ...(migrations.central && { central: migrations.central }),
            ...(migrations.tenant && { tenant: migrations.tenant }),
          },
          ...(instances && { instances }),
          nats: null,
          redis: null,
          // No request waits: a server that is busy is not reported as down.
          acquireTimeout: PATIENCE_MS,
          trustedGateway: true,
          // Settings that only a serving process needs are not required here.
          production: false,
          identity: identityUrl && serviceToken ? { url: identityUrl, token: serviceToken } : null,
          ...(roleSecret === null ? {} : { roleSecret }),
        },
        environment,
      ),
    ),
  )
}
