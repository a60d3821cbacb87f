// The answer of `/api/health`, made from observations: a status for every client, and the detail (addresses, counts,
// times, reasons) for clients that may read it. Pure.
import type { ConnectionInfo, Figures, TenancyHealth, TenantProbe } from '../distributed-tenant/index.js'
import type { EventLoopWatch } from './event-loop.js'

export type Observed = Pick<TenancyHealth, 'central' | 'cache' | 'events'> & Partial<TenancyHealth>

export interface State {
  readonly observed: Observed
  readonly eventLoop: ReturnType<EventLoopWatch['state']>
  readonly tenant: { id?: string; status: TenantProbe } | undefined
}

/** For a client without a token: nothing that helps to reach a server or to count tenants. */
export function publicBody({ observed, eventLoop, tenant }: State) {
  return {
    status: judge(observed, eventLoop),
    timestamp: new Date().toISOString(),
    checks: {
      database: statusTextOf(observed.central),
      redis: statusTextOf(observed.cache),
      nats: statusTextOf(observed.events),
      provisioning: statusTextOf(observed.provisioning),
      eventLoop: statusTextOf(eventLoop),
    },
    ...(tenant && { tenant: { status: tenant.status } }),
  }
}

const statusTextOf = (part: { status: 'up' | 'down' | 'off' } | undefined) => ({
  status: part?.status ?? ('off' as const),
})

export function detailedBody({ observed, eventLoop, tenant }: State, { stored, consumers }: Figures) {
  return {
    status: judge(observed, eventLoop),
    timestamp: new Date().toISOString(),
    uptimeSeconds: Math.floor(process.uptime()),
    checks: {
      database: observed.central,
      redis: observed.cache,
      nats: observed.events,
      provisioning: observed.provisioning ?? { status: 'off' as const },
      eventLoop,
    },
    ...(observed.instances && { instances: observed.instances }),
    ...(stored && presentStored(stored)),
    ...(consumers && { consumers: presentConsumers(consumers) }),
    ...(observed.connections && { connections: withoutTenants(observed.connections) }),
    ...(tenant && { tenant }),
  }
}

/** Without Redis or NATS existing tenants are served; without the central database no tenant can be looked up. */
export function judge(
  { central, cache, events, provisioning, instances = {} }: Observed,
  loop: { status: string },
): 'healthy' | 'degraded' | 'unhealthy' {
  if (central.status !== 'up') return 'unhealthy'
  const beside = [cache, events, provisioning, loop, ...Object.values(instances)]
  return beside.some(part => part?.status === 'down') ? 'degraded' : 'healthy'
}

function presentStored(stored: NonNullable<Figures['stored']>) {
  const {
    registry,
    schemaBehind,
    outbox,
    outboxRefused,
    deadEvents,
    parkedEvents,
    spares,
    fullInstances,
    centralBytes,
  } = stored
  return {
    outbox: { ...outbox, refused: outboxRefused },
    deadEvents,
    parkedEvents,
    registry: { tenants: registry, schemaBehind },
    spares,
    ...(fullInstances.length > 0 && { fullInstances }),
    // PostgreSQL reports the disk below it to superusers only, and its free space not even to them.
    disk: { centralDatabaseBytes: centralBytes, free: 'unknown' as const },
  }
}

const presentConsumers = (lags: NonNullable<Figures['consumers']>) =>
  Object.entries(lags).map(([durable, lag]) => ({ durable, ...(lag ?? { missing: true as const }) }))

/** The counters without the tenants' names: health names no tenant but the one in the request. */
function withoutTenants({ tenants: _tenants, ...counters }: ConnectionInfo): Omit<ConnectionInfo, 'tenants'> {
  return counters
}
