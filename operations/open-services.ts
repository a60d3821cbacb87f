// Opens the tenancy of each service that the command works on. Invariant: all are closed when the work is
// done or has failed.
import { isWithoutPrimary, isWithoutTls } from '../postgres/connections/failures.js'
import type { OperatorTenancy } from './parts.js'
import type { ServiceTarget, Targets } from './targets.js'

export interface OpenService {
  readonly name: string
  readonly target: ServiceTarget
  readonly tenancy: OperatorTenancy
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
  } catch (error) {
    throw await namingWho(error, open, targets)
  } finally {
    await Promise.all(open.map(({ tenancy }) => tenancy.close()))
  }
}

/** The clients of a service do not learn which of several does not answer; its operator does. */
async function namingWho(error: unknown, services: readonly OpenService[], { from }: Targets): Promise<unknown> {
  // Its cure stands in the cause; the server is there.
  if (error instanceof Error && isWithoutTls(error.cause)) return error
  if (!(error instanceof Error) || (error as { code?: unknown }).code !== 'CENTRAL_DATABASE_UNAVAILABLE') return error
  const asked = await fromEach(services, ({ tenancy }) =>
    tenancy.transfer.central`select 1`.then(
      () => null,
      (failure: unknown) => failure,
    ),
  )
  const failed = asked.filter(([, failure]) => failure !== null)
  const standby = failed.find(([, failure]) => isWithoutPrimary((failure as Error).cause))
  if (standby) {
    const [name, failure] = standby
    const { message } = (failure as Error).cause as Error
    error.message = `The central database of ${name} takes no writes: ${message}. Promote one, or name the primary in ${from}: docs/failover.md.`
    return error
  }
  const silent = failed.map(([name]) => name)
  const places = services
    .filter(({ name }) => silent.includes(name))
    .map(({ name, tenancy: { settings } }) => `${name} (${settings.database.host}:${settings.database.port})`)
  if (places.length > 0) {
    error.message = `The central database of ${places.join(', ')} cannot be reached: check that it runs, and its address in ${from}.`
  }
  return error
}

/** One after the other would be as slow as the slowest of each: all at once, and the first failure is thrown. */
export async function fromEach<T>(
  services: readonly OpenService[],
  ask: (service: OpenService) => Promise<T>,
): Promise<(readonly [string, T])[]> {
  return Promise.all(services.map(async service => [service.name, await ask(service)] as const))
}
