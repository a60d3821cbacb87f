// The policy of a route: whether it wants a tenant, and how its requests name it, by itself or by its scope.
// Invariant: a route's setting overrides its scope's, and an inner scope's an outer one's.
import type { FastifyContextConfig, FastifyInstance, FastifyRequest, onResponseHookHandler } from 'fastify'
import type { Identifier } from '../config/options.js'
import { ConfigurationInvalid } from '../errors.js'

const kPolicy = Symbol('distributed-tenant.policy')

/** A route's own sources, when it or its scope names them. */
export const identifiersOf = (request: FastifyRequest): readonly Identifier[] | undefined =>
  ownIdentifiers(request.routeOptions.config.identifyBy)

/** A list, but for a route that was registered before the plugin. */
export const ownIdentifiers = (by: FastifyContextConfig['identifyBy']): readonly Identifier[] | undefined =>
  typeof by === 'function' ? [by] : by

/** Any other value would be a route without a tenant's refusal. @throws CONFIGURATION_INVALID */
function refuseOtherPolicy(tenant: unknown, where: string): void {
  if (tenant === undefined || tenant === false || tenant === 'required') return
  throw new ConfigurationInvalid(
    `tenant of ${where} is ${JSON.stringify(tenant)}: write 'required' or false, or leave it out.`,
  )
}

/**
 * `register(routes, { prefix, tenant: 'required', identifyBy: fromPath() })` sets the scope's policy for routes without one of
 * their own.
 * @param release the hook that every route with a tenant gets
 */
export function addRoutePolicy(fastify: FastifyInstance, release: onResponseHookHandler): void {
  type Policy = Pick<FastifyContextConfig, 'tenant' | 'identifyBy'>
  type Scope = { [kPolicy]?: Policy }
  fastify.addHook('onRegister', (instance, options) => {
    const { tenant, identifyBy } = options as Policy
    if (tenant === undefined && identifyBy === undefined) return
    refuseOtherPolicy(tenant, `the scope ${instance.prefix || '/'}`)
    const above = (instance as Scope)[kPolicy]
    ;(instance as Scope)[kPolicy] = {
      ...above,
      ...(tenant !== undefined && { tenant }),
      ...(identifyBy !== undefined && { identifyBy }),
    }
  })
  fastify.addHook('onRoute', function (this: FastifyInstance, route) {
    const config: Policy = { ...(this as Scope)[kPolicy], ...route.config }
    refuseOtherPolicy(config.tenant, `${[route.method].flat().join()} ${route.url}`)
    if (config.identifyBy !== undefined) config.identifyBy = [config.identifyBy].flat()
    if (Object.keys(config).length > 0) route.config = config
    if (config.tenant !== false) route.onResponse = [release, ...[route.onResponse ?? []].flat()]
  })
}
