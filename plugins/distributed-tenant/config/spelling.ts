// The check of the options' names and values: one that does not exist is refused, with the one it is like.
import { ConfigurationInvalid } from '../errors.js'
import type { DatabaseOptions, DistributedTenantOptions } from './options.js'

const names = <T>(all: Record<keyof Required<T>, true>): readonly string[] => Object.keys(all)

const optionNames = names<DistributedTenantOptions>({
  service: true,
  migrations: true,
  database: true,
  instances: true,
  tenantDatabase: true,
  enabled: true,
  pooling: true,
  reset: true,
  maxConnections: true,
  maxConnectionsPerTenant: true,
  acquireTimeout: true,
  connectTimeout: true,
  queryTimeout: true,
  idleTimeout: true,
  replicas: true,
  serviceConnections: true,
  spares: true,
  outdatedTenants: true,
  roleSecret: true,
  nats: true,
  natsCaFile: true,
  streamReplicas: true,
  streamManaged: true,
  redis: true,
  redisCaFile: true,
  cacheTtl: true,
  identifyBy: true,
  trustAllProxies: true,
  header: true,
  baseDomain: true,
  authorizeTenant: true,
  trustedGateway: true,
  source: true,
  onStatus: true,
  confirmPurge: true,
  production: true,
  identity: true,
  retention: true,
  reconcileInterval: true,
})
/** Options of Fastify's own `register`. */
const ofRegister = ['prefix', 'logLevel', 'logSerializers']
/** The policy of a scope, for a plugin that is one. */
const ofScope = ['tenant', 'identifyBy']
const inner: Readonly<Record<string, readonly string[]>> = {
  migrations: names<NonNullable<DistributedTenantOptions['migrations']>>({ central: true, tenant: true }),
  database: names<Omit<DatabaseOptions, 'servers'>>({
    host: true,
    port: true,
    database: true,
    user: true,
    password: true,
    ssl: true,
    sslRootCert: true,
  }),
  tenantDatabase: names<NonNullable<DistributedTenantOptions['tenantDatabase']>>({ host: true, port: true }),
  identity: names<NonNullable<DistributedTenantOptions['identity']>>({ url: true, token: true }),
}

const PAGE = 'see "Options" in docs/configuration.md'

/** @throws CONFIGURATION_INVALID naming the option that does not exist, and the one it is like */
export function refuseUnknownOptions(options: object): void {
  refuseUnknown(options, [...optionNames, ...ofRegister], { cure: PAGE })
  for (const [name, known] of Object.entries(inner)) {
    const value = (options as Record<string, unknown>)[name]
    if (typeof value === 'object' && value !== null) refuseUnknown(value, known, { within: `${name}.`, cure: PAGE })
  }
}

/** Refuses an option that does not exist. @throws CONFIGURATION_INVALID naming it, and the one it is like or all there are */
export type OptionsCheck = (options: unknown) => void

/**
 * The check of the options of a plugin beside the tenant plugin, or of a function.
 * @param of whose options, like `metrics`
 */
export function checkOptions<Options>(of: string, all: Record<keyof Required<Options>, true>): OptionsCheck {
  const known = names<Options>(all)
  return options => {
    if (typeof options !== 'object' || options === null) return
    refuseUnknown(options, known, { of: ` of ${of}`, cure: `there are ${known.join(', ')}` })
  }
}

/** The same for what `register` passes. `scope`: the plugin is one, so that its registration may have a policy. */
export function checkPluginOptions<Options>(
  of: string,
  all: Record<keyof Required<Options>, true>,
  { scope = false } = {},
): OptionsCheck {
  const check = checkOptions<Options>(of, all)
  const others = [...ofRegister, ...(scope ? ofScope : [])]
  return options => {
    check(Object.fromEntries(Object.entries(options as object).filter(([name]) => !others.includes(name))))
  }
}

interface Place {
  /** What the name is within, with a dot behind. */
  readonly within?: string
  readonly of?: string
  /** For a name that is like none. */
  readonly cure: string
}

function refuseUnknown(given: object, known: readonly string[], { within = '', of = '', cure }: Place): void {
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue
    const near = nearest(name, known)
    throw new ConfigurationInvalid(
      `There is no option ${within}${name}${of}: ${near ? `write ${within}${near}` : cure}.`,
    )
  }
}

const nearest = (name: string, known: readonly string[]): string | undefined =>
  known.find(one => one.toLowerCase() === name.toLowerCase() || isOneLetterApart(one, name))

/** The names in `given` that are not known and like one that is. For objects that may have names of an application's own. */
export function misspeltNames(given: object, known: readonly string[]): { name: string; near: string }[] {
  return Object.keys(given).flatMap(name => {
    const near = known.includes(name) ? undefined : nearest(name, known)
    return near ? [{ name, near }] : []
  })
}

/** @throws CONFIGURATION_INVALID naming the option and its values */
export function refuseOtherValue(name: string, value: unknown, values: readonly string[]): void {
  if (value === undefined || values.includes(value as string)) return
  throw new ConfigurationInvalid(`${name} must be ${values.map(one => `'${one}'`).join(' or ')}.`)
}

/** One letter more, less or other, or two that have changed places. */
export function isOneLetterApart(a: string, b: string): boolean {
  if (a === b || Math.abs(a.length - b.length) > 1) return false
  let same = 0
  while (same < a.length && a[same] === b[same]) same++
  const [restA, restB] = [a.slice(same), b.slice(same)]
  return (
    restA.slice(1) === restB.slice(1) ||
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    (restA.length > 1 && restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2))
  )
}
