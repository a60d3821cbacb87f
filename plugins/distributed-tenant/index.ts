// The plugin: options in, parts built, decorators, hooks, close. No logic.

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import './fastify-types.js'
import { separateTypes } from '../../postgres/sql/separate-types.js'
import { limitStart, type StartProgress } from './assembly/start-limit.js'
import { checkTenantOptions } from './config/check-options.js'
import { misspeltVariables } from './config/environment.js'
import type { DistributedTenantOptions, RedisClient } from './config/options.js'
import { settle } from './config/settings.js'
import { logSteps } from './diagnostics/logging.js'
import { ConfigurationInvalid } from './errors.js'
import { grantOperatorAccess } from './operator-access.js'
import { createFollowing } from './request/following.js'
import { addRequestHooks } from './request/hooks.js'
import { identifiersBy } from './request/identify.js'
import { refuseBlindTrust } from './request/trusted-proxies.js'
import { createTenancy } from './tenancy.js'
import { createTenantHooks } from './tenant-hooks.js'
import { createTenants } from './tenants.js'

/** Milliseconds the running event handlers have at a close. */
const QUIESCE_MS = 3_000

async function distributedTenantPlugin(fastify: FastifyInstance, options: DistributedTenantOptions): Promise<void> {
  const start = limitStart(fastify.initialConfig.pluginTimeout)
  refuseTwice(fastify)
  checkTenantOptions(options)
  const settings = settle(withRedis(fastify, options))
  refuseBlindTrust(fastify, settings)
  const tenancy = createTenancy(settings)
  const silence = logSteps(fastify.log, tenancy.origin)
  for (const message of misspeltVariables()) tenancy.publish({ area: 'start', event: { type: 'warning', message } })
  const hooks = createTenantHooks(tenancy)
  const close = async (): Promise<void> => {
    await hooks.close(QUIESCE_MS)
    await tenancy.close()
    silence()
  }
  fastify.addHook('onClose', close)
  const prepare = async (progress: StartProgress): Promise<void> => {
    await tenancy.prepare(progress)
    progress.doing('its share of the server’s connections was waited for')
    await tenancy.join(progress.patienceMs)
  }
  await start({ prepare, close })

  const identifiers = identifiersBy(settings)
  // An ORM on it changes nothing for our own queries.
  fastify.decorate('central', separateTypes(tenancy.pools.central.sql))
  fastify.decorate('notifications', tenancy.notifications)
  const tenants = createTenants(tenancy, identifiers, createFollowing(fastify), hooks)
  grantOperatorAccess(tenants, tenancy)
  fastify.decorate('tenants', tenants)
  addRequestHooks(fastify, {
    settings,
    directory: tenancy.directory,
    identifiers,
    oldestSchema: tenancy.oldestSchema,
    publish: tenancy.publish,
    clientFor: tenancy.pools.clientFor,
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
  return { ...options, redis: (fastify as unknown as { redis: RedisClient }).redis }
}

/** See README.md. @example `await app.register(distributedTenant)` */
export const distributedTenant = fp<DistributedTenantOptions>(distributedTenantPlugin, {
  // Before 5.8.4 `request.host` is any client's X-Forwarded-Host as soon as some proxy is trusted.
  fastify: '>=5.8.4 <6',
  name: 'fastify-distributed-tenant',
})
export default distributedTenant
export { loadSchemaLibrary } from '../../events/index.js'
export { NoText, textOf } from '../../files/text-file.js'
export { writeArray } from '../../postgres/connections/array-literal.js'
export { fixedCodecs } from '../../postgres/connections/own-codecs.js'
export { statementTextsOf } from '../../postgres/connections/statement-text.js'
export { readAs, separateTypes } from '../../postgres/sql/separate-types.js'
export { leaseSession, written } from '../../postgres/sql/session-lease.js'
export type * from './api.js'
// For services and plugins beside this one: settings, names and channels as this plugin has them.
export { readAuthorities } from './config/ca-certificates.js'
export { checkOptions, checkPluginOptions, parseIdentifiers } from './config/check-options.js'
export { type Environment, readEnvironment, secretPath } from './config/environment.js'
export type { DistributedTenantOptions, Identified, Identifier, RedisClient } from './config/options.js'
export { cures, type Finding, repairable } from './databases/findings.js'
export { areas, channelName, createStepPublisher, subscribe } from './diagnostics/channels.js'
export { type OutgoingEvent, onOutgoingEvent } from './diagnostics/outgoing-events.js'
export type { Area, FirstUserStep, IncomingEvent, PublishedStep, Step } from './diagnostics/steps.js'
export { connectRedis, type RedisConnection } from './directory/redis-client.js'
export * from './errors.js'
export type { BegunRun, RunResult } from './migration-runs/migrate.js'
export type { ServiceRuns } from './migration-runs/service-runs.js'
export { parseServiceName, parseTenantId, tenantDatabaseName } from './names.js'
export { type OperatorAccess, operatorAccess } from './operator-access.js'
export { installedVersion, refuseOthers, refusePeer, requirePeer } from './optional-peer.js'
export { type InterruptedRun, interruptedRuns, withInterrupted } from './registry/interrupted-runs.js'
export { readHistory } from './registry/tenants-table.js'
export { type ClaimOptions, type ClaimsOf, fromClaim, tenantClaim } from './request/claim.js'
export { admittedTenant } from './request/hooks.js'
export { endWithSocket } from './request/http-pipelining.js'
export { fromDomain, fromHeader, fromPath, fromSubdomain } from './request/identify.js'
export type * from './types.js'
export { distributedTenant as fastifyDistributedTenant }
