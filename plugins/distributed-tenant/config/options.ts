// The plugin's options. Types only; settings.ts combines them with the environment.
import type { FastifyRequest } from 'fastify'
import type { StatusEvent } from '../../../events/index.js'
import type { DatabaseOptions } from '../../../postgres/address.js'
import type { RegistryRow, SqlClient, Tenant } from '../types.js'

export type { DatabaseOptions, SslMode } from '../../../postgres/address.js'

/** What is asked of a client of Redis that is passed in. `Redis` and `Cluster` of `ioredis` 5 and 6 have it. */
export interface RedisClient {
  /** `commandTimeout` of it, in milliseconds, is the deadline of a command; without one it is 100. */
  readonly options?: object
  unlink(key: string): Promise<unknown>
  getrangeBuffer(key: string, start: number, end: number): Promise<Buffer>
  eval(script: string, keys: number, ...given: (string | number)[]): Promise<unknown>
}

/** All optional: `fastify.register(distributedTenant)` works from the environment alone. Times are milliseconds. */
export interface DistributedTenantOptions {
  /** `identity-service` or `identity`. */
  service?: string
  /** Folders with this service's own `NNN.do.name.sql` files. Default: TENANT_MIGRATIONS and CENTRAL_MIGRATIONS. */
  migrations?: { central?: string | URL; tenant?: string | URL }
  /** `host` and `port` may each name several servers, separated by commas: the primary is used. */
  database?: Partial<Omit<DatabaseOptions, 'port' | 'servers'>> & { readonly port?: number | string }
  /** More instances for tenants' databases, by name; login, password and TLS are those of `database`. */
  instances?: Readonly<Record<string, { host: string; port?: number | undefined }>>
  /** A pooler for tenant connections; everything else goes direct. */
  tenantDatabase?: { host: string; port?: number }
  /** `false`: tenant routes answer 503 and nothing is consumed. */
  enabled?: boolean
  /** `false`: a connection lives for one statement or transaction. */
  pooling?: boolean
  /**
   * When a session is reset before a tenant's next user gets it: `needed` (default), when a statement may have left state by
   * its text; `always`, for schemas whose own functions or triggers set state in their session, which no text shows. `always`
   * costs a round trip for each lease, and no two statements share a connection.
   */
  reset?: 'needed' | 'always'
  /** The budget: tenant connections of this process. Default 50. */
  maxConnections?: number
  /** Default: a fifth of the budget, at least one. */
  maxConnectionsPerTenant?: number
  /** Wait for the budget. Default 2,000. */
  acquireTimeout?: number
  /** Default 30,000. */
  connectTimeout?: number
  /** Deadline of one statement, kept by us whatever the server does. Default 30,000. */
  queryTimeout?: number
  /** Default 1,800,000. */
  idleTimeout?: number
  /** Processes of this service, where they are not counted: each then has the whole budget. Default: they are counted. */
  replicas?: number
  /** Connections that all processes of this service may open together. Default: what the server allows. */
  serviceConnections?: number
  /** Spare databases kept ready; 0 for none. Default 3. */
  spares?: number
  /**
   * Tenants whose schema is behind this release's newest tenant migration: `serve` them, or `refuse` them with 503
   * (TENANT_SCHEMA_OUTDATED) until they are migrated. Default `serve`.
   */
  outdatedTenants?: 'serve' | 'refuse'
  /** `k1:<secret>`, older keys after a comma: the passwords of tenants' roles derive from it. Required in production. */
  roleSecret?: string
  /** `null`: no events. A URL carries the credentials. */
  nats?: string | null
  /** The path of the CA certificates for a `tls://` URL; default: Node's own authorities. Verified in any case. */
  natsCaFile?: string
  /** Copies of the stream in a cluster of NATS; identity raises the stream to it, and never lowers it. Default 1. */
  streamReplicas?: 1 | 3 | 5
  /** `elsewhere`: stream and consumers are made by NACK, Terraform or by hand; they are compared, not changed. Default `here`. */
  streamManaged?: 'here' | 'elsewhere'
  /**
   * A client of yours (`Redis` or `Cluster`, not closed by us), a URL (`redis://`, `redis+sentinel://a,b/name`,
   * `redis+cluster://a,b`, with `rediss` for TLS), or `null` for memory only. Default: `fastify.redis`, then REDIS_URL.
   */
  redis?: RedisClient | string | null
  /** The path of the CA certificates for a `rediss://` URL; default: Node's own authorities. Verified in any case. */
  redisCaFile?: string
  /** Milliseconds a lookup stays in Redis. Default 3,600,000. */
  cacheTtl?: number
  /** One source or several; those that disagree refuse the request. A scope or a route may have its own. */
  identifyBy?: Identifier | readonly Identifier[]
  /**
   * Fastify's `trustProxy: true` lets any client that reaches this process name its host, and so its tenant: refused unless
   * this option states that only your proxies can reach it.
   */
  trustAllProxies?: boolean
  header?: string
  baseDomain?: string
  /** Whether this request may act for the tenant; anything but `true` refuses with 403 (TENANT_FORBIDDEN). */
  authorizeTenant?: (request: FastifyRequest, tenant: Tenant) => boolean | Promise<boolean>
  /** A gateway in front has verified the tenant header. One of the two is required in production. */
  trustedGateway?: boolean
  /** This service is where tenants are made; default: the service is `identity`. */
  source?: boolean
  /** Called with every status event (the ledger); at least once, in any order. An error has it delivered again. */
  onStatus?: (event: StatusEvent, central: SqlClient) => Promise<void>
  production?: boolean
  /**
   * The URL of identity's feed, and the token to read it. Default: IDENTITY_URL and SERVICE_TOKEN. `null`: there is no
   * identity service, and nothing is compared with it.
   */
  identity?: { url: string; token: string } | null
  /**
   * A service without identity: whether a deleted tenant's database may be dropped now, by `purge` or because its retention is
   * over. Anything but `true` keeps it. Default: without identity nothing is dropped.
   */
  confirmPurge?: (tenant: RegistryRow) => boolean | Promise<boolean>
  /** The source: how long a deleted tenant's databases are kept. Default: TENANT_RETENTION_DAYS. */
  retention?: number
  /** How often identity's feed is read; everything is compared at every sixth time. Default 10,000. */
  reconcileInterval?: number
}

/** The result of one source: an id, a host name to look up, or null. `verified`: a proof, which no claim overrules. */
export type Identified = { readonly id: string; readonly verified?: boolean } | { readonly domain: string } | null

/** Reads a tenant from a request. @throws the 400s of identification */
export type Identifier = (request: FastifyRequest) => Identified | Promise<Identified>
