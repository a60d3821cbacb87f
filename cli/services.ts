// Owns opening what the command works on: the tenancy of each service. Everything that was opened is closed when the work is
// done or has failed.
import type { Tenancy } from '../plugins/distributed-tenant/tenancy.js'
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
  const { openTenancy } = await import('./open-tenancy.js')
  const open: OpenService[] = []
  try {
    for (const target of targets.services)
      open.push({ name: target.name, target, tenancy: openTenancy(target, targets) })
    return await work(open)
  } finally {
    await Promise.all(open.map(({ tenancy }) => tenancy.close()))
  }
}

/** One after the other would be as slow as the slowest of each: all at once, and the first failure is thrown. */
export async function fromEach<T>(
  services: readonly OpenService[],
  ask: (service: OpenService) => Promise<T>,
): Promise<(readonly [string, T])[]> {
  return Promise.all(services.map(async service => [service.name, await ask(service)] as const))
}
