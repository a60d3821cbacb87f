// The settings: options, the environment where no option was passed, and the checks of their combinations. Options win over
// the environment. All settings are complete before any connection is made.

import { fileURLToPath } from 'node:url'
import { LONGEST_MS } from '../../../timing/timers.js'
import { parseRoleKeys, type RoleKey } from '../credentials/role-credentials.js'
import { ConfigurationInvalid } from '../errors.js'
import { parseServiceName } from '../names.js'
import type { ServiceName } from '../types.js'
import { readAuthorities } from './ca-certificates.js'
import { parseIdentifiers } from './check-options.js'
import { type Environment, readEnvironment } from './environment.js'
import { type InstanceAddress, instancesOf, parseInstances } from './instances.js'
import type { DatabaseOptions, DistributedTenantOptions, Identifier, RedisClient } from './options.js'
import { addressOf } from './servers.js'
import { refuseOtherValue } from './spelling.js'

/** Options with every default filled in. */
export interface Settings {
  readonly service: ServiceName
  readonly migrations: { readonly central: string | null; readonly tenant: string | null }
  readonly database: DatabaseOptions
  /** Home, the instance of `database`, first. */
  readonly instances: readonly InstanceAddress[]
  readonly tenantDatabase: { readonly host: string; readonly port: number } | null
  readonly enabled: boolean
  readonly pooling: boolean
  readonly alwaysReset: boolean
  readonly maxConnections: number
  readonly maxConnectionsPerTenant: number
  readonly acquireTimeout: number
  readonly connectTimeout: number
  readonly queryTimeout: number
  readonly idleTimeout: number
  /** Null: the processes that exist share the server's connections. */
  readonly replicas: number | null
  /** Of all processes together; null: what the server allows. */
  readonly serviceConnections: number | null
  readonly spares: number
  readonly outdatedTenants: 'serve' | 'refuse'
  /** The current one first. */
  readonly roleKeys: readonly RoleKey[]
  /** Without a secret of its own: the keys were made from the service's password. */
  readonly roleKeysImplied: boolean
  readonly nats: string | null
  /** Certificates in PEM. */
  readonly natsCa: string | undefined
  /** Of the stream; undefined: one for a new stream. */
  readonly streamReplicas: 1 | 3 | 5 | undefined
  readonly streamManaged: 'here' | 'elsewhere'
  readonly redis: RedisClient | string | null
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
  readonly confirmPurge: DistributedTenantOptions['confirmPurge']
  readonly retention: number
  readonly reconcileInterval: number
  readonly waitForDatabase: boolean
}

/**
 * Combines options with the environment.
 * @throws CONFIGURATION_INVALID with the name of the option or variable and the cure.
 */
export function settle(options: DistributedTenantOptions, environment: Environment = readEnvironment()): Settings {
  const name = options.service ?? environment.SERVICE_NAME
  if (!name) {
    throw new ConfigurationInvalid('SERVICE_NAME is not set: name the service, like SERVICE_NAME=employee-service.')
  }
  const service = parseServiceName(name)
  const production = options.production ?? environment.NODE_ENV === 'production'
  const maxConnections = positiveInteger(
    'maxConnections',
    options.maxConnections ?? environment.DISTRIBUTED_MAX_CONNECTIONS,
  )
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
  if (options.confirmPurge && (source || identity !== null)) {
    throw new ConfigurationInvalid(
      '`confirmPurge` is for a service without identity: leave it out, or pass `identity: null` and no `source`.',
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
  refuseOtherValue('outdatedTenants', options.outdatedTenants, ['serve', 'refuse'])
  refuseOtherValue('streamManaged', options.streamManaged, ['here', 'elsewhere'])
  refuseOtherValue('database.ssl', options.database?.ssl, ['disable', 'prefer', 'require', 'verify-full'])
  const nats = options.nats === undefined ? environment.NATS_URL : options.nats
  const redis = options.redis === undefined ? environment.REDIS_URL || null : options.redis
  return {
    service,
    migrations: {
      central: folder(options.migrations?.central ?? environment.CENTRAL_MIGRATIONS),
      tenant: folder(options.migrations?.tenant ?? environment.TENANT_MIGRATIONS),
    },
    database,
    instances,
    tenantDatabase: tenantHost
      ? { host: tenantHost, port: options.tenantDatabase?.port ?? environment.TENANT_DB_PORT ?? database.port }
      : null,
    enabled: options.enabled ?? environment.DISTRIBUTED_DATABASE_ENABLED,
    pooling: options.pooling ?? environment.DISTRIBUTED_CONNECTION_POOLING,
    alwaysReset: settleReset(options.reset),
    maxConnections,
    maxConnectionsPerTenant: Math.min(
      maxConnections,
      positiveInteger(
        'maxConnectionsPerTenant',
        options.maxConnectionsPerTenant ?? Math.max(1, Math.floor(maxConnections / 5)),
      ),
    ),
    acquireTimeout: timerMs('acquireTimeout', options.acquireTimeout ?? environment.TENANT_ACQUIRE_TIMEOUT * 1000),
    connectTimeout: timerMs(
      'connectTimeout',
      options.connectTimeout ?? environment.DISTRIBUTED_CONNECTION_TIMEOUT * 1000,
    ),
    queryTimeout: timerMs('queryTimeout', options.queryTimeout ?? 30_000),
    idleTimeout: positiveMs('idleTimeout', options.idleTimeout ?? environment.DISTRIBUTED_IDLE_TIMEOUT * 1000),
    replicas: optional('replicas', options.replicas ?? environment.SERVICE_REPLICAS),
    serviceConnections: optional('serviceConnections', options.serviceConnections ?? environment.SERVICE_CONNECTIONS),
    spares: nonNegativeInteger('spares', options.spares ?? environment.TENANT_SPARES),
    outdatedTenants: options.outdatedTenants ?? environment.TENANT_OUTDATED,
    roleKeys: roleSecret === undefined ? [{ id: 'dev', secret: database.password ?? '' }] : parseRoleKeys(roleSecret),
    roleKeysImplied: roleSecret === undefined,
    nats,
    natsCa: readAuthorities('NATS_CA_FILE', options.natsCaFile ?? environment.NATS_CA_FILE, nats),
    streamReplicas: options.streamReplicas ?? (environment.NATS_STREAM_REPLICAS as Settings['streamReplicas']),
    streamManaged: options.streamManaged ?? environment.NATS_STREAM_MANAGED,
    redis,
    // A Redis client that the caller passes in has its own TLS settings.
    redisCa:
      typeof redis === 'string'
        ? readAuthorities('REDIS_CA_FILE', options.redisCaFile ?? environment.REDIS_CA_FILE, redis)
        : undefined,
    cacheTtl: positiveMs('cacheTtl', options.cacheTtl ?? environment.TENANT_CACHE_TTL * 1000),
    header: options.header ?? environment.TENANT_HEADER,
    baseDomain: options.baseDomain ?? environment.TENANT_BASE_DOMAIN ?? null,
    identifyBy: options.identifyBy === undefined ? null : parseIdentifiers(options.identifyBy),
    trustAllProxies: options.trustAllProxies ?? false,
    authorizeTenant: options.authorizeTenant,
    trustedGateway: options.trustedGateway ?? false,
    source,
    onStatus: options.onStatus,
    production,
    identity,
    confirmPurge: options.confirmPurge,
    retention: nonNegativeMs('retention', options.retention ?? environment.TENANT_RETENTION_DAYS * 86_400_000),
    reconcileInterval: timerMs('reconcileInterval', options.reconcileInterval ?? 10_000),
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
    ...addressOf(given.host ?? environment.DB_HOST, given.port ?? environment.DB_PORT),
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

function settleReset(reset: string = 'needed'): boolean {
  if (reset !== 'needed' && reset !== 'always') throw new ConfigurationInvalid("reset must be 'needed' or 'always'.")
  return reset === 'always'
}

const folder = (path: string | URL | undefined): string | null =>
  path === undefined ? null : path instanceof URL ? fileURLToPath(path) : path

function positiveInteger(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1) throw new ConfigurationInvalid(`${name} must be a whole number above 0.`)
  return value
}

const optional = (name: string, value: number | undefined): number | null =>
  value === undefined ? null : positiveInteger(name, value)

function nonNegativeInteger(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0) throw new ConfigurationInvalid(`${name} must be a whole number, or 0.`)
  return value
}

function positiveMs(name: string, value: number): number {
  if (!(value > 0 && Number.isFinite(value)))
    throw new ConfigurationInvalid(`${name} must be a number of milliseconds above 0.`)
  return value
}

/** For what a timer waits. */
function timerMs(name: string, value: number): number {
  if (positiveMs(name, value) <= LONGEST_MS) return value
  throw new ConfigurationInvalid(
    `${name} must be at most ${LONGEST_MS.toLocaleString('en')} milliseconds: a timer waits no longer.`,
  )
}

function nonNegativeMs(name: string, value: number): number {
  if (!(value >= 0 && Number.isFinite(value)))
    throw new ConfigurationInvalid(`${name} must be a number of milliseconds, 0 or more.`)
  return value
}
