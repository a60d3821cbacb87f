// The policy of a route: whether it wants a tenant, and how its requests name it, by itself or by its scope.
// Invariant: a route's setting overrides its scope's, and an inner scope's an outer one's.
import type { FastifyContextConfig, FastifyInstance, FastifyRequest, onResponseHookHandler } from 'fastify'
import { parseIdentifiers } from '../config/check-options.js'
import type { Identifier } from '../config/options.js'
import { misspeltNames } from '../config/spelling.js'
import { ConfigurationInvalid } from '../errors.js'

const kPolicy = Symbol('distributed-tenant.policy')
/** What this package reads of a route's `config`, and of the options of a scope. */
const ofRoute = ['tenant', 'identifyBy', 'token', 'roles', 'audit', 'limits', 'underPressure']
const ofScope = ['tenant', 'identifyBy']

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

/** A `config` may have names of the application's own, so a misspelt one gets a warning, once for each name. */
function warnOfMisspelt(
  warn: (message: string) => void,
): (given: object, known: readonly string[], where: string) => void {
  const reported = new Set<string>()
  return (given, known, where) => {
    for (const { name, near } of misspeltNames(given, known)) {
      if (reported.has(name)) continue
      reported.add(name)
      warn(`The setting ${name} of ${where} has no effect on tenants: is it ${near}?`)
    }
  }
}

/**
 * `register(routes, { prefix, tenant: 'required', identifyBy: fromPath() })` sets the scope's policy for routes without one of
 * their own.
 * @param release the hook that every route with a tenant gets
 * @param warn is called with a sentence about a setting that is probably misspelt
 */
export function addRoutePolicy(
  fastify: FastifyInstance,
  { release, warn }: { release: onResponseHookHandler; warn: (message: string) => void },
): void {
  const look = warnOfMisspelt(warn)
  type Policy = Pick<FastifyContextConfig, 'tenant' | 'identifyBy'>
  type Scope = { [kPolicy]?: Policy }
  fastify.addHook('onRegister', (instance, options) => {
    const { tenant, identifyBy } = options as Policy
    const where = `the scope ${instance.prefix || '/'}`
    // Options of another plugin may be called `tenants`; none of them has a policy as its value.
    const policies = Object.entries(options).filter(([, value]) => value === 'required' || value === false)
    look(Object.fromEntries(policies), ofScope, where)
    if (tenant === undefined && identifyBy === undefined) return
    refuseOtherPolicy(tenant, where)
    if (identifyBy !== undefined) parseIdentifiers(identifyBy, ` of ${where}`)
    const above = (instance as Scope)[kPolicy]
    ;(instance as Scope)[kPolicy] = {
      ...above,
      ...(tenant !== undefined && { tenant }),
      ...(identifyBy !== undefined && { identifyBy }),
    }
  })
  fastify.addHook('onRoute', function (this: FastifyInstance, route) {
    const config: Policy = { ...(this as Scope)[kPolicy], ...route.config }
    const where = `${[route.method].flat().join()} ${route.url}`
    look(config, ofRoute, where)
    refuseOtherPolicy(config.tenant, where)
    if (config.identifyBy !== undefined) config.identifyBy = parseIdentifiers(config.identifyBy, ` of ${where}`)
    if (Object.keys(config).length > 0) route.config = config
    if (config.tenant !== false) route.onResponse = [release, ...[route.onResponse ?? []].flat()]
  })
}
