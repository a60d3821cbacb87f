// The fixture of every arm: one durable PostgreSQL with scram-sha-256, the service's role and central database, tenant
// databases made by the plugin itself, and a login for each arm. Everything goes with stop().
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import postgres from 'postgres'
import { bootstrap } from '../operations/init/bootstrap.js'
import { scramVerifier } from '../plugins/distributed-tenant/credentials/role-credentials.js'
import { type DistributedTenantOptions, distributedTenant } from '../plugins/distributed-tenant/index.js'
import { parseServiceName } from '../plugins/distributed-tenant/names.js'
import { makeFolder, randomPassword } from '../stack/servers/folder.js'
import { type PostgresServer, startPostgres } from '../stack/servers/postgres.js'
import { type ArmConfig, databaseOf, type Login } from './arm.js'
import { pluginOptions } from './ours.js'
import type { Progress } from './progress.js'

export const service = 'bench'

/** What one arm may open, as if the server's `max_connections` were this. */
export const CONNECTIONS_PER_ARM = 200

export interface Fleet {
  readonly dir: string
  readonly postgres: PostgresServer
  readonly tenants: readonly string[]
  /** The service's own login, by which the plugin connects. */
  readonly ours: Login
  /** A login with the service's rights and a connection limit of its own. */
  loginFor(arm: string): Promise<Login>
  configFor(login: Login, tenants: number, budget: number, options?: Record<string, unknown>): ArmConfig
  /** The superuser, outside of everything that is measured. */
  readonly superuser: postgres.Sql
  /** The superuser inside a tenant's database, and inside the service's central one; the caller ends it. */
  inside(tenant: string): postgres.Sql
  central(): postgres.Sql
  stop(): Promise<void>
}

export interface FleetOptions {
  readonly tenants: number
  readonly durable: boolean
  readonly progress: Progress
  /** Options of the plugin that makes the tenants. */
  readonly options?: DistributedTenantOptions
}

export async function startFleet({ tenants: count, durable, progress, options }: FleetOptions): Promise<Fleet> {
  const folder = makeFolder()
  progress.say('starting PostgreSQL')
  const server = await startPostgres({
    dir: folder.path,
    durable,
    // The sum over all arms, which are alive at the same time; each is held to its own limit by its login.
    settings: { max_connections: 800, shared_buffers: '128MB' },
  })
  const { host, port, user, password } = server
  const superuserIn = (database: string, more?: postgres.Options<Record<string, never>>) =>
    postgres({ host, port, user, password, database, max: 1, onnotice() {}, ...more })
  // It outlives kills of the server, and the driver leaves the failure of its own query for array types unhandled.
  const superuser = superuserIn('postgres', { max: 4, fetch_types: false })
  const stop = async (): Promise<void> => {
    await superuser.end({ timeout: 1 })
    await server.stop()
    folder.remove()
  }
  const ours: Login = { host, port, user: `${service}_service`, password: randomPassword() }
  const configFor: Fleet['configFor'] = (login, tenants, budget, more) => ({
    login,
    service,
    tenants: names.slice(0, tenants),
    budget,
    ...(more ? { options: more } : {}),
  })
  const names = Array.from({ length: count }, (_, at) => `t${at + 1}`)
  try {
    await bootstrap({
      service: parseServiceName(service),
      database: { ...ours, database: `${service}_central`, ssl: 'disable', sslRootCert: undefined },
      superuser: { user, password },
      onStep: () => {},
    })
    await createTenants({ ...configFor(ours, count, 50), options: { ...options } }, progress)
    await superuser`checkpoint`
  } catch (error) {
    await stop()
    throw error
  }
  return {
    dir: folder.path,
    postgres: server,
    tenants: names,
    ours,
    configFor,
    superuser,
    async loginFor(arm) {
      const login = { host, port, user: `bench_${arm.replace(/\W/g, '_')}`, password: randomPassword() }
      // As cheap to log in with as a tenant's own role, so that no rival pays more for a connect than the plugin does.
      const verifier = scramVerifier(login.password, randomBytes(16))
      await superuser.unsafe(
        `create role ${login.user} login password '${verifier}' connection limit ${CONNECTIONS_PER_ARM} in role ${ours.user}`,
      )
      return login
    },
    inside: tenant => superuserIn(databaseOf(tenant, service)),
    central: () => superuserIn(`${service}_central`),
    stop,
  }
}

/** Through the plugin, four at a time, so that names, rights and marks are what they are in a service. */
async function createTenants(config: ArmConfig, progress: Progress): Promise<void> {
  // Its template is made in the start, which takes as long as a busy machine needs.
  const app = Fastify({ pluginTimeout: 0 })
  const waiting = [...config.tenants]
  progress.begin('making tenants', waiting.length)
  try {
    await app.register(distributedTenant, pluginOptions(config))
    await app.ready()
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
          await app.tenants.create({ id, name: id })
          progress.step(id)
        }
      }),
    )
  } finally {
    await app.close()
  }
}
