// The check of the options that an application passes: each must exist, and be of the kind that it is declared as. Invariants: an option
// that does not exist is refused with the one it is like; a text is never taken for true, as `'false'` would be; no value stands in an
// error, as it may be a secret.
import { ConfigurationInvalid } from '../errors.js'
import type { DistributedTenantOptions, Identifier } from './options.js'
import { nearest } from './spelling.js'

/** `other`: of several kinds, or an object, whose own code checks it. */
type Kind = 'string' | 'string or null' | 'boolean' | 'number' | 'function' | 'other'
type KindOf<T> = [NonNullable<T>] extends [never]
  ? 'other'
  : [NonNullable<T>] extends [boolean]
    ? 'boolean'
    : [NonNullable<T>] extends [number]
      ? 'number'
      : [NonNullable<T>] extends [string]
        ? null extends T
          ? 'string or null'
          : 'string'
        : [NonNullable<T>] extends [(...args: never[]) => unknown]
          ? 'function'
          : 'other'

/** Every option of a type, with the kind that its type has. */
export type OptionTable<Options> = { readonly [K in keyof Required<Options>]: KindOf<Options[K]> }
type Kinds = Readonly<Record<string, Kind>>

const ofTenantPlugin: OptionTable<DistributedTenantOptions> = {
  service: 'string',
  migrations: 'other',
  database: 'other',
  instances: 'other',
  tenantDatabase: 'other',
  enabled: 'boolean',
  pooling: 'boolean',
  reset: 'string',
  maxConnections: 'number',
  maxConnectionsPerTenant: 'number',
  acquireTimeout: 'number',
  connectTimeout: 'number',
  queryTimeout: 'number',
  idleTimeout: 'number',
  replicas: 'number',
  serviceConnections: 'number',
  spares: 'number',
  outdatedTenants: 'string',
  roleSecret: 'string',
  nats: 'string or null',
  natsCaFile: 'string',
  streamReplicas: 'number',
  streamManaged: 'string',
  redis: 'other',
  redisCaFile: 'string',
  cacheTtl: 'number',
  identifyBy: 'other',
  trustAllProxies: 'boolean',
  header: 'string',
  baseDomain: 'string',
  authorizeTenant: 'function',
  trustedGateway: 'boolean',
  source: 'boolean',
  onStatus: 'function',
  confirmPurge: 'function',
  production: 'boolean',
  identity: 'other',
  retention: 'number',
  reconcileInterval: 'number',
}
const inner: Readonly<Record<string, Kinds>> = {
  migrations: { central: 'other', tenant: 'other' } satisfies OptionTable<
    NonNullable<DistributedTenantOptions['migrations']>
  >,
  database: {
    host: 'string',
    port: 'other',
    database: 'string',
    user: 'string',
    password: 'string',
    ssl: 'string',
    sslRootCert: 'string',
  } satisfies OptionTable<NonNullable<DistributedTenantOptions['database']>>,
  tenantDatabase: { host: 'string', port: 'number' } satisfies OptionTable<
    NonNullable<DistributedTenantOptions['tenantDatabase']>
  >,
  identity: { url: 'string', token: 'string' } satisfies OptionTable<NonNullable<DistributedTenantOptions['identity']>>,
}
/** Options of Fastify's own `register`. */
const ofRegister = ['prefix', 'logLevel', 'logSerializers']
/** The policy of a scope, for a plugin that is one. */
const ofScope = ['tenant', 'identifyBy']

const PAGE = 'see "Options" in docs/configuration.md'

/** @throws CONFIGURATION_INVALID naming the option that does not exist or is of another kind, and the cure */
export function checkTenantOptions(options: object): void {
  refuseOthers(withoutThese(options, ofRegister), ofTenantPlugin, { cure: PAGE })
  for (const [name, known] of Object.entries(inner)) {
    const value = (options as Record<string, unknown>)[name]
    if (typeof value === 'object' && value !== null) refuseOthers(value, known, { within: `${name}.`, cure: PAGE })
  }
}

/** @throws CONFIGURATION_INVALID naming the option that does not exist or is of another kind, and the cure */
export type OptionsCheck = (options: unknown) => void

/**
 * The check of the options of a plugin beside the tenant plugin, or of a function.
 * @param of whose options, like `metrics`
 */
export function checkOptions<Options>(of: string, table: OptionTable<Options>): OptionsCheck {
  return options => {
    if (typeof options !== 'object' || options === null) return
    refuseOthers(options, table as Kinds, { of: ` of ${of}`, cure: `there are ${Object.keys(table).join(', ')}` })
  }
}

/** The same for what `register` passes. `scope`: the plugin is one, so that its registration may have a policy. */
export function checkPluginOptions<Options>(
  of: string,
  table: OptionTable<Options>,
  { scope = false } = {},
): OptionsCheck {
  const check = checkOptions<Options>(of, table)
  const others = [...ofRegister, ...(scope ? ofScope : [])]
  return options => check(withoutThese(options as object, others))
}

const withoutThese = (options: object, names: readonly string[]): object =>
  Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name)))

/** @param of where it stands. @throws CONFIGURATION_INVALID when one is no function */
export function parseIdentifiers(given: Identifier | readonly Identifier[], of = ''): readonly Identifier[] {
  const all = [given].flat()
  const wrong = all.findIndex(one => typeof one !== 'function')
  if (wrong < 0) return all
  throw new ConfigurationInvalid(
    `identifyBy${of} must be a function such as fromHeader(), or a list of them, and has ${kindOf(all[wrong])}.`,
  )
}

interface Place {
  /** What the name is within, with a dot behind. */
  readonly within?: string
  readonly of?: string
  /** For a name that is like none. */
  readonly cure: string
}

function refuseOthers(given: object, table: Kinds, { within = '', of = '', cure }: Place): void {
  for (const [name, value] of Object.entries(given)) {
    const kind = Object.hasOwn(table, name) ? (table[name] as Kind) : null
    if (kind === null) {
      const near = nearest(name, Object.keys(table))
      throw new ConfigurationInvalid(
        `There is no option ${within}${name}${of}: ${near ? `write ${within}${near}` : cure}.`,
      )
    }
    if (value !== undefined && !isOf(kind, value))
      throw new ConfigurationInvalid(
        `The option ${within}${name}${of} must be ${wanted[kind]}, and is ${kindOf(value)}.`,
      )
  }
}

const wanted: Readonly<Record<Kind, string>> = {
  string: 'a string',
  'string or null': 'a string or null',
  boolean: 'true or false',
  number: 'a number',
  function: 'a function',
  other: '',
}

const isOf = (kind: Kind, value: unknown): boolean =>
  kind === 'other' || (kind === 'string or null' && value === null) || typeof value === kind.replace(' or null', '')

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (value === undefined) return 'nothing'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
