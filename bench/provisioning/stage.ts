// Where a way of provisioning is measured: the three services on three durable PostgreSQL instances, NATS and Redis, the
// whole way from POST to ready. Which way is chosen by settings and by SQL of a superuser, so that everything around it is
// the product's own code. stop() takes everything down.
import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { perService, type ServiceName, serviceNames } from '../../stack/names.js'
import { type RunningStack, startStack } from '../../stack/stack.js'
import { tenantHeader } from '../arm.js'
import { HttpConnection, type HttpReply } from '../http-connection.js'

export interface Stage {
  readonly name: string
  readonly stack: RunningStack
  /** The superuser on each instance, in `postgres` and in the central database. */
  readonly cluster: Record<ServiceName, postgres.Sql>
  readonly central: Record<ServiceName, postgres.Sql>
  /** POST with `Prefer: wait`. @returns milliseconds until it was ready in all three */
  create(id: string): Promise<number>
  /** Any request to a service on a connection that is kept. */
  ask(service: ServiceName, request: string): Promise<HttpReply>
  /** Resolves when these services have their spares again; default all. */
  sparesAtHand(of?: readonly ServiceName[]): Promise<void>
  stop(): Promise<void>
}

export interface StageOptions {
  readonly name: string
  readonly spares: number
  readonly env?: NodeJS.ProcessEnv
}

const program = fileURLToPath(new URL('./service.js', import.meta.url))
const init = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

export async function startStage({ name, spares, env }: StageOptions): Promise<Stage> {
  const stack = await startStack({
    durable: true,
    programs: { service: () => program, init },
    serviceEnv: { LOG_LEVEL: 'error', TENANT_SPARES: String(spares), ...env },
  })
  const { servers } = stack
  if (!servers) {
    await stack.stop()
    throw new Error('the benchmark needs servers of its own: unset IDENTITY_DB_HOST, NATS_URL and the like')
  }
  const connect = (service: ServiceName, database: string) => {
    const { host, port, user, password } = servers.postgres[service]
    return postgres({ host, port, user, password, database, max: 8, onnotice() {} })
  }
  const cluster = perService(service => connect(service, 'postgres'))
  const central = perService(service => connect(service, `${service}_central`))
  const connections = perService(service => new HttpConnection(Number(new URL(stack.services[service].url).port), true))
  const ask = (service: ServiceName, text: string) =>
    new Promise<HttpReply>(resolve => connections[service].send(text, resolve))
  const stage: Stage = {
    name,
    stack,
    cluster,
    central,
    ask,
    async create(id) {
      const sent = performance.now()
      const { status, body } = await ask('identity', createRequest(stack, id, 60))
      if (status !== 201) throw new Error(`${name}: POST of ${id} was answered ${status} ${body}`)
      return performance.now() - sent
    },
    async sparesAtHand(of = serviceNames) {
      if (spares === 0) return
      for (const service of of) {
        await until(`${service} has ${spares} spares`, async () => {
          const [row] = await central[service]<{ count: number }[]>`select count(*)::int as count from spares`
          return row?.count === spares
        })
      }
    },
    async stop() {
      for (const service of serviceNames) connections[service].cut()
      const all = serviceNames.flatMap(service => [cluster[service], central[service]])
      await Promise.all(all.map(sql => sql.end({ timeout: 1 })))
      await stack.stop()
    },
  }
  return stage
}

/** `wait` 0: it is answered at once. */
export function createRequest(stack: RunningStack, id: string, wait: number): string {
  const body = JSON.stringify({ id, name: id })
  const head = [
    'POST /api/tenants HTTP/1.1',
    'host: localhost',
    `authorization: Bearer ${stack.info.adminToken}`,
    'content-type: application/json',
    `content-length: ${body.length}`,
    ...(wait > 0 ? [`prefer: wait=${wait}`] : []),
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

export const getRequest = (path: string, headers: Record<string, string>): string =>
  `GET ${path} HTTP/1.1\r\nhost: localhost\r\n${Object.entries(headers)
    .map(([key, value]) => `${key}: ${value}\r\n`)
    .join('')}\r\n`

export const tenantRequest = (path: string, id: string): string => getRequest(path, { [tenantHeader]: id })

/** A state that may take as long as the machine needs. */
export async function until(what: string, ask: () => Promise<boolean>, ms = 120_000, everyMs = 20): Promise<void> {
  const deadline = performance.now() + ms
  while (!(await ask())) {
    if (performance.now() > deadline) throw new Error(`not within ${ms / 1000} s: ${what}`)
    await new Promise(resolve => setTimeout(resolve, everyMs))
  }
}

/** A tenant database of 20 tables is about 9 MB, with its share of the log twice that. */
export function needSpace(databases: number): void {
  const { bavail, bsize } = statfsSync(tmpdir())
  const needed = databases * 20
  const free = Math.floor((bavail * bsize) / 1e6)
  if (free < needed) {
    throw new Error(
      `${databases} databases need about ${needed} MB in ${tmpdir()}, ${free} MB are free: set TMPDIR, or give fewer --tenants.`,
    )
  }
}
