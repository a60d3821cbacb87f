// The three health routes: live, ready, and the state of every part. They need no tenant and no token, are answered under any
// pressure, and put no load on a part that is already in trouble.
// Invariant: addresses, counts and reasons are only for requests that `details` accepts, in every environment.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { every } from '../../timing/timers.js'
import type { TenantProbe } from '../distributed-tenant/index.js'
import { checkPluginOptions, TenantNotFound } from '../distributed-tenant/index.js'
import '../overload.js'
import { watchHealth } from './background.js'
import { detailedBody, type Observed, publicBody } from './body.js'
import { createEventLoopWatch, TICK_MS } from './event-loop.js'
import { createMonitor } from './monitor.js'
import { createPoolExhaustion } from './pool-exhaustion.js'
import { ErrorBody, HealthBody, LiveBody, type Readiness, ReadyBody } from './schemas.js'

export interface HealthOptions {
  /** Check the parts periodically too, and log when one goes down or comes back. Default true. */
  background?: boolean
  /** Milliseconds between those. Default 60,000. */
  interval?: number
  /** Milliseconds a part has to answer. Default 5,000. */
  timeout?: number
  /** Whether a request may read more than status words: addresses, counts, times and reasons. Default: none may. */
  details?: (request: FastifyRequest) => boolean
}

/** A load balancer has given up on the answer after this. */
const READY_TIMEOUT = 1000
/** Requests at the same time share one check. */
const FRESH_MS = 1000
/** Counts cost the central database a statement: requests within this time share one. */
const FIGURES_FRESH_MS = 5000

const failed: Observed = {
  central: { status: 'down', detail: 'the check itself failed' },
  cache: { status: 'off' },
  events: { status: 'off' },
}

const checkGiven = checkPluginOptions<HealthOptions>('health', {
  background: 'boolean',
  interval: 'number',
  timeout: 'number',
  details: 'function',
})

async function healthPlugin(app: FastifyInstance, options: HealthOptions): Promise<void> {
  checkGiven(options)
  const { background = true, interval = 60_000, timeout = 5000, details = () => false } = options
  const check = (deadlineMs: number): Promise<Observed> => app.tenants.health(deadlineMs)
  const onFailure = (error: unknown) => app.log.error({ err: error }, 'health check failed')
  const common = { freshMs: FRESH_MS, failed, onFailure }
  const full = createMonitor(check, { ...common, deadlineMs: timeout })
  const quick = createMonitor(check, { ...common, deadlineMs: Math.min(timeout, READY_TIMEOUT) })
  const figures = createMonitor(deadlineMs => app.tenants.figures(deadlineMs), {
    deadlineMs: timeout,
    freshMs: FIGURES_FRESH_MS,
    failed: { stored: null, consumers: null, moveSlotBytes: {} },
    onFailure,
  })
  const budget = createPoolExhaustion()
  const eventLoop = createEventLoopWatch(ms =>
    app.log.warn({ ms }, 'the event loop was blocked: a handler computes for long, or the processor is full'),
  )
  const stop = every(TICK_MS, () => eventLoop.tick(performance.now()), onFailure)
  app.addHook('onClose', async () => stop())
  if (background) watchHealth(app, full, interval)

  let closing = false
  app.addHook('preClose', async () => {
    closing = true
  })

  async function readiness(): Promise<Readiness> {
    if (closing || (app.hasDecorator('draining') && app.draining())) return 'draining'
    if ((await quick.current()).central.status !== 'up') return 'unavailable'
    return budget.exhausted(performance.now(), app.tenants.connectionInfo()) ? 'busy' : 'ready'
  }

  const config = { tenant: false, limits: false, underPressure: true } as const
  // Probed every few seconds: the log is for findings, not for the requests.
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
      const status = await readiness()
      reply.code(status === 'ready' ? 200 : 503).header('cache-control', 'no-store')
      return { status }
    },
  )

  app.get(
    '/api/health',
    {
      // Without a token the answer reveals whether a tenant exists: thousands of them would be a list of tenants.
      config: { ...config, limits: 'apart' },
      logLevel,
      schema: {
        tags,
        summary: 'The parts this process depends on, and one tenant if the request names one',
        description:
          '200: healthy or degraded. 503: unhealthy, or the named tenant cannot be served now. Without a token of the operator, of ' +
          'services or of metrics it answers status words only.',
        security: [{}, { tenant: [] }, { admin: [] }, { service: [] }, { metrics: [] }],
        response: { 200: HealthBody, 503: HealthBody, 400: ErrorBody, 404: ErrorBody, 429: ErrorBody },
      },
    },
    async (request, reply) => {
      const detailed = details(request)
      // Counts cost a statement: only a request that may read them causes it.
      const [observed, tenant, counted] = await Promise.all([
        full.current(),
        tenantOf(app, request),
        detailed ? figures.current() : null,
      ])
      const state = { observed, eventLoop: eventLoop.state(performance.now()), tenant }
      const body = counted ? detailedBody(state, counted) : publicBody(state)
      const served = !tenant || tenant.status === 'ready' || tenant.status === 'suspended'
      reply.code(body.status !== 'unhealthy' && served ? 200 : 503).header('cache-control', 'no-store')
      return body
    },
  )
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
    // A host name cannot be looked up without the central database; health still answers.
    if (((error as { statusCode?: number }).statusCode ?? 500) < 500) throw error
    request.log.warn({ err: error }, 'the tenant of a health request cannot be looked up')
    return { status: 'unknown' }
  }
  if (id === null) return undefined
  const status = await app.tenants.probe(id)
  if (status === 'not_found') throw new TenantNotFound()
  return { id, status }
}

export const health = fp<HealthOptions>(healthPlugin, {
  name: 'fastify-distributed-tenant-health',
  fastify: '5.x',
  dependencies: ['fastify-distributed-tenant'],
})
export default health
