// A tenancy for tests: a service's databases on a PostgreSQL of its own or a shared one, tenants made by the plugin's own code, and
// the end of all of it. Needs no NATS, no Redis and no identity.
// Invariant: a run shares no name with another, so that any number of processes use one server at a time.
import { randomBytes } from 'node:crypto'
import type { DistributedTenantOptions } from '../plugins/distributed-tenant/config/options.js'
import { settle } from '../plugins/distributed-tenant/config/settings.js'
import { ConfigurationInvalid, TenantIdTaken, TenantProvisioning } from '../plugins/distributed-tenant/errors.js'
import { checkOptions, loadSchemaLibrary, readEnvironment } from '../plugins/distributed-tenant/index.js'
import { parseNewTenantId, parseServiceName } from '../plugins/distributed-tenant/names.js'
import { insertTenant, setLifecycle } from '../plugins/distributed-tenant/registry/tenants-table.js'
import { createTenancy, type Tenancy } from '../plugins/distributed-tenant/tenancy.js'
import type { NewTenant, SqlClient, TenantId } from '../plugins/distributed-tenant/types.js'
import type { TokensOptions } from '../plugins/tokens/index.js'
import type { ClientScope } from '../postgres/sql/client.js'
import { openRun, type Run } from './run.js'
import { findServer, type ServerOptions } from './server.js'
import type { Server } from './server-process.js'
import { createUsers, type TestUser, type TestUserClaims } from './users.js'

export interface TestTenancyOptions extends ServerOptions {
  /** Folders with the service's `NNN.do.name.sql` files: of its tenants, or of both kinds. */
  readonly migrations: string | URL | NonNullable<DistributedTenantOptions['migrations']>
  /** Default SERVICE_NAME, else `test`. */
  readonly service?: string
  /** The header that names the tenant. Default TENANT_HEADER. */
  readonly header?: string
}

export interface TestTenancy {
  /** For `app.register(distributedTenant, …)`; options of yours go behind them. */
  readonly options: DistributedTenantOptions
  /** For `app.register(tokens, …)`: accepts the tokens of this run's users alone. */
  readonly tokens: TokensOptions
  /**
   * Makes a tenant that is ready: a spare that was made ahead, else a clone of the migrated template. Its id is made when left out, its name is its id.
   * @throws TENANT_ID_INVALID, TENANT_ID_RESERVED, TENANT_ID_TAKEN
   */
  createTenant(tenant?: TestTenantOptions): Promise<TestTenant>
  /** Ends all connections and takes away what was made: databases, roles, and a server that was started. Safe to call twice. */
  close(): Promise<void>
}

export type TestTenantOptions = Partial<Pick<NewTenant, 'id' | 'name' | 'domain' | 'settings' | 'lifecycle'>>

export interface TestTenant {
  readonly id: TenantId
  /** A client of its database, with the rights of `request.sql`, until `remove` or `close`. */
  readonly sql: SqlClient
  /** A user of this tenant. */
  user(claims?: TestUserClaims): TestUser
  /** Deletes and purges it at once: its database is gone, its id is not used again. */
  remove(): Promise<void>
}

/** Databases made ahead, so that a test waits only for a rename. The application makes none: its option stays 0. */
const SPARES = 2

/** Of one application at a time in tests: far below `max_connections`, as many processes share a server. */
const CONNECTIONS = { maxConnections: 20, maxConnectionsPerTenant: 10 }

const checkGiven = checkOptions<TestTenancyOptions>('startTestTenancy', {
  migrations: 'other',
  service: 'string',
  header: 'string',
  databaseUrl: 'string',
})
const checkGivenTenant = checkOptions<TestTenantOptions>('createTenant', {
  id: 'string',
  name: 'string',
  domain: 'string or null',
  settings: 'other',
  lifecycle: 'string',
})

/**
 * Starts a tenancy for tests: finds a PostgreSQL, makes a service's role and central database there under a name of this run's
 * own, migrates it, and makes the template of its tenants.
 * @throws CONFIGURATION_INVALID when no PostgreSQL is found or it cannot be used, MIGRATION_INVALID, MIGRATION_FAILED
 */
export async function startTestTenancy(options: TestTenancyOptions): Promise<TestTenancy> {
  checkGiven(options)
  await loadSchemaLibrary()
  const environment = readEnvironment()
  const service = parseServiceName(options.service ?? environment.SERVICE_NAME ?? 'test')
  const { migrations } = options
  const folders = typeof migrations === 'string' || migrations instanceof URL ? { tenant: migrations } : migrations
  const server = await findServer(options)
  let run: Run | null = null
  let parts: Tenancy | null = null
  try {
    run = await openRun(server, service, randomBytes(24).toString('hex'))
    const pluginOptions = optionsOf(run, folders, options.header ?? environment.TENANT_HEADER)
    parts = createTenancy(settle({ ...pluginOptions, spares: SPARES, maxConnections: 4, maxConnectionsPerTenant: 4 }))
    await parts.prepare()
    parts.spares.start()
    return assemble(pluginOptions, { server, run, parts })
  } catch (error) {
    await closeAll({ server, run, parts }).catch(() => {})
    throw error
  }
}

function optionsOf(
  { service, database }: Run,
  migrations: NonNullable<DistributedTenantOptions['migrations']>,
  header: string,
): DistributedTenantOptions {
  return {
    service,
    migrations,
    database,
    header,
    ...CONNECTIONS,
    instances: {},
    enabled: true,
    spares: 0,
    roleSecret: `k1:${randomBytes(24).toString('hex')}`,
    nats: null,
    redis: null,
    identity: null,
    source: false,
    production: false,
    confirmPurge: () => true,
  }
}

interface Parts {
  readonly server: Server
  readonly run: Run
  readonly parts: Tenancy
}

/** In reverse order; each is tried, and the first failure is thrown at the end. */
async function closeAll({ server, run, parts }: { [Part in keyof Parts]: Parts[Part] | null }): Promise<void> {
  const failures: unknown[] = []
  for (const part of [parts, run, server]) await part?.close().catch(error => failures.push(error))
  if (failures.length > 0) throw failures[0]
}

function assemble(options: DistributedTenantOptions, all: Parts): TestTenancy {
  const { parts } = all
  const users = createUsers(readEnvironment(), parts.settings.header)
  const central = parts.pools.central.sql
  const scopes = new Set<ClientScope>()
  let made = 0
  let closed: Promise<void> | null = null

  async function createTenant(wanted: TestTenantOptions): Promise<TestTenant> {
    checkGivenTenant(wanted)
    if (closed) throw new ConfigurationInvalid('This test tenancy is closed: create tenants before `close`.')
    const id = parseNewTenantId(wanted.id ?? `test-${++made}`)
    const { name = id, domain = null, settings = {}, lifecycle = 'active' } = wanted
    // Of version 1, as identity has confirmed it: one of version 0 is not found by its domain.
    const inserted = await insertTenant(central, { id, version: 1, name, domain, settings, lifecycle })
    if (!inserted) throw new TenantIdTaken()
    const row = await parts.provisioner.provision(id)
    if (row?.provisioned !== 'ready') throw new TenantProvisioning()
    const scope = parts.pools.clientFor(id)
    scopes.add(scope)
    return {
      id,
      sql: scope.sql,
      user: claims => users.userOf(id, claims),
      async remove() {
        scope.release()
        scopes.delete(scope)
        await setLifecycle(central, id, 'deleted')
        await parts.purger.purge(id)
      },
    }
  }

  return {
    options,
    tokens: users.tokens,
    createTenant: (wanted = {}) => createTenant(wanted),
    close() {
      closed ??= (async () => {
        for (const scope of scopes) scope.release()
        await closeAll(all)
      })()
      return closed
    },
  }
}
