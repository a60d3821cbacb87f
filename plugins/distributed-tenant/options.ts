// Owns the plugin's options: what may be passed, what the environment gives instead, and what may not be combined.
// Options win over the environment. Everything is settled here once, before any connection is made.

import { fileURLToPath } from 'node:url'
import type { FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import type { StatusEvent } from '../../events/index.js'
import { readAuthorities } from './authorities.js'
import { parseRoleKeys, type RoleKey } from './databases/credentials.js'
import { parseServiceName } from './databases/names.js'
import { type Environment, readEnvironment } from './environment.js'
import { ConfigurationInvalid } from './errors.js'
import { type InstanceAddress, instancesOf, parseInstances } from './placement/instances.js'
import type { Identifier } from './request/identify.js'
import type { ServiceName, SqlClient, Tenant } from './types.js'

export type SslMode = 'disable' | 'prefer' | 'require' | 'verify-full'

/** Where this service's PostgreSQL is and who we are there. */
export interface DatabaseOptions {
  readonly host: string
  readonly port: number
  /** The central database. */
  readonly database: string
  readonly user: string
  readonly password: string | undefined
  readonly ssl: SslMode
  readonly sslRootCert: string | undefined
}

/** All optional: `fastify.register(distributedTenant)` works from the environment alone. Times are milliseconds. */
export interface DistributedTenantOptions {
  /** `identity-service` or `identity`. */
  service?: string
  /** Folders with this service's own `NNN.do.name.sql` files. */
  migrations?: { central?: string | URL; tenant?: string | URL }
  database?: Partial<DatabaseOptions>
  /** More instances for tenants' databases, by name; login, password and TLS are those of `database`. */
  instances?: Readonly<Record<string, { host: string; port?: number | undefined }>>
  /** A pooler for tenant connections; everything else goes direct. */
  tenantDatabase?: { host: string; port?: number }
  /** `false`: tenant routes answer 503 and nothing is consumed. */
  enabled?: boolean
  /** `false`: a connection lives for one statement or transaction. */
  pooling?: boolean
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
  replicas?: number
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
  /** The path of the CA certificates for a `tls://` URL; default: the authorities Node knows. Verified in any case. */
  natsCaFile?: string
  /** A client of yours (not closed by us), a URL, or `null` for memory only. Default: `fastify.redis`, then REDIS_URL. */
  redis?: Redis | string | null
  /** The path of the CA certificates for a `rediss://` URL; default: the authorities Node knows. Verified in any case. */
  redisCaFile?: string
  /** Milliseconds a lookup stays in Redis. Default 3,600,000. */
  cacheTtl?: number
  /** One source or several; those that disagree refuse the request. A scope or a route may have its own. */
  identifyBy?: Identifier | readonly Identifier[]
  /**
   * Fastify's `trustProxy: true` lets anybody who reaches this process say its host, and so its tenant: refused unless
   * you say here that only your proxies can reach it.
   */
  trustAllProxies?: boolean
  header?: string
  baseDomain?: string
  /** Says whether this request may act for the tenant; anything but `true` refuses with 403 (TENANT_FORBIDDEN). */
  authorizeTenant?: (request: FastifyRequest, tenant: Tenant) => boolean | Promise<boolean>
  /** A gateway in front has verified the tenant header. One of the two is required in production. */
  trustedGateway?: boolean
  /** This service is where tenants are made; default: the service is `identity`. */
  source?: boolean
  /** Hears every status event (the ledger); at least once, in any order. Throw to have it again. */
  onStatus?: (event: StatusEvent, central: SqlClient) => Promise<void>
  production?: boolean
  /**
   * Where identity's feed is read, and with which token. Default: IDENTITY_URL and SERVICE_TOKEN. `null`: there is no
   * identity service, and nothing is compared with it.
   */
  identity?: { url: string; token: string } | null
  /** The source: how long a deleted tenant's databases are kept. Default: TENANT_RETENTION_DAYS. */
  retention?: number
  /** How often identity's feed is read; everything is compared at every sixth time. Default 10,000. */
  reconcileInterval?: number
}

/** Options with nothing left open. */
export interface Settings {
  readonly service: ServiceName
  readonly migrations: { readonly central: string | null; readonly tenant: string | null }
  readonly database: DatabaseOptions
  /** Home, the instance of `database`, first. */
  readonly instances: readonly InstanceAddress[]
  readonly tenantDatabase: { readonly host: string; readonly port: number } | null
  readonly enabled: boolean
  readonly pooling: boolean
  readonly maxConnections: number
  readonly maxConnectionsPerTenant: number
  readonly acquireTimeout: number
  readonly connectTimeout: number
  readonly queryTimeout: number
  readonly idleTimeout: number
  readonly replicas: number
  readonly spares: number
  readonly outdatedTenants: 'serve' | 'refuse'
  /** The current one first. */
  readonly roleKeys: readonly RoleKey[]
  /** There is no secret of its own: the keys were made from the service's password. */
  readonly roleKeysImplied: boolean
  readonly nats: string | null
  /** Certificates in PEM. */
  readonly natsCa: string | undefined
  readonly redis: Redis | string | null
  readonly redisCa: string | undefined
  readonly cacheTtl: number
  readonly header: string
  readonly baseDomain: string | null
  readonly identifyBy: readonly Identifier[] | null
  readonly trustAllProxies: boolean
  readonly authorizeTenant: DistributedTenantOptions['authorizeTenant']
  readonly trustedGateway: boolean
  readonly source: boolean
  readonly onStatus: DistributedTenantOptions['onStatus']
  readonly production: boolean
  readonly identity: { readonly url: string; readonly token: string } | null
  readonly retention: number
  readonly reconcileInterval: number
  readonly waitForDatabase: boolean
}

/**
 * Settles options against the environment.
 * @throws CONFIGURATION_INVALID with the name of the option or variable and the cure.
 */
export function settle(options: DistributedTenantOptions, environment: Environment = readEnvironment()): Settings {
  const name = options.service ?? environment.SERVICE_NAME
  if (!name) {
    throw new ConfigurationInvalid('SERVICE_NAME is not set: name the service, like SERVICE_NAME=employee-service.')
  }
  const service = parseServiceName(name)
  const production = options.production ?? environment.NODE_ENV === 'production'
  const maxConnections = whole('maxConnections', options.maxConnections ?? environment.DISTRIBUTED_MAX_CONNECTIONS)
  if (production && !options.authorizeTenant && !options.trustedGateway) {
    throw new ConfigurationInvalid(
      'In production the tenant header is only a claim: pass `authorizeTenant`, or `trustedGateway: true` if a gateway has verified it.',
    )
  }
  const source = options.source ?? service === 'identity'
  const identity = settleIdentity(options, environment)
  if (production && !source && identity === null && options.identity !== null) {
    throw new ConfigurationInvalid(
      'In production a service compares itself with identity: set IDENTITY_URL and SERVICE_TOKEN, or pass `identity: null` if there is no identity service.',
    )
  }
  const roleSecret = options.roleSecret ?? environment.TENANT_ROLE_SECRET
  if (production && roleSecret === undefined) {
    throw new ConfigurationInvalid(
      'TENANT_ROLE_SECRET is not set: give k1:<secret> with 32 or more random characters; tenants’ passwords derive from it.',
    )
  }
  const tenantHost = options.tenantDatabase?.host ?? environment.TENANT_DB_HOST
  const database = settleDatabase(options, environment, service, production)
  const instances = instancesOf(
    database,
    options.instances ?? (environment.DB_INSTANCES ? parseInstances(environment.DB_INSTANCES) : {}),
  )
  if (tenantHost && instances.length > 1) {
    throw new ConfigurationInvalid(
      'TENANT_DB_HOST stands in front of one instance, and DB_INSTANCES names more: leave one of them out.',
    )
  }
  const nats = options.nats === undefined ? environment.NATS_URL : options.nats
  const redis = options.redis === undefined ? environment.REDIS_URL || null : options.redis
  return {
    service,
    migrations: { central: folder(options.migrations?.central), tenant: folder(options.migrations?.tenant) },
    database,
    instances,
    tenantDatabase: tenantHost
      ? { host: tenantHost, port: options.tenantDatabase?.port ?? environment.TENANT_DB_PORT ?? database.port }
      : null,
    enabled: options.enabled ?? environment.DISTRIBUTED_DATABASE_ENABLED,
    pooling: options.pooling ?? environment.DISTRIBUTED_CONNECTION_POOLING,
    maxConnections,
    maxConnectionsPerTenant: Math.min(
      maxConnections,
      whole('maxConnectionsPerTenant', options.maxConnectionsPerTenant ?? Math.max(1, Math.floor(maxConnections / 5))),
    ),
    acquireTimeout: above0('acquireTimeout', options.acquireTimeout ?? environment.TENANT_ACQUIRE_TIMEOUT * 1000),
    connectTimeout: above0(
      'connectTimeout',
      options.connectTimeout ?? environment.DISTRIBUTED_CONNECTION_TIMEOUT * 1000,
    ),
    queryTimeout: above0('queryTimeout', options.queryTimeout ?? 30_000),
    idleTimeout: above0('idleTimeout', options.idleTimeout ?? environment.DISTRIBUTED_IDLE_TIMEOUT * 1000),
    replicas: whole('replicas', options.replicas ?? environment.SERVICE_REPLICAS),
    spares: notBelow0('spares', options.spares ?? environment.TENANT_SPARES),
    outdatedTenants: options.outdatedTenants ?? environment.TENANT_OUTDATED,
    roleKeys: roleSecret === undefined ? [{ id: 'dev', secret: database.password ?? '' }] : parseRoleKeys(roleSecret),
    roleKeysImplied: roleSecret === undefined,
    nats,
    natsCa: readAuthorities('NATS_CA_FILE', options.natsCaFile ?? environment.NATS_CA_FILE, nats),
    redis,
    // A client that is passed in was made by somebody who knows whom to believe.
    redisCa:
      typeof redis === 'string'
        ? readAuthorities('REDIS_CA_FILE', options.redisCaFile ?? environment.REDIS_CA_FILE, redis)
        : undefined,
    cacheTtl: above0('cacheTtl', options.cacheTtl ?? environment.TENANT_CACHE_TTL * 1000),
    header: options.header ?? environment.TENANT_HEADER,
    baseDomain: options.baseDomain ?? environment.TENANT_BASE_DOMAIN ?? null,
    identifyBy: options.identifyBy ? [options.identifyBy].flat() : null,
    trustAllProxies: options.trustAllProxies ?? false,
    authorizeTenant: options.authorizeTenant,
    trustedGateway: options.trustedGateway ?? false,
    source,
    onStatus: options.onStatus,
    production,
    identity,
    retention: atLeast0('retention', options.retention ?? environment.TENANT_RETENTION_DAYS * 86_400_000),
    reconcileInterval: above0('reconcileInterval', options.reconcileInterval ?? 10_000),
    waitForDatabase: environment.DOCKER_ENABLED ?? false,
  }
}

function settleDatabase(
  options: DistributedTenantOptions,
  environment: Environment,
  service: ServiceName,
  production: boolean,
): DatabaseOptions {
  const given = options.database ?? {}
  const ssl = given.ssl ?? environment.DB_SSLMODE ?? (production ? 'require' : 'prefer')
  const sslRootCert = given.sslRootCert ?? environment.DB_SSLROOTCERT
  if (ssl === 'verify-full' && !sslRootCert) {
    throw new ConfigurationInvalid('DB_SSLMODE=verify-full needs DB_SSLROOTCERT: the path of the CA certificate.')
  }
  return {
    host: given.host ?? environment.DB_HOST,
    port: given.port ?? environment.DB_PORT,
    database: given.database ?? environment.DB_DATABASE ?? `${service}_central`,
    user: given.user ?? environment.DB_USERNAME,
    password: given.password ?? environment.DB_PASSWORD,
    ssl,
    sslRootCert,
  }
}

function settleIdentity({ identity }: DistributedTenantOptions, environment: Environment): Settings['identity'] {
  if (identity !== undefined) return identity
  const { IDENTITY_URL: url, SERVICE_TOKEN: tokens } = environment
  // While a token is replaced there are several, the first is the one to send.
  const [token] = tokens?.split(',') ?? []
  return url && token ? { url, token } : null
}

const folder = (path: string | URL | undefined): string | null =>
  path === undefined ? null : path instanceof URL ? fileURLToPath(path) : path

function whole(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1) throw new ConfigurationInvalid(`${name} must be a whole number above 0.`)
  return value
}

function notBelow0(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0) throw new ConfigurationInvalid(`${name} must be a whole number, or 0.`)
  return value
}

function above0(name: string, value: number): number {
  if (!(value > 0)) throw new ConfigurationInvalid(`${name} must be a number of milliseconds above 0.`)
  return value
}

function atLeast0(name: string, value: number): number {
  if (!(value >= 0)) throw new ConfigurationInvalid(`${name} must be a number of milliseconds, 0 or more.`)
  return value
}
