// Owns the three questions about a process: is it alive, may it get traffic, and how is what it stands on.
// They need no tenant and no token, are answered under any pressure, and never make the thing they ask about worse.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { ConnectionInfo, TenantProbe } from '../distributed-tenant/index.js'
import { TenantNotFound } from '../distributed-tenant/index.js'
import { underAnyPressure } from '../overload.js'
import { watchHealth } from './background.js'
import { createMonitor, type Observed } from './monitor.js'
import { ErrorBody, HealthBody, LiveBody, ReadyBody } from './schemas.js'

export interface HealthOptions {
  /** Ask the parts by ourselves too, and log when one goes or comes back. Default true. */
  background?: boolean
  /** Milliseconds between those. Default 60,000. */
  interval?: number
  /** Milliseconds a part has to answer. Default 5,000. */
  timeout?: number
}

/** Longer than this and a load balancer has given up on us. */
const READY_TIMEOUT = 1000

async function healthPlugin(app: FastifyInstance, options: HealthOptions): Promise<void> {
  const { background = true, interval = 60_000, timeout = 5000 } = options
  const check = (deadlineMs: number) => app.tenants.health(deadlineMs)
  const onFailure = (error: unknown) => app.log.error({ err: error }, 'health check failed')
  const full = createMonitor(check, timeout, onFailure)
  const quick = createMonitor(check, Math.min(timeout, READY_TIMEOUT), onFailure)
  if (background) watchHealth(app, full, interval)

  let draining = false
  app.addHook('preClose', async () => {
    draining = true
  })

  const config = { tenant: false, pressureHandler: underAnyPressure } as const
  // Asked every few seconds by machines: the log is for what they find, not for that they ask.
  const logLevel = 'warn'
  const tags = ['health']

  app.get(
    '/api/health/live',
    { config, logLevel, schema: { tags, summary: 'The event loop answers', response: { 200: LiveBody } } },
    async (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'alive' }),
  )

  app.get(
    '/api/health/ready',
    {
      config,
      logLevel,
      schema: { tags, summary: 'May be sent traffic', response: { 200: ReadyBody, 503: ReadyBody } },
    },
    async (_request, reply) => {
      const up = !draining && (await quick.current()).central.status === 'up'
      reply.code(up ? 200 : 503).header('cache-control', 'no-store')
      return { status: draining ? 'draining' : up ? 'ready' : 'unavailable' }
    },
  )

  app.get(
    '/api/health',
    {
      config,
      logLevel,
      schema: {
        tags,
        summary: 'What this process stands on, and one tenant if the request names one',
        description: '200: healthy or degraded. 503: unhealthy, or the named tenant cannot be served now.',
        security: [{}, { tenant: [] }],
        response: { 200: HealthBody, 503: HealthBody, 400: ErrorBody, 404: ErrorBody },
      },
    },
    async (request, reply) => {
      const [observed, tenant] = await Promise.all([full.current(), tenantOf(app, request)])
      const status = judge(observed)
      const served = !tenant || tenant.status === 'ready' || tenant.status === 'suspended'
      reply.code(status !== 'unhealthy' && served ? 200 : 503).header('cache-control', 'no-store')
      return {
        status,
        timestamp: new Date().toISOString(),
        uptimeSeconds: Math.floor(process.uptime()),
        checks: {
          database: observed.central,
          redis: observed.cache,
          nats: observed.events,
          provisioning: observed.provisioning ?? { status: 'off' },
        },
        ...(observed.outbox && { outbox: observed.outbox }),
        ...(observed.connections && { connections: withoutTenants(observed.connections) }),
        ...(tenant && { tenant }),
      }
    },
  )
}

/** Without Redis or NATS existing tenants are served; without the central database nobody can be told apart. */
function judge({ central, cache, events, provisioning }: Observed): 'healthy' | 'degraded' | 'unhealthy' {
  if (central.status !== 'up') return 'unhealthy'
  return [cache, events, provisioning].some(part => part?.status === 'down') ? 'degraded' : 'healthy'
}

/** @throws the 400s of identification, TENANT_NOT_FOUND */
async function tenantOf(
  app: FastifyInstance,
  request: FastifyRequest,
): Promise<{ id?: string; status: TenantProbe } | undefined> {
  let id: string | null
  try {
    id = await app.tenants.identify(request)
  } catch (error) {
    // A host name cannot be looked up without the central database: an answer about health all the same.
    if (((error as { statusCode?: number }).statusCode ?? 500) < 500) throw error
    request.log.warn({ err: error }, 'the tenant of a health request cannot be told')
    return { status: 'unknown' }
  }
  if (id === null) return undefined
  const status = await app.tenants.probe(id)
  if (status === 'not_found') throw new TenantNotFound()
  return { id, status }
}

/** The counters without whose they are: this route needs no token. */
function withoutTenants({ tenants: _tenants, ...counters }: ConnectionInfo): Omit<ConnectionInfo, 'tenants'> {
  return counters
}

export const health = fp<HealthOptions>(healthPlugin, {
  name: 'fastify-distributed-tenant-health',
  fastify: '5.x',
  dependencies: ['fastify-distributed-tenant'],
})
export default health
