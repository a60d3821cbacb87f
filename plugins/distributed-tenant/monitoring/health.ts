// The health of the service: each part checked side by side, within one deadline, without secrets. A tenant's probe is one
// status, kept for 5 s, and takes no connection when the budget is exhausted.

import { LRUCache } from 'lru-cache'
import type { ConnectionCounts } from '../../../postgres/reports.js'
import { within } from '../../../timing/deadline.js'
import { guarded } from '../../../timing/timers.js'
import type { ConnectionInfo, HealthPart, TenancyHealth, TenantProbe } from '../api.js'
import type { Pools } from '../assembly/pools.js'
import type { Settings } from '../config/settings.js'
import type { Directory } from '../directory/directory.js'
import type { Remote } from '../directory/redis-cache.js'
import { TenantBusy, TenantLookupFailed, TenantMoving } from '../errors.js'
import type { Breaker } from '../instances/breaker.js'
import { tenantDatabaseName } from '../names.js'
import type { Streams } from '../provisioning/messaging.js'
import type { TenantId } from '../types.js'

export interface HealthParts {
  readonly settings: Settings
  readonly pools: Pools
  readonly directory: Directory
  /** The oldest schema of a tenant that is served; 0 for any. */
  readonly oldestSchema: number
  readonly remote: Remote | null
  readonly breaker: Breaker
  readonly streams: () => Streams | null
}

export interface HealthQuestions {
  health(deadlineMs?: number): Promise<TenancyHealth>
  probe(id: TenantId): Promise<TenantProbe>
  connectionInfo(): ConnectionInfo
}

const NONE = { open: 0, idle: 0, inUse: 0, opening: 0, waiting: 0, opened: 0, evicted: 0, refused: 0 }
/** Longer than the choice of a leader, and than a server's restart. */
const SILENT_MS = 60_000
const PROBE_TTL_MS = 5_000
const PROBE_DEADLINE_MS = 2_000

export function createHealth(parts: HealthParts): HealthQuestions {
  const { settings, pools, directory, oldestSchema, remote } = parts
  const probes = new LRUCache<string, Promise<TenantProbe>>({ max: 1_000, ttl: PROBE_TTL_MS })

  function connectionInfo(): ConnectionInfo {
    const { keys, counted, ...info } = pools.tenants.info()
    const { host, port } = settings.tenantDatabase ?? settings.database
    const ids = new Set([...counted.keys(), ...keys.keys()])
    const tenants = [...ids].map(id => {
      const name = tenantDatabaseName(id as TenantId, settings.service)
      return [name, { ...NONE, ...keys.get(id), ...counted.get(id) }] as const
    })
    return {
      service: settings.service,
      instance: { host, port },
      ...info,
      tenants: Object.fromEntries(tenants),
      instances: byInstance(keys),
    }
  }

  /** Each tenant counts on its last known instance. */
  function byInstance(keys: ReadonlyMap<string, ConnectionCounts>): ConnectionInfo['instances'] {
    const counts = new Map(
      settings.instances.map(({ name, host, port }) => [
        name,
        { host, port, open: 0, idle: 0, inUse: 0, opening: 0, waiting: 0, budget: pools.share },
      ]),
    )
    for (const [id, { open, idle, inUse, opening, waiting }] of keys) {
      const one = counts.get(pools.instanceOf(id as TenantId))
      if (!one) continue
      one.open += open
      one.idle += idle
      one.inUse += inUse
      one.opening += opening
      one.waiting += waiting
    }
    return Object.fromEntries(counts)
  }

  async function ask(id: TenantId): Promise<TenantProbe> {
    try {
      const entry = await directory.find(id)
      if (!entry || entry.lifecycle === 'deleted') return 'not_found'
      if (entry.lifecycle === 'suspended') return 'suspended'
      if (entry.provisioned === 'pending') return 'provisioning'
      if (entry.provisioned !== 'ready') return 'failed'
      if (entry.schemaVersion < oldestSchema) return 'outdated'
      const info = pools.tenants.info()
      const mine = info.keys.get(id)
      if (info.open >= info.budget && !mine?.idle) return 'busy'
      return await reach(id)
    } catch (error) {
      if (error instanceof TenantBusy) return 'busy'
      if (error instanceof TenantMoving) return 'moving'
      return error instanceof TenantLookupFailed ? 'unknown' : 'unavailable'
    }
  }

  async function reach(id: TenantId): Promise<TenantProbe> {
    const scope = pools.clientFor(id)
    const timer = setTimeout(() => guarded(() => scope.release()), PROBE_DEADLINE_MS)
    try {
      await scope.sql`select 1`
      return 'ready'
    } finally {
      clearTimeout(timer)
      scope.release()
    }
  }

  return {
    connectionInfo,
    probe(id) {
      let probe = probes.get(id)
      if (!probe) {
        probe = ask(id)
        probes.set(id, probe)
      }
      return probe
    },
    async health(deadlineMs = 1_000) {
      const others = settings.instances.slice(1)
      const [central, cache, ...otherInstances] = await Promise.all([
        timed(deadlineMs, async () => void (await pools.central.sql`select 1`)),
        remote ? timed(deadlineMs, () => remote.check()) : { status: 'off' as const },
        ...others.map(({ name }) =>
          timed(deadlineMs, () => pools.readSessionOn(name)(async sql => void (await sql`select 1`))),
        ),
      ])
      return {
        central,
        cache,
        events: eventsPart(parts.streams()),
        provisioning: provisioningPart(parts.breaker),
        ...(others.length > 0 && {
          instances: Object.fromEntries(others.map(({ name }, at) => [name, otherInstances[at] as HealthPart])),
        }),
        connections: connectionInfo(),
      }
    },
  }
}

/** Existing tenants are served; new ones wait until the breaker of the instance closes. */
function provisioningPart(breaker: Breaker): HealthPart {
  const { open, reason, retryInMs } = breaker.state()
  if (!open) return { status: 'up' }
  // There is no try without a tenant: an idle instance may have been well for long.
  const next = retryInMs > 0 ? `tried again in ${Math.ceil(retryInMs / 1000)} s` : 'tried again with the next tenant'
  return { status: 'down', detail: `${reason ?? 'the breaker of its instance is open'} (${next})` }
}

function eventsPart(streams: Streams | null): HealthPart {
  if (!streams) return { status: 'off' }
  if (streams.status() === 'connected') {
    const silence = streams.silence()
    if (!silence || silence.ms < SILENT_MS) return { status: 'up' }
    const seconds = Math.round(silence.ms / 1000)
    return { status: 'down', detail: `the stream has not answered for ${seconds} s: ${silence.error}` }
  }
  return { status: 'down', detail: streams.lastError() ?? streams.status() }
}

async function timed(deadlineMs: number, work: () => Promise<void>): Promise<HealthPart> {
  const started = performance.now()
  try {
    await within(deadlineMs, work(), () => {
      throw new Error(`no answer within ${deadlineMs} ms`)
    })
    return { status: 'up', latencyMs: Math.round((performance.now() - started) * 100) / 100 }
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    return { status: 'down', detail: code ?? message }
  }
}
