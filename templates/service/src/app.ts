// The application: its plugins in the order that production needs, then its routes. Nothing here listens or reads a signal.
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import {
  type DistributedTenantOptions,
  distributedTenant,
  fromClaim,
  fromHeader,
  readEnvironment,
  tenantClaim,
} from 'fastify-distributed-tenant'
import audit from 'fastify-distributed-tenant/audit'
import drain from 'fastify-distributed-tenant/drain'
import errors, { answer } from 'fastify-distributed-tenant/errors'
import health from 'fastify-distributed-tenant/health'
import metrics from 'fastify-distributed-tenant/metrics'
import operator, { operatorOf } from 'fastify-distributed-tenant/operator'
import overload from 'fastify-distributed-tenant/overload'
import tokens, { type TokensOptions } from 'fastify-distributed-tenant/tokens'
import { items } from './items.js'

export const migrations = { tenant: new URL('../migrations/', import.meta.url) }

export interface AppOptions {
  /** Whose tokens are accepted, and whether a request needs one. */
  access: TokensOptions
  logger?: FastifyServerOptions['logger']
  /** Of the tenant plugin: they win over the environment. */
  tenancy?: DistributedTenantOptions
}

export async function buildApp({ access, logger = false, tenancy = {} }: AppOptions): Promise<FastifyInstance> {
  const environment = readEnvironment()
  const app = Fastify({
    logger,
    // The first start makes tables and a template, which takes longer than Fastify's 10 seconds on a busy server.
    pluginTimeout: 120_000,
    // While it closes, a connection that is open is still served.
    return503OnClosing: false,
    frameworkErrors: answer,
  })
  await app.register(errors)
  // An overloaded process refuses before it looks a tenant up, and a closing one says so.
  await app.register(overload, { maxEventLoopDelay: environment.MAX_EVENT_LOOP_DELAY })
  await app.register(drain)
  // A token is verified before its tenant is looked up. The tenant in it overrules no other, and none overrules it.
  await app.register(tokens, access)
  const ofToken = tenantClaim({ claim: environment.TOKEN_TENANT_CLAIM })
  await app.register(distributedTenant, {
    service: 'billing',
    migrations,
    identifyBy: [fromHeader(environment.TENANT_HEADER), fromClaim(environment.TOKEN_TENANT_CLAIM)],
    authorizeTenant: (request, tenant) => (!access.required && request.user === null) || ofToken(request, tenant),
    ...tenancy,
  })
  // Who did what: calls of tenants, and of operators by their name.
  await app.register(audit, {
    sample: environment.AUDIT_SAMPLE,
    secret: environment.AUDIT_SECRET,
    actor: request => operatorOf(request)?.name ?? request.user?.sub ?? null,
  })
  await app.register(health)
  await app.register(metrics, { token: environment.METRICS_TOKEN })
  // What identity's console shows of this service, with the tokens that identity has.
  await app.register(operator, { tokens: environment.OPERATOR_TOKEN })
  await app.register(items, { prefix: '/api/items', tenant: 'required' })
  return app
}
