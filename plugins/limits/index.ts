// Rate limits: of each address before any work is done, of each tenant once it is known, and of routes with an
// `app.limit` of their own. Over the limit is 429 with Retry-After. Invariant: no request waits for Redis (counters.ts).
import { createError } from '@fastify/error'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { subscriberAddress } from '../client-address.js'
import { checkPluginOptions } from '../distributed-tenant/index.js'
import { createCounters, type SharedCounters } from './counters.js'

export const RateLimited = createError('RATE_LIMITED', 'Too many requests: try again after Retry-After seconds.', 429)

export interface Limit {
  /** Names the count; part of its key. */
  readonly name: string
  readonly max: number
  readonly windowMs: number
  /** The key that is counted. Default: the address, an IPv6 one by its /64. */
  readonly of?: (request: FastifyRequest) => string
}

/** Counts a request. @throws RATE_LIMITED, after setting Retry-After */
export type Limiter = (request: FastifyRequest, reply: FastifyReply) => void

declare module 'fastify' {
  interface FastifyInstance {
    limit(limit: Limit): Limiter
  }
  interface FastifyContextConfig {
    /** `false`: this route is not counted, like liveness. `apart`: counted, but not with the others: {@link APART}. */
    limits?: false | 'apart'
  }
}

export interface LimitsOptions {
  /** Shares the counts between replicas; null: each for itself. */
  readonly redis: SharedCounters | null
  /** Requests a minute of one address; 0: any number. */
  readonly perAddress: number
}

const MINUTE = 60_000
/** Of an address' requests a minute, the share of routes that are counted apart; never so few that a monitor is refused. */
const APART = 1 / 20
const FEWEST_APART = 60

const checkGiven = checkPluginOptions<LimitsOptions>('limits', { redis: 'other', perAddress: 'number' })

async function limitsPlugin(app: FastifyInstance, options: LimitsOptions): Promise<void> {
  checkGiven(options)
  const { redis, perAddress } = options
  const counters = createCounters(redis)
  app.addHook('onClose', async () => counters.close())

  app.decorate('limit', ({ name, max, windowMs, of = addressOf }: Limit): Limiter => {
    return (request, reply) => {
      const { current, ttl } = counters.count(`${name}:${of(request)}`, windowMs)
      if (current <= max) return
      reply.header('retry-after', Math.ceil(ttl / 1000))
      throw new RateLimited()
    }
  })

  if (perAddress === 0) return
  const limiter = app.limit({ name: 'address', max: perAddress, windowMs: MINUTE })
  const max = Math.max(FEWEST_APART, Math.ceil(perAddress * APART))
  const apart = app.limit({ name: 'apart', max, windowMs: MINUTE })
  app.addHook('onRequest', (request, reply, done) => {
    const { limits } = request.routeOptions.config
    if (limits !== false) (limits === 'apart' ? apart : limiter)(request, reply)
    done()
  })
}

export const addressOf = ({ ip }: Pick<FastifyRequest, 'ip'>): string => subscriberAddress(ip)

export interface TenantLimitOptions {
  /** Requests a minute of one tenant; 0: any number. */
  readonly perTenant: number
}

const checkGivenTenant = checkPluginOptions<TenantLimitOptions>('tenantLimit', { perTenant: 'number' })

/** Counts each tenant's requests once it is known. Register it behind the tenant plugin. */
async function tenantLimitPlugin(app: FastifyInstance, options: TenantLimitOptions): Promise<void> {
  checkGivenTenant(options)
  const { perTenant } = options
  if (perTenant === 0) return
  const limiter = app.limit({ name: 'tenant', max: perTenant, windowMs: MINUTE, of: request => request.tenantId })
  app.addHook('onRequest', (request, reply, done) => {
    const { tenant, limits } = request.routeOptions.config
    if (tenant === 'required' && limits !== false) limiter(request, reply)
    done()
  })
}

export const limits = fp<LimitsOptions>(limitsPlugin, { name: 'fastify-distributed-tenant-limits', fastify: '5.x' })
export const tenantLimit = fp<TenantLimitOptions>(tenantLimitPlugin, {
  name: 'fastify-distributed-tenant-tenant-limit',
  fastify: '5.x',
  dependencies: ['fastify-distributed-tenant', 'fastify-distributed-tenant-limits'],
})
export default limits
