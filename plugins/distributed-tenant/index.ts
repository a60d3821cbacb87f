// The plugin: options in, parts built, decorators, hooks, close. No logic.

import type {} from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Redis } from 'ioredis'
import './fastify-types.js'
import { limitStart } from './assembly/start-limit.js'
import type { DistributedTenantOptions, Identifier } from './config/options.js'
import { settle } from './config/settings.js'
import { logSteps } from './diagnostics/logging.js'
import { ConfigurationInvalid } from './errors.js'
import { tenantDatabaseName } from './names.js'
import { createFollowing } from './request/following.js'
import { addRequestHooks } from './request/hooks.js'
import { fromDomain, fromHeader, fromSubdomain } from './request/identify.js'
import { refuseBlindTrust } from './request/trusted-proxies.js'
import { separateTypes } from './sql/separate-types.js'
import { createTenancy } from './tenancy.js'
import { createTenants } from './tenants.js'

/** Milliseconds the running event handlers have at a close. */
const QUIESCE_MS = 3_000

async function distributedTenantPlugin(fastify: FastifyInstance, options: DistributedTenantOptions): Promise<void> {
  const start = limitStart(fastify.initialConfig.pluginTimeout)
  refuseTwice(fastify)
  const settings = settle(withRedis(fastify, options))
  refuseBlindTrust(fastify, settings)
  const tenancy = createTenancy(settings)
  const silence = logSteps(fastify.log, tenancy.origin)
  const close = async (): Promise<void> => {
    await tenancy.close()
    silence()
  }
  fastify.addHook('onClose', close)
  await start({ prepare: tenancy.prepare, close })

  const identifiers: readonly Identifier[] = settings.identifyBy ?? [
    fromHeader(settings.header),
    fromDomain(),
    ...(settings.baseDomain ? [fromSubdomain(settings.baseDomain)] : []),
  ]
  // An ORM on it changes nothing for our own queries.
  fastify.decorate('central', separateTypes(tenancy.pools.central.sql))
  fastify.decorate('notifications', tenancy.notifications)
  fastify.decorate('tenants', createTenants(tenancy, identifiers, createFollowing(fastify)))
  addRequestHooks(fastify, {
    settings,
    directory: tenancy.directory,
    identifiers,
    oldestSchema: tenancy.oldestSchema,
    publish: tenancy.publish,
    clientFor: (id, admit) => tenancy.pools.clientFor(tenantDatabaseName(id, settings.service), admit),
  })
  fastify.addHook('onReady', async () => tenancy.consume())
  fastify.addHook('preClose', async () => tenancy.quiesce(QUIESCE_MS))
}

/** @throws CONFIGURATION_INVALID before anything is opened; Fastify would report a decorator, and after that */
function refuseTwice(fastify: FastifyInstance): void {
  if (!fastify.hasDecorator('tenants')) return
  throw new ConfigurationInvalid(
    'The plugin is registered twice: once, on the instance whose routes have tenants, is for all scopes below it.',
  )
}

/** The client of `@fastify/redis`, when the application has one and none was passed. */
function withRedis(fastify: FastifyInstance, options: DistributedTenantOptions): DistributedTenantOptions {
  if (options.redis !== undefined || !fastify.hasDecorator('redis')) return options
  return { ...options, redis: fastify.redis as Redis }
}

/** See README.md. @example `await app.register(distributedTenant)` */
export const distributedTenant = fp<DistributedTenantOptions>(distributedTenantPlugin, {
  fastify: '5.x',
  name: 'fastify-distributed-tenant',
})
export default distributedTenant
export type * from './api.js'
// For services and plugins beside this one: settings, names and channels as this plugin has them.
export { readAuthorities } from './config/ca-certificates.js'
export { type Environment, readEnvironment, secretPath } from './config/environment.js'
export type { DistributedTenantOptions, Identified, Identifier } from './config/options.js'
export { writeArray } from './connections/array-literal.js'
export { statementTextsOf } from './connections/statement-text.js'
export { areas, channelName, createStepPublisher, subscribe } from './diagnostics/channels.js'
export { type OutgoingEvent, onOutgoingEvent } from './diagnostics/outgoing-events.js'
export type { Area, FirstUserStep, IncomingEvent, PublishedStep, Step } from './diagnostics/steps.js'
export { connectRedis } from './directory/redis-client.js'
export * from './errors.js'
export { parseServiceName, parseTenantId, tenantDatabaseName } from './names.js'
export { readHistory } from './registry/tenants-table.js'
export { type ClaimOptions, type ClaimsOf, fromClaim, tenantClaim } from './request/claim.js'
export { admittedTenant } from './request/hooks.js'
export { endWithSocket } from './request/http-pipelining.js'
export { fromDomain, fromHeader, fromPath, fromSubdomain } from './request/identify.js'
export { separateTypes } from './sql/separate-types.js'
export { leaseSession, written } from './sql/session-lease.js'
export { NoText, textOf } from './text-file.js'
export type * from './types.js'
export { distributedTenant as fastifyDistributedTenant }
