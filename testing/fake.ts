// The plugin without a server: its decorators, its route policy and its errors, over tenants and clients that the test gives.
// Invariant: a request is identified, admitted and refused by the plugin's own code.
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Tenants } from '../plugins/distributed-tenant/api.js'
import type { DistributedTenantOptions, Identifier } from '../plugins/distributed-tenant/config/options.js'
import type { PublishStep } from '../plugins/distributed-tenant/diagnostics/channels.js'
import type { DirectoryEntry } from '../plugins/distributed-tenant/directory/redis-cache.js'
import { ConfigurationInvalid } from '../plugins/distributed-tenant/errors.js'
import {
  checkOptions,
  checkPluginOptions,
  parseIdentifiers,
  readEnvironment,
} from '../plugins/distributed-tenant/index.js'
import { parseNewTenantId, parseTenantId } from '../plugins/distributed-tenant/names.js'
import { refuseUnlessReady, tenantOf } from '../plugins/distributed-tenant/request/admission.js'
import { createFollowing } from '../plugins/distributed-tenant/request/following.js'
import { addRequestHooks } from '../plugins/distributed-tenant/request/hooks.js'
import { identifiersBy, identifyTenant } from '../plugins/distributed-tenant/request/identify.js'
import { identifiersOf } from '../plugins/distributed-tenant/request/route-policy.js'
import type { JsonObject, Lifecycle, Provisioned, SqlClient, TenantId } from '../plugins/distributed-tenant/types.js'

export interface FakeTenant {
  readonly id: string
  /** What handlers get as `request.sql`: a client of your own, or an object with the methods that they call. */
  readonly sql: unknown
  /** Default: its id. */
  readonly name?: string
  readonly domain?: string
  readonly settings?: JsonObject
  /** Default `active`. Others are refused as by the plugin: 403 `TENANT_SUSPENDED`, 404 `TENANT_NOT_FOUND`. */
  readonly lifecycle?: Lifecycle
  /** Default `ready`. Others are refused as by the plugin: 503 `TENANT_PROVISIONING`. */
  readonly provisioned?: Provisioned
}

export interface FakeTenancyOptions
  extends Pick<DistributedTenantOptions, 'identifyBy' | 'header' | 'baseDomain' | 'authorizeTenant'> {
  readonly tenants: readonly FakeTenant[]
  /** What `app.central` is. Default: none. */
  readonly central?: unknown
}

const silent: PublishStep = Object.assign(() => {}, { hasSubscribers: () => false })

const checkGiven = checkPluginOptions<FakeTenancyOptions>('fakeTenancy', {
  tenants: 'other',
  central: 'other',
  identifyBy: 'other',
  header: 'string',
  baseDomain: 'string',
  authorizeTenant: 'function',
})
const checkGivenTenant = checkOptions<FakeTenant>('a tenant of fakeTenancy', {
  id: 'string',
  sql: 'other',
  name: 'string',
  domain: 'string',
  settings: 'other',
  lifecycle: 'string',
  provisioned: 'string',
})

const lifecycles: Readonly<Record<Lifecycle, true>> = { active: true, suspended: true, deleted: true }
const provisionings: Readonly<Record<Provisioned, true>> = {
  pending: true,
  ready: true,
  failed: true,
  foreign: true,
  removed: true,
}

async function fakeTenancyPlugin(app: FastifyInstance, options: FakeTenancyOptions): Promise<void> {
  checkGiven(options)
  const { tenants, central, identifyBy, header = readEnvironment().TENANT_HEADER, baseDomain = null } = options
  if (!Array.isArray(tenants) || tenants.some(one => typeof one !== 'object' || one === null))
    throw new ConfigurationInvalid('The option tenants of fakeTenancy must be a list of tenants: [{ id, sql }].')
  const entries = new Map<TenantId, DirectoryEntry>()
  const clients = new Map<TenantId, SqlClient>()
  for (const tenant of tenants) {
    checkGivenTenant(tenant)
    const id = parseNewTenantId(tenant.id)
    if (entries.has(id)) throw new ConfigurationInvalid(`The tenant ${id} is given twice: give each an id of its own.`)
    const entry = entryOf(id, tenant)
    checkDomain(entry, entries)
    checkState(id, 'lifecycle', entry.lifecycle, lifecycles)
    checkState(id, 'provisioned', entry.provisioned, provisionings)
    entries.set(id, entry)
    clients.set(id, tenant.sql as SqlClient)
  }
  const find = (id: TenantId): DirectoryEntry | null => entries.get(id) ?? null
  const findDomain = (domain: string): DirectoryEntry | null =>
    [...entries.values()].find(entry => entry.domain === domain && entry.lifecycle !== 'deleted') ?? null
  const identifiers: readonly Identifier[] = identifiersBy({
    identifyBy: identifyBy === undefined ? null : parseIdentifiers(identifyBy),
    header,
    baseDomain,
  })
  const following = createFollowing(app)

  app.decorate('central', central as SqlClient)
  app.decorate(
    'tenants',
    onlyThese({
      async run(id, fn) {
        const entry = find(parseTenantId(id))
        refuseUnlessReady(entry, 0)
        const sql = clients.get(entry.id) as SqlClient
        return following.within({ sql }, () => fn({ tenant: tenantOf(entry), sql }))
      },
      follow: following.follow,
      identify: async request => identifyTenant(request, identifiersOf(request) ?? identifiers, findDomain),
    }),
  )
  addRequestHooks(app, {
    settings: { header, enabled: true, authorizeTenant: options.authorizeTenant },
    directory: { find, findAgain: find, findDomain },
    identifiers,
    oldestSchema: 0,
    clientFor: id => ({ sql: clients.get(id) as SqlClient, leases: 0, release() {} }),
    publish: silent,
  })
}

/** The host of a request is compared in lower case, and identity gives no domain to two tenants that are not deleted. */
function checkDomain({ id, domain, lifecycle }: DirectoryEntry, earlier: ReadonlyMap<TenantId, DirectoryEntry>): void {
  if (domain === null) return
  if (domain !== domain.toLowerCase())
    throw new ConfigurationInvalid(`The domain of the tenant ${id} must be in lower case: ${domain.toLowerCase()}.`)
  const other = [...earlier.values()].find(one => one.domain === domain && one.lifecycle !== 'deleted')
  if (other && lifecycle !== 'deleted')
    throw new ConfigurationInvalid(`The tenants ${other.id} and ${id} have one domain: give each its own.`)
}

/** A lifecycle that is none of these would be served as an active one. */
function checkState(id: TenantId, option: string, state: string, known: object): void {
  if (Object.hasOwn(known, state)) return
  throw new ConfigurationInvalid(
    `The \`${option}\` of the tenant ${id} is ${JSON.stringify(state)}: use one of ${Object.keys(known).join(', ')}.`,
  )
}

function entryOf(id: TenantId, tenant: FakeTenant): DirectoryEntry {
  const { name = id, domain = null, settings = {}, lifecycle = 'active', provisioned = 'ready' } = tenant
  return {
    id,
    name,
    domain,
    settings,
    lifecycle,
    provisioned,
    version: 1,
    schemaVersion: 0,
    revision: 1,
    incarnation: null,
  }
}

/** The methods that need no server; the others throw CONFIGURATION_INVALID with their name. */
function onlyThese(methods: Pick<Tenants, 'run' | 'follow' | 'identify'>): Tenants {
  const refused = (name: string) => (): never => {
    throw new ConfigurationInvalid(
      `tenants.${name} needs databases, and \`fakeTenancy\` has none: use \`startTestTenancy\` in this test.`,
    )
  }
  return {
    ...methods,
    // Accepted, as an application calls them at its start; no tenant becomes ready or is removed here.
    onReady() {},
    onRemoved() {},
    create: refused('create'),
    update: refused('update'),
    suspend: refused('suspend'),
    activate: refused('activate'),
    remove: refused('remove'),
    restore: refused('restore'),
    retry: refused('retry'),
    purge: refused('purge'),
    find: refused('find'),
    list: refused('list'),
    probe: refused('probe'),
    health: refused('health'),
    figures: refused('figures'),
    connectionInfo: refused('connectionInfo'),
    origin: {},
  }
}

/** See docs/testing.md. @example `await app.register(fakeTenancy, { tenants: [{ id: 'acme', sql }] })` */
export const fakeTenancy = fp<FakeTenancyOptions>(fakeTenancyPlugin, {
  fastify: '5.x',
  name: 'fastify-distributed-tenant',
})
