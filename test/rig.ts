// Shared by plugin tests: real servers, a service's role and central database made by `init`'s own code, and Fastify
// applications with the plugin. Everything is stopped with the test, applications first.
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import Fastify, { type FastifyInstance } from 'fastify'
import postgres from 'postgres'
import type { Test } from 'tap'
import { bootstrap } from '../operations/init/bootstrap.js'
import { type OperatorTenancy, withOperations } from '../operations/parts.js'
import type { DatabaseOptions } from '../plugins/distributed-tenant/config/options.js'
import { settle } from '../plugins/distributed-tenant/config/settings.js'
import { type DistributedTenantOptions, distributedTenant } from '../plugins/distributed-tenant/index.js'
import { parseServiceName } from '../plugins/distributed-tenant/names.js'
import { createTenancy } from '../plugins/distributed-tenant/tenancy.js'
import { type Servers, startServers } from '../stack/servers/start.js'

/** A folder of tenant migrations for tests. */
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../test/migrations/${name}`, import.meta.url))

/** The secret of tenants' passwords in tests. */
export const roleSecret = `k1:${'a-secret-of-the-tests-'.repeat(2)}`

export const notes = fixture('notes')

export interface Rig {
  readonly servers: Servers
  /** The role and central database of a service. */
  database(service: string): DatabaseOptions
  /** An application of one service, ready by default. Without Redis and NATS unless asked for. */
  app(
    service: string,
    options?: DistributedTenantOptions,
    prepare?: (app: FastifyInstance) => void,
    /** Runs before the tenant plugin. */
    before?: (app: FastifyInstance) => Promise<void>,
  ): Promise<FastifyInstance>
  /** The parts of one service without Fastify, prepared; nothing is consumed and no spares are made. */
  tenancy(service: string, options?: DistributedTenantOptions): Promise<OperatorTenancy>
  /** A superuser's client of an instance, which uses none of the product's code. */
  look(service: string, database?: string): postgres.Sql
}

type Tap = Pick<Test, 'teardown'>

export async function rig(
  t: Tap,
  services: readonly string[],
  settings?: Record<string, string | number>,
  /** The folder of an instance's programs, when it is of another version. */
  bins?: Record<string, string>,
): Promise<Rig> {
  const servers = await startServers<string>({ services, ...(settings && { settings }), ...(bins && { bins }) })
  const apps: FastifyInstance[] = []
  const tenancies: OperatorTenancy[] = []
  const looks: postgres.Sql[] = []
  const lasting = new Map<string, postgres.Sql>()
  t.teardown(async () => {
    for (const app of apps.reverse()) await app.close()
    for (const tenancy of tenancies) await tenancy.close()
    for (const sql of looks) await sql.end({ timeout: 1 })
    await servers.stop()
  })
  const server = (service: string) => {
    const found = servers.postgres[service]
    if (!found) throw new Error(`no instance for ${service}`)
    return found
  }
  const database = (service: string): DatabaseOptions => ({
    host: server(service).host,
    port: server(service).port,
    database: `${service}_central`,
    user: `${service}_service`,
    password: 'a-password-of-the-tests',
    ssl: 'prefer',
    sslRootCert: undefined,
  })
  for (const service of services) {
    const { user, password } = server(service)
    await bootstrap({
      service: parseServiceName(service),
      database: database(service),
      superuser: { user, password },
      onStep: () => {},
    })
  }
  const settled = (service: string, options: DistributedTenantOptions): DistributedTenantOptions => ({
    service,
    database: options.database ?? database(service),
    migrations: { tenant: notes },
    nats: null,
    redis: null,
    source: false,
    roleSecret,
    // Tests of spares ask for them; elsewhere they would be made beside the measured and counted databases.
    spares: 0,
    ...options,
  })
  return {
    servers,
    database,
    async app(service, options = {}, prepare, before) {
      // A start takes as long as a busy machine needs.
      const app = Fastify({
        pluginTimeout: 0,
        logger: process.env.TEST_LOG ? { level: process.env.TEST_LOG } : false,
      })
      apps.push(app)
      await before?.(app)
      await app.register(distributedTenant, settled(service, options))
      prepare?.(app)
      await app.ready()
      return app
    },
    async tenancy(service, options = {}) {
      const tenancy = withOperations(createTenancy(settle(settled(service, options))))
      tenancies.push(tenancy)
      await tenancy.prepare()
      return tenancy
    },
    look(service, name = 'postgres') {
      const key = `${service} ${name}`
      const known = lasting.get(key)
      if (known) return known
      const { host, port, user, password } = server(service)
      const sql = postgres({ host, port, user, password, database: name, max: 1, onnotice() {} })
      looks.push(sql)
      // Polls look again every 10 ms. The caller ends its client of a tenant's database, as it would block a
      // rename.
      if (name === 'postgres' || name === `${service}_central`) lasting.set(key, sql)
      return sql
    },
  }
}

/** A publish as a shell does it with /dev/tcp: no client library, no headers, no message id. */
export async function barePublish(nats: Servers['nats'], subject: string, body: string | Uint8Array): Promise<void> {
  const data = Buffer.from(body)
  const socket = connect(nats.port, nats.host)
  const { user, password } = nats
  socket.write(`CONNECT ${JSON.stringify({ verbose: false, user, pass: password })}\r\n`)
  socket.write(`PUB ${subject} ${data.length}\r\n`)
  socket.write(data)
  socket.write('\r\nPING\r\n')
  let answer = ''
  for await (const chunk of socket) {
    answer += chunk
    if (answer.includes('PONG') || answer.includes('-ERR')) break
  }
  socket.destroy()
  if (!answer.includes('PONG')) throw new Error(answer)
}
