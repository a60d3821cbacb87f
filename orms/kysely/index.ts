// `fastify-distributed-tenant/kysely`: Kysely's dialect over the client of a tenant.
export { TenantDialect, type TenantDialectOptions } from './dialect.js'
