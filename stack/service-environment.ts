// The environment of each service's process: what the stack decides, over what the user has set, without what was meant
// for the launcher alone (a superuser's credentials, other services' hosts).
import { randomPassword } from './servers/folder.js'
import type { StackInfo } from './stack-file.js'

export interface StackSecrets {
  adminToken: string
  serviceToken: string
  tenantRoleSecret: string
  /** Tokens of the operator API, each behind its role. */
  operatorToken: string
}

// A test runner's loaders do not belong into the processes it tests, nor npm's settings into any of them.
const launchersOwn =
  /^(DB_(HOST|PORT|DATABASE|USERNAME|PASSWORD).*|[A-Z]+_DB_HOST|TENANT_DB_.*|CONSOLE_SERVICES|(NATS|REDIS)_CA_FILE|INIT_.*|npm_.*|_?TAP.*|(ADMIN_TOKEN|SERVICE_TOKEN|OPERATOR_TOKEN|METRICS_TOKEN|TENANT_ROLE_SECRET|NATS_URL|REDIS_URL)(_FILE)?)$/

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
    operatorToken: env.OPERATOR_TOKEN || `administer:${randomPassword()}`,
    tenantRoleSecret: env.TENANT_ROLE_SECRET || `k1:${randomPassword()}${randomPassword()}`,
  }
}

export function serviceEnvironment(
  name: string,
  info: StackInfo,
  secrets: StackSecrets,
  inherited: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const described = info.services[name]
  const nats = info.nats.services[name]
  if (!described || !nats) throw new Error(`The stack has no service ${name}.`)
  const { database } = described
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
    NATS_URL: nats,
    REDIS_URL: info.redis.url,
    ADMIN_TOKEN: secrets.adminToken,
    SERVICE_TOKEN: secrets.serviceToken,
    OPERATOR_TOKEN: secrets.operatorToken,
    TENANT_ROLE_SECRET: secrets.tenantRoleSecret,
    IDENTITY_URL: info.services.identity.url,
    REQUIRED_SERVICES: Object.keys(info.services).join(','),
    CONSOLE_SERVICES: Object.entries(info.services)
      .flatMap(([other, { url }]) => (other === 'identity' ? [] : [`${other}=${url}`]))
      .join(','),
  }
}
