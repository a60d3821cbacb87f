// The composition of a service: one order, the same for all. Nothing here listens, reads a signal or exits.
// If a part cannot be built, the start stops and the opened ones are closed again.

import { randomUUID } from 'node:crypto'
import Fastify, {
  type FastifyHttpOptions,
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyServerOptions,
  type RawServerDefault,
} from 'fastify'
import type { Redis } from 'ioredis'
import { serviceDrains } from '../operations/service-drains.js'
import audit from '../plugins/audit/index.js'
import {
  type DistributedTenantOptions,
  distributedTenant,
  type Environment,
  readAuthorities,
  readEnvironment,
} from '../plugins/distributed-tenant/index.js'
import drain from '../plugins/drain.js'
import errors, { answer } from '../plugins/errors/index.js'
import health from '../plugins/health/index.js'
import limits, { tenantLimit } from '../plugins/limits/index.js'
import metrics from '../plugins/metrics/index.js'
import openapi from '../plugins/openapi.js'
import operator, { operatorOf } from '../plugins/operator/index.js'
import overload from '../plugins/overload.js'
import type { KeySet } from '../plugins/tokens/index.js'
import tracing from '../plugins/tracing/index.js'
import { identifyUsers, rateLimits, readersOfDetail } from './access.js'
import { type Bearers, isOperator } from './http/admin.js'
import { connectionLimit, limitConnections } from './http/connections.js'
import { protectAnswers } from './http/hygiene.js'
import { compileRequest, registerFormats } from './http/validation.js'
import redis from './redis.js'

/** The definition of a service. */
export interface ServiceDefinition {
  /** `identity`, `employee`, `core`, or your own: the suffix of its tenants' databases. */
  name: string
  description: string
  /** Folders with its `NNN.do.name.sql` files. */
  migrations: { central?: URL; tenant?: URL }
  /** Registered last: errors, tenancy, documentation and health are there. */
  routes: FastifyPluginAsync
  /** The source of the keys of tokens. Default: where identity publishes them, by TOKEN_KEYS_URL or IDENTITY_URL. */
  keys?: KeySet
  /** Requests that may read the detail of `/api/health`, beside the bearer of METRICS_TOKEN. Default: bearers of ADMIN_TOKEN or SERVICE_TOKEN. */
  readers?: Bearers
}

export type ServerLimits = Pick<
  FastifyHttpOptions<RawServerDefault>,
  'connectionTimeout' | 'requestTimeout' | 'keepAliveTimeout' | 'http'
> & {
  /** Open connections at most. Default: HTTP_MAX_CONNECTIONS, else a bound by the process's limits. */
  maxConnections?: number
}

/** How it is run. All optional: the environment supplies the rest. */
export interface ServiceOptions {
  logger?: FastifyServerOptions['logger']
  environment?: Environment
  /** Passed to the tenant plugin as they are; they win over the environment. */
  tenancy?: DistributedTenantOptions
  /** Timeouts and limits of the HTTP server. */
  server?: ServerLimits
}

/** Longer than any plugin's own deadline: each plugin bounds its wait for a database at the start. */
const PLUGIN_TIMEOUT = 120_000

/**
 * Builds a service up to, and without, `listen`.
 * @throws CONFIGURATION_INVALID, and the errors with which the tenant plugin refuses to start
 */
export async function createService(
  definition: ServiceDefinition,
  options: ServiceOptions = {},
): Promise<FastifyInstance> {
  const {
    environment = readEnvironment(),
    tenancy = {},
    logger = false,
    server: { maxConnections, ...server } = {},
  } = options
  registerFormats()
  const proxies = environment.TRUSTED_PROXIES
  const app: FastifyInstance = Fastify({
    ...server,
    ...(proxies && { trustProxy: proxies.split(',') }),
    logger,
    genReqId: () => randomUUID(),
    // Open connections are served: during a shutdown the replies carry `connection: close`.
    return503OnClosing: false,
    pluginTimeout: PLUGIN_TIMEOUT,
    routerOptions: { maxParamLength: 1000 },
    frameworkErrors: (error, request, reply) => void answer(error, request, reply, '/api/docs'),
  })
  limitConnections(app, maxConnections ?? connectionLimit(environment))
  try {
    await compose(app, definition, environment, tenancy)
  } catch (error) {
    await app.close()
    throw error
  }
  return app
}

async function compose(
  app: FastifyInstance,
  { name, description, migrations, routes, keys, readers }: ServiceDefinition,
  environment: Environment,
  tenancy: DistributedTenantOptions,
): Promise<void> {
  // TypeBox refuses values that a schema does not allow; Fastify's default would drop or convert them.
  app.setValidatorCompiler(compileRequest)
  acceptCurl(app)
  await app.register(errors, { documentation: '/api/docs' })
  await protectAnswers(app)
  // First, so that an overloaded process refuses before it looks a tenant up.
  await app.register(overload, { maxEventLoopDelay: environment.MAX_EVENT_LOOP_DELAY })
  await app.register(drain)
  // Before the tenant plugin, whose lookups it follows. Nothing without an OpenTelemetry SDK in the process.
  await app.register(tracing)
  const cache = tenancy.redis === undefined ? environment.REDIS_URL || null : tenancy.redis
  if (typeof cache === 'string') {
    const ca = readAuthorities('REDIS_CA_FILE', tenancy.redisCaFile ?? environment.REDIS_CA_FILE, cache)
    await app.register(redis, { url: cache, ca, connectionName: `${name}-service` })
  }
  const client = typeof cache === 'string' ? app.redis : (cache as Redis | null)
  const { perAddress, perTenant } = rateLimits(environment)
  await app.register(limits, { redis: client, perAddress })
  const access = await identifyUsers(app, environment, keys)
  await app.register(distributedTenant, {
    ...access,
    ...tenancy,
    service: tenancy.service ?? name,
    migrations: { ...migrations, ...tenancy.migrations },
    redis: client,
  })
  await app.register(tenantLimit, { perTenant })
  await app.register(audit, {
    sample: environment.AUDIT_SAMPLE,
    retentionMonths: environment.AUDIT_RETENTION_MONTHS,
    secret: environment.AUDIT_SECRET,
    stream: environment.AUDIT_STREAM,
    actor: request => operatorOf(request)?.name ?? (isOperator(request) ? 'admin' : (request.user?.sub ?? null)),
  })
  await app.register(openapi, {
    title: `${name}-service`,
    description,
    version: '1',
    tenantHeader: tenancy.header ?? environment.TENANT_HEADER,
  })
  await app.register(health, {
    background: environment.DB_HEALTH_CHECK_ENABLED,
    interval: environment.DB_HEALTH_CHECK_INTERVAL * 1000,
    timeout: environment.DB_HEALTH_CHECK_TIMEOUT * 1000,
    details: readersOfDetail(environment, readers),
  })
  await app.register(metrics, {
    token: environment.METRICS_TOKEN,
    tenants: environment.METRICS_TENANTS?.split(',') ?? [],
  })
  await app.register(operator, { tokens: environment.OPERATOR_TOKEN, drains: serviceDrains })
  await app.register(routes)
}

/** `curl -d '{…}'` declares its body a form. There are no forms here, so it is read as the JSON it is. */
function acceptCurl(app: FastifyInstance): void {
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    app.getDefaultJsonParser('error', 'error'),
  )
}
