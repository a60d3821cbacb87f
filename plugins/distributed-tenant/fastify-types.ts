// The plugin's additions to Fastify's own types. Types only.
import type { Tenants } from './api.js'
import type { Identifier } from './config/options.js'
import type { Notifications, SqlClient, Tenant, TenantId, TenantPolicy } from './types.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The central database of this service. */
    central: SqlClient
    /** Subscriptions to `NOTIFY` on the central database, on a direct connection. */
    notifications: Notifications
    tenants: Tenants
  }
  interface FastifyRequest {
    /** The request's tenant. Throws TENANT_REQUIRED when the request names none. */
    readonly tenant: Tenant
    readonly tenantId: TenantId
    /** A client bound to the tenant's database until the response is over. */
    readonly sql: SqlClient
  }
  /** Of a scope: `app.register(routes, { tenant: 'required' })` is for its routes and those below. A route's own setting wins. */
  interface RegisterOptions {
    tenant?: TenantPolicy
    identifyBy?: Identifier | readonly Identifier[]
  }
  interface FastifyContextConfig {
    tenant?: TenantPolicy
    /** How requests of this route name their tenant, instead of the plugin's own `identifyBy`. */
    identifyBy?: Identifier | readonly Identifier[]
    /** `false`: a tenant route without a token, like a login. `tenantClaim` admits it. */
    token?: false
  }
}
