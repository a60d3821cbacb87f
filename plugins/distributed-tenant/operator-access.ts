// The access of the operator API to parts of a tenancy that handlers have no use for: dead events, the inventory, repairs,
// sessions on each instance. It is kept beside `fastify.tenants` and not on it, so that no route reaches it by accident.
import type { Tenants } from './api.js'
import type { Session } from './databases/instance-access.js'
import type { Inventory } from './databases/inventory.js'
import { ConfigurationInvalid } from './errors.js'
import type { RunResult } from './migration-runs/migrate.js'
import { createServiceRuns, type ServiceRuns } from './migration-runs/service-runs.js'
import type { DeadLetters } from './registry/dead-letters.js'
import type { Tenancy } from './tenancy.js'
import type { ServiceName, TenantId } from './types.js'

export interface OperatorInstance {
  readonly name: string
  readonly host: string
  readonly port: number
  /** Reads with short waits, like a request. */
  readonly look: Session
  /** Why no tenant is made there for the moment; null when it is used as ever. */
  readonly breaker: () => { readonly reason: string; readonly retryInMs: number } | null
}

export interface OperatorAccess {
  readonly service: ServiceName
  /** The newest tenant migration of this release. */
  readonly schemaVersion: number
  /** Whether tenants are made here. */
  readonly source: boolean
  readonly sparesWanted: number
  readonly deadLetters: Pick<DeadLetters, 'list' | 'show' | 'replay' | 'drop'>
  /** The home instance first. */
  readonly instances: readonly OperatorInstance[]
  inspect(): Promise<Inventory>
  /** @throws TENANT_DATABASE_FOREIGN, TENANT_ROLE_KEY_UNKNOWN */
  repair(id: TenantId): Promise<void>
  /** For work of `operations/` that a service carries out itself. It is not to be closed. */
  readonly tenancy: Tenancy
  /** Migrations of tenants that this process carries out; who makes them closes them. */
  migrations(onEnd: (result: RunResult | null, error: unknown) => void): ServiceRuns
}

const known = new WeakMap<Tenants, OperatorAccess>()

export function grantOperatorAccess(tenants: Tenants, tenancy: Tenancy): void {
  const { settings, schemas, deadLetters, instances, pools } = tenancy
  const addresses = new Map(settings.instances.map(({ name, host, port }) => [name, { host, port }]))
  known.set(tenants, {
    tenancy,
    service: settings.service,
    schemaVersion: schemas.tenant.at(-1)?.version ?? 0,
    source: settings.source,
    sparesWanted: settings.spares,
    deadLetters,
    instances: instances.all.map(({ name, look }) => ({
      name,
      look,
      host: addresses.get(name)?.host ?? '',
      port: addresses.get(name)?.port ?? 0,
      breaker: () => {
        const { open, reason, retryInMs } = tenancy.breakerOf(name).state()
        return open ? { reason: reason ?? 'its breaker is open', retryInMs } : null
      },
    })),
    inspect: tenancy.inspectFleet,
    repair: tenancy.repairTenant,
    migrations: onEnd =>
      createServiceRuns(
        {
          service: settings.service,
          central: pools.central.sql,
          withDirectConnection: pools.withDirectConnection,
          sets: schemas.tenant,
        },
        { session: pools.provisioning.session, onEnd },
      ),
  })
}

/** @throws CONFIGURATION_INVALID for tenants that have no databases, like those of `fakeTenancy` */
export function operatorAccess(tenants: Tenants): OperatorAccess {
  const access = known.get(tenants)
  if (!access)
    throw new ConfigurationInvalid(
      'The operator API needs the plugin with its databases: register `distributedTenant`.',
    )
  return access
}
