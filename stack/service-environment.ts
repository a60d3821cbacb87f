// The environment of each service's process: what the stack decides, over what the user has set, without what was meant
// for the launcher alone (a superuser's credentials, other services' hosts).
import { type ServiceName, serviceNames } from './names.js'
import { randomPassword } from './servers/folder.js'
import type { StackInfo } from './stack-file.js'

export interface StackSecrets {
  adminToken: string
  serviceToken: string
  tenantRoleSecret: string
}

// A test runner's loaders do not belong into the processes it tests, nor npm's settings into any of them.
const launchersOwn =
  /^(DB_(HOST|PORT|DATABASE|USERNAME|PASSWORD).*|[A-Z]+_DB_HOST|TENANT_DB_.*|(NATS|REDIS)_CA_FILE|INIT_.*|npm_.*|_?TAP.*|(ADMIN_TOKEN|SERVICE_TOKEN|METRICS_TOKEN|TENANT_ROLE_SECRET|NATS_URL|REDIS_URL)(_FILE)?)$/

export function inheritedEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([key]) => !launchersOwn.test(key))
  const inherited: NodeJS.ProcessEnv = Object.fromEntries(kept)
  if (env.TAP) delete inherited.NODE_OPTIONS
  return inherited
}

/** What the user has set is kept, so that servers of one's own can be met again by the next start. */
export function stackSecrets(env: NodeJS.ProcessEnv): StackSecrets {
  return {
    adminToken: env.ADMIN_TOKEN || randomPassword(),
    serviceToken: env.SERVICE_TOKEN || randomPassword(),
    tenantRoleSecret: env.TENANT_ROLE_SECRET || `k1:${randomPassword()}${randomPassword()}`,
  }
}

export function serviceEnvironment(
  name: ServiceName,
  info: StackInfo,
  secrets: StackSecrets,
  inherited: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const { database } = info.services[name]
  return {
    LOG_LEVEL: 'info',
    ...inherited,
    NODE_ENV: 'development',
    // Only for this machine, also when that is a container.
    DOCKER_ENABLED: 'false',
    SERVICE_NAME: `${name}-service`,
    DB_HOST: database.host,
    DB_PORT: String(database.port),
    DB_DATABASE: database.name,
    DB_USERNAME: database.user,
    DB_PASSWORD: database.password,
    NATS_URL: info.nats.services[name],
    REDIS_URL: info.redis.url,
    ADMIN_TOKEN: secrets.adminToken,
    SERVICE_TOKEN: secrets.serviceToken,
    TENANT_ROLE_SECRET: secrets.tenantRoleSecret,
    IDENTITY_URL: info.services.identity.url,
    REQUIRED_SERVICES: serviceNames.join(','),
  }
}
