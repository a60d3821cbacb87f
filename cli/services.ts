// Owns opening what the command works on: the tenancy of each service, as the service itself builds it, but without Redis,
// NATS and Fastify. Everything that was opened is closed when the work is done or has failed.
import { readEnvironment } from '../plugins/distributed-tenant/environment.js'
import { settle } from '../plugins/distributed-tenant/options.js'
import { createTenancy, type Tenancy } from '../plugins/distributed-tenant/tenancy.js'
import type { ServiceTarget, Targets } from './targets.js'

export interface OpenService {
  readonly name: string
  readonly target: ServiceTarget
  readonly tenancy: Tenancy
}

export async function withServices<T>(
  targets: Targets,
  work: (services: readonly OpenService[]) => Promise<T>,
): Promise<T> {
  const open: OpenService[] = []
  try {
    for (const target of targets.services)
      open.push({ name: target.name, target, tenancy: openTenancy(target, targets) })
    return await work(open)
  } finally {
    await Promise.all(open.map(({ tenancy }) => tenancy.close()))
  }
}

function openTenancy(target: ServiceTarget, { identityUrl, serviceToken, roleSecret }: Targets): Tenancy {
  const { name, database, migrations } = target
  return createTenancy(
    settle(
      {
        service: name,
        database,
        migrations,
        nats: null,
        redis: null,
        trustedGateway: true,
        // What only a service that serves must have is not asked of whoever looks at it.
        production: false,
        identity: identityUrl && serviceToken ? { url: identityUrl, token: serviceToken } : null,
        ...(roleSecret === null ? {} : { roleSecret }),
      },
      readEnvironment(),
    ),
  )
}

/** One after the other would be as slow as the slowest of each: all at once, and the first failure is thrown. */
export async function fromEach<T>(
  services: readonly OpenService[],
  ask: (service: OpenService) => Promise<T>,
): Promise<(readonly [string, T])[]> {
  return Promise.all(services.map(async service => [service.name, await ask(service)] as const))
}
