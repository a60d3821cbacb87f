// The check of Fastify's `trustProxy` at the start. Invariant: a host that any client may name never decides the tenant.
import type { FastifyInstance } from 'fastify'
import type { Settings } from '../config/settings.js'
import { ConfigurationInvalid } from '../errors.js'

/** @throws CONFIGURATION_INVALID when the X-Forwarded-Host of any client would decide the tenant */
export function refuseBlindTrust(fastify: FastifyInstance, settings: Settings): void {
  if (settings.trustAllProxies || settings.identifyBy || trustProxyOf(fastify) !== true) return
  throw new ConfigurationInvalid(
    'Fastify’s `trustProxy: true` lets any client name the host, and so the tenant: list your proxies’ addresses in it, pass an `identifyBy` without hosts, or set `trustAllProxies: true` if only your proxies can reach this process.',
  )
}

/** Fastify keeps its options under a symbol of its own and shows only some of them. */
function trustProxyOf(fastify: FastifyInstance): unknown {
  for (let one: object | null = fastify; one; one = Object.getPrototypeOf(one)) {
    const symbol = Object.getOwnPropertySymbols(one).find(({ description }) => description === 'fastify.options')
    if (symbol) return (one as Record<symbol, { trustProxy?: unknown }>)[symbol]?.trustProxy
  }
  return undefined
}
