// The services that the command works on: from --config, the environment with `.env`, then the stack of this folder. Passwords and
// tokens are read here and go into connections and headers only.
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NoText, readTextFile } from '../files/text-file.js'
import { type Environment, readEnvironment, readSecret } from '../plugins/distributed-tenant/config/environment.js'
import { parseInstances } from '../plugins/distributed-tenant/config/instances.js'
import type { DistributedTenantOptions } from '../plugins/distributed-tenant/config/options.js'
import { parseServiceName } from '../plugins/distributed-tenant/names.js'
import { operatorTokens } from '../plugins/operator/access.js'
import { readEnvFile } from './env-file.js'
import { UsageError } from './outcome.js'

export interface ServiceTarget {
  readonly name: string
  /** Where it listens; null: not known here. */
  readonly url: string | null
  readonly database: NonNullable<DistributedTenantOptions['database']>
  /** The folders of its migrations; null: not known here. */
  readonly migrations: { readonly central: string | null; readonly tenant: string | null }
  /** Its other instances; null: as the environment says. */
  readonly instances: Readonly<Record<string, { host: string; port?: number }>> | null
  /** With the service's own NATS user, where it has one. */
  readonly nats: string | null
  /** What the passwords of its tenants' roles derive from. */
  readonly roleSecret: string | null
  /** Whether they can be derived here as the service does: from its secret, or outside of production from its password. */
  readonly hasRoleKeys: boolean
}

export interface Targets {
  readonly services: readonly ServiceTarget[]
  readonly identityUrl: string | null
  readonly adminToken: string | null
  readonly serviceToken: string | null
  /** Of the services' operator API, the one of the highest role. */
  readonly operatorToken: string | null
  readonly redis: string | null
  /** For messages: which of the three it was. */
  readonly from: string
}

/** The file of --config, and .stack/stack.json: the same shape. Paths are relative to the file. */
interface ConfigFile {
  readonly services?: Record<
    string,
    {
      readonly url?: string
      /** Host and port may be several, separated by commas. */
      readonly database?: { host?: string; port?: number | string; user?: string; password?: string; name?: string }
      readonly migrations?: { central?: string; tenant?: string }
      /** Like DB_INSTANCES: `b=db2.internal:5432,c=db3.internal`. */
      readonly instances?: string
      /** Where it is not that of all. */
      readonly tenantRoleSecret?: string
    }
  >
  readonly adminToken?: string
  readonly serviceToken?: string
  /** Alone, or as OPERATOR_TOKEN has it. */
  readonly operatorToken?: string
  readonly tenantRoleSecret?: string
  readonly nats?: { url?: string; services?: Record<string, string> }
  readonly redis?: { url?: string }
}

/** The administrator of the instances, as `init` has it: for slots and subscriptions of moves; null where none is given. */
export function administratorLogin(): { readonly user: string; readonly password: string | undefined } | null {
  const password = readSecret('INIT_PASSWORD')
  const user = process.env.INIT_SUPERUSER
  return password === undefined && !user ? null : { user: user || 'postgres', password }
}

const STACK_FILE = '.stack/stack.json'

/** @throws UsageError when none of the three has the services */
export function readTargets(options: { config?: string | undefined; service?: string | undefined }): Targets {
  const found = options.config ? fromFile(options.config) : (fromEnvironment(readEnvFile(process.env)) ?? fromStack())
  if (!found) {
    throw new UsageError(
      `No services are configured: pass --config, set SERVICE_NAME and DB_* (or <SERVICE>_DB_HOST for each) in the environment or .env, or start the stack (${STACK_FILE}).`,
    )
  }
  if (!options.service) return found
  const name = parseServiceName(options.service)
  const services = found.services.filter(service => service.name === name)
  if (services.length > 0) return { ...found, services }
  const known = found.services.map(service => service.name).join(', ')
  throw new UsageError(`There is no service ${name} in ${found.from}: it has ${known || 'none'}.`)
}

function fromStack(): Targets | null {
  try {
    return fromFile(STACK_FILE)
  } catch (error) {
    if ((error as { cause?: NodeJS.ErrnoException }).cause?.code === 'ENOENT') return null
    throw error
  }
}

function fromFile(path: string): Targets {
  let file: ConfigFile
  try {
    file = JSON.parse(readTextFile(path)) as ConfigFile
  } catch (error) {
    if (error instanceof NoText) throw new UsageError(`${path} ${error.message}.`)
    throw new UsageError(`${path} cannot be read as JSON: check the path and the text.`, { cause: error })
  }
  const services = Object.entries(file.services ?? {}).map(
    ([name, { url, database = {}, migrations = {}, instances, tenantRoleSecret }]) => {
      const { name: databaseName, ...where } = database
      return {
        name: parseServiceName(name),
        url: url ?? null,
        database: { ...where, ...(databaseName ? { database: databaseName } : {}) },
        migrations: withDefaults(name, relativeTo(path, migrations)),
        instances: instances ? parseInstances(instances) : {},
        nats: file.nats?.services?.[name] ?? null,
        ...roleKeysOf(tenantRoleSecret ?? file.tenantRoleSecret),
      }
    },
  )
  return {
    services,
    identityUrl: file.services?.identity?.url ?? null,
    adminToken: file.adminToken ?? null,
    serviceToken: file.serviceToken ?? null,
    operatorToken: operatorTokenOf(file.operatorToken),
    redis: file.redis?.url ?? null,
    from: path,
  }
}

function fromEnvironment(withFile: boolean): Targets | null {
  const environment = readEnvironment()
  const names = environment.REQUIRED_SERVICES.split(',').filter(name => process.env[`${name.toUpperCase()}_DB_HOST`])
  const services =
    names.length > 0
      ? names.map(name => fromPrefix(name, environment))
      : environment.SERVICE_NAME
        ? [fromOwn(environment.SERVICE_NAME, environment)]
        : []
  if (services.length === 0) return null
  return {
    services,
    identityUrl: environment.IDENTITY_URL ?? null,
    adminToken: firstOf(environment.ADMIN_TOKEN),
    serviceToken: firstOf(environment.SERVICE_TOKEN),
    operatorToken: operatorTokenOf(environment.OPERATOR_TOKEN),
    redis: environment.REDIS_URL || null,
    from: withFile ? 'the environment and .env' : 'the environment',
  }
}

/** `EMPLOYEE_DB_HOST` and its fellows; what is left out is as for the service itself. */
function fromPrefix(name: string, environment: Environment): ServiceTarget {
  const own = (variable: string): string | undefined => process.env[`${name.toUpperCase()}_${variable}`] || undefined
  const port = own('DB_PORT')
  const instances = own('DB_INSTANCES')
  const password = readSecret(`${name.toUpperCase()}_DB_PASSWORD`) ?? environment.DB_PASSWORD
  return {
    name,
    url: own('URL') ?? null,
    database: {
      host: own('DB_HOST') as string,
      ...(port ? { port } : {}),
      database: own('DB_DATABASE') ?? `${name}_central`,
      user: own('DB_USERNAME') ?? `${name}_service`,
      ...(password === undefined ? {} : { password }),
    },
    migrations: withDefaults(name, { central: own('CENTRAL_MIGRATIONS'), tenant: own('TENANT_MIGRATIONS') }),
    instances: instances ? parseInstances(instances) : {},
    nats: readSecret(`${name.toUpperCase()}_NATS_URL`) ?? null,
    ...roleKeysOf(readSecret(`${name.toUpperCase()}_TENANT_ROLE_SECRET`) ?? environment.TENANT_ROLE_SECRET),
  }
}

const roleKeysOf = (secret: string | undefined): Pick<ServiceTarget, 'roleSecret' | 'hasRoleKeys'> => ({
  roleSecret: secret ?? null,
  hasRoleKeys: secret !== undefined,
})

/** Several are separated by commas while they are changed; the first is the new one. */
const firstOf = (tokens: string | undefined): string | null => tokens?.split(',')[0] ?? null

/** In a file it may stand without its role. */
const operatorTokenOf = (text: string | undefined): string | null =>
  text && !/^(read|act|administer):/.test(text) ? text : operatorTokens(text).strongest

/** The service whose environment this is: everything else comes from it by itself. */
function fromOwn(serviceName: string, environment: Environment): ServiceTarget {
  const name = parseServiceName(serviceName)
  const nats = process.env.NATS_URL || process.env.NATS_URL_FILE ? environment.NATS_URL : null
  const { roleSecret } = roleKeysOf(environment.TENANT_ROLE_SECRET)
  const hasRoleKeys =
    roleSecret !== null || (environment.NODE_ENV !== 'production' && environment.DB_PASSWORD !== undefined)
  const { CENTRAL_MIGRATIONS: central, TENANT_MIGRATIONS: tenant } = environment
  const migrations = withDefaults(name, { central, tenant })
  const url = process.env[`${name.toUpperCase()}_URL`] || null
  return { name, url, database: {}, migrations, instances: null, nats, roleSecret, hasRoleKeys }
}

interface Folders {
  readonly central?: string | undefined
  readonly tenant?: string | undefined
}

function relativeTo(path: string, { central, tenant }: Folders): Folders {
  const folder = dirname(resolve(path))
  return { central: central && resolve(folder, central), tenant: tenant && resolve(folder, tenant) }
}

const shipped: Readonly<Record<string, readonly ('central' | 'tenant')[]>> = {
  identity: ['central', 'tenant'],
  employee: ['tenant'],
  core: ['tenant'],
}

/** The three services of the repository and of its image bring their migrations along; the package is without them. */
function withDefaults(name: string, given: Folders): ServiceTarget['migrations'] {
  const own = (kind: 'central' | 'tenant'): string | null => {
    if (!shipped[name]?.includes(kind)) return null
    const folder = fileURLToPath(new URL(`../services/${name}/migrations/${kind}/`, import.meta.url))
    return existsSync(folder) ? folder : null
  }
  return { central: given.central || own('central'), tenant: given.tenant || own('tenant') }
}
