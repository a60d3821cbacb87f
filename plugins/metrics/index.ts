// The route `/metrics`: one registry per application, filled from the diagnostics channels, in the format of Prometheus.
// It names only the tenants of `METRICS_TENANTS`, works with everything it measures down, and closes with the application.

import { createHash, timingSafeEqual } from 'node:crypto'
import { createError } from '@fastify/error'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Registry as PromRegistry } from 'prom-client'
import { checkPluginOptions, parseServiceName, parseTenantId, tenantDatabaseName } from '../distributed-tenant/index.js'
import '../overload.js'
import { Registry } from './library.js'
import { gaugeProcess } from './process.js'
import { countAnswers, countLeases, countLookups, type TenantNamed } from './requests.js'
import { gaugeState } from './state.js'
import { countSteps } from './steps.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** This application's own registry: add your metrics to it. */
    metrics: PromRegistry
  }
}

export const MetricsTokenRequired = createError(
  'METRICS_TOKEN_REQUIRED',
  'The metrics of this process are read with a token: send `authorization: Bearer <METRICS_TOKEN>`.',
  401,
)

export interface MetricsOptions {
  /** Scrapers must send it as a bearer. Default: every client that reaches the port may read. */
  token?: string | undefined
  /** Ids of tenants that may stand in a label. Default none. */
  tenants?: readonly string[]
}

const checkGiven = checkPluginOptions<MetricsOptions>('metrics', { token: 'string', tenants: 'other' })

async function metricsPlugin(app: FastifyInstance, options: MetricsOptions): Promise<void> {
  checkGiven(options)
  const { origin, connectionInfo } = app.tenants
  const registry = new Registry()
  const { service } = connectionInfo()
  registry.setDefaultLabels({ service })
  app.decorate('metrics', registry)

  const tenantOf = namedTenants(service, options.tenants ?? [])
  const counting = { registry, origin }
  const ofProcess = gaugeProcess(registry)
  const stops = [countLookups(counting), countLeases(counting, tenantOf), countSteps(counting), ofProcess.stop]
  app.addHook('onClose', async () => {
    for (const stop of stops) stop()
  })
  countAnswers(app, registry)
  const look = gaugeState({
    registry,
    tenants: app.tenants,
    audit: () => (app.hasDecorator('audit') ? app.audit.status() : null),
    tenantOf,
    onFailure: error => app.log.warn({ err: error }, 'the counts for metrics cannot be read'),
  })

  const admit = bearer(options.token)
  app.get(
    '/metrics',
    {
      config: { tenant: false, limits: false, underPressure: true },
      logLevel: 'warn',
      schema: { hide: true },
      onRequest: async request => {
        if (!admit(request.headers.authorization)) throw new MetricsTokenRequired()
      },
    },
    async (_request, reply) => {
      await look()
      ofProcess.look()
      return reply
        .header('cache-control', 'no-store')
        .type(registry.contentType)
        .send(await registry.metrics())
    },
  )
}

/** Only these tenants' ids become labels: a scrape stays small and reveals no list of tenants. */
function namedTenants(service: string, ids: readonly string[]): TenantNamed {
  const databases = new Map(
    ids.map(id => [tenantDatabaseName(parseTenantId(id), parseServiceName(service)), id] as const),
  )
  return database => databases.get(database)
}

function bearer(token: string | undefined): (authorization: string | undefined) => boolean {
  if (token === undefined) return () => true
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const wanted = digest(`Bearer ${token}`)
  return authorization => timingSafeEqual(digest(authorization ?? ''), wanted)
}

export const metrics = fp<MetricsOptions>(metricsPlugin, {
  name: 'fastify-distributed-tenant-metrics',
  fastify: '5.x',
  dependencies: ['fastify-distributed-tenant'],
})
export default metrics
