// The plugin: options in, parts built, decorators, hooks, close. No logic.
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import './augment.js'
import type { DistributedTenantOptions } from './options.js'

async function distributedTenantPlugin(_fastify: FastifyInstance, _options: DistributedTenantOptions): Promise<void> {}

/** See README.md. @example `await app.register(distributedTenant)` */
export const distributedTenant = fp<DistributedTenantOptions>(distributedTenantPlugin, {
  fastify: '5.x',
  name: 'fastify-distributed-tenant',
})
export default distributedTenant
export * from './errors.js'
export type { DistributedTenantOptions } from './options.js'
export type * from './types.js'
export { distributedTenant as fastifyDistributedTenant }
