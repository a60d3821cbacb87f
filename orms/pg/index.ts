// `fastify-distributed-tenant/pg`: `pg`'s Pool over the connections of a tenant.
export { driverOf, Pool, type PoolOptions } from './pool.js'
