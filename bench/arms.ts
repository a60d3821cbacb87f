// The arms of one benchmark: each in its process, with a login of its own, all alive at the same time. The pooler is
// started when its arm is wanted. stop() ends what was started, also after a start that failed half way.
import { readFileSync } from 'node:fs'
import { databaseOf, tenantHeader } from './arm.js'
import { type ArmProcess, startArm } from './arm-process.js'
import { type Fleet, service, startFleet } from './fleet.js'
import { HttpConnection, type HttpReply } from './http-connection.js'
import { request } from './load.js'
import { orms, ownPoolOf } from './orms/names.js'
import { type Pooler, PREPARED_STATEMENTS, startPooler } from './pooler.js'
import type { Progress } from './progress.js'
import { type Config, machine } from './report.js'

export interface BenchOptions {
  readonly rounds: number
  readonly seconds: number
  readonly tenants: number
  readonly quick: boolean
  /** Only cases whose name holds this text. */
  readonly only: string
  /** A built checkout of another commit, whose plugin is one more arm. */
  readonly against?: string | undefined
  /** Of the tenants that are moved, and how often each is; its bench has defaults. */
  readonly megabytes?: readonly number[] | undefined
  readonly moves?: number | undefined
  readonly progress: Progress
}

export interface Arms {
  readonly fleet: Fleet
  /** @throws when it was not started */
  arm(name: string): ArmProcess
  has(name: string): boolean
  /** Starts one more; `kind` defaults to the name. */
  start(name: string, more?: StartOptions): Promise<ArmProcess>
  /** For the report. */
  config(): Promise<Config>
  stop(): Promise<void>
}

export interface StartOptions {
  readonly kind?: string
  readonly budget?: number
  readonly options?: Record<string, unknown>
  readonly execArgv?: string[]
  /** A built checkout of another commit, whose arm of that kind it is. */
  readonly checkout?: string
}

/** The plugin of another commit. */
export const OLD = 'old'
/** The budget of every arm that has one. */
export const BUDGET = 50
/** Clients of the load generator. */
export const CONNECTIONS = 64

/** Kinds that connect otherwise than the plugin. */
const rivals = new Set([
  ...['single', 'map-postgres', 'map-pg', 'lru', 'pgbouncer', 'bare', 'no plugin'],
  ...orms.map(ownPoolOf),
  'prisma, a client per tenant',
])
/** Kinds that want a token, and make one when they are asked. */
const wantToken = new Set(['tokens', 'claim checked', 'jwt alone', 'jwt with cache'])

export async function startArms(names: readonly string[], options: BenchOptions): Promise<Arms> {
  const fleet = await startFleet({ tenants: options.tenants, durable: true, progress: options.progress })
  // Two arms of the plugin log in as the same tenants, whose roles are limited to what one process may have.
  if (options.against) await unlimited(fleet)
  const running = new Map<string, ArmProcess>()
  let pooler: Pooler | null = null

  async function start(name: string, more: StartOptions = {}): Promise<ArmProcess> {
    const kind = more.kind ?? (name === OLD ? 'ours' : name)
    const budget = more.budget ?? BUDGET
    // The plugin uses the service's own login. An arm with another login of the same kind is distinguished on the server by it.
    let { options: armOptions } = more
    let login = rivals.has(kind) ? await fleet.loginFor(name) : fleet.ours
    if (kind === 'pgbouncer') {
      pooler = await startPooler(login, fleet.dir, budget)
      if (!pooler) throw new NoPooler()
      login = pooler.login
      armOptions = { prepare: pooler.prepares }
    }
    const config = fleet.configFor(login, options.tenants, budget, armOptions)
    const old = more.checkout ?? (name === OLD ? options.against : undefined)
    const arm = await startArm(name, kind, config, more.execArgv, old)
    running.set(name, arm)
    if (kind !== 'bare' && kind !== 'no plugin') {
      const [tenant = ''] = config.tenants
      const token = wantToken.has(kind) ? await arm.ask<string>('token', tenant) : undefined
      await refuseWrongAnswer(arm, tenant, token)
    }
    return arm
  }

  async function stop(): Promise<void> {
    await Promise.all([...running.values()].map(arm => arm.stop()))
    await pooler?.stop()
    await fleet.stop()
  }

  try {
    for (const name of names) {
      options.progress.say(`starting ${name}`)
      await start(name).catch(error => {
        if (!(error instanceof NoPooler)) throw error
        options.progress.say('PgBouncer is not on this machine: its cases are left out')
      })
    }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    fleet,
    arm(name) {
      const arm = running.get(name)
      if (!arm) throw new Error(`${name} was not started`)
      return arm
    },
    has: name => running.has(name),
    start,
    config: async () => ({
      ...machine(),
      ...(await versions(fleet)),
      pgbouncer: pooler ? describe(pooler) : 'not used',
      ...(options.against ? { [OLD]: options.against } : {}),
      budget: BUDGET,
      tenants: options.tenants,
      rounds: options.rounds,
      seconds: options.seconds,
      load: `own closed-loop HTTP client over node:net, ${CONNECTIONS} keep-alive connections, no pipelining, on the same machine`,
    }),
    stop,
  }
}

const unlimited = ({ superuser, tenants }: Fleet): Promise<unknown> =>
  superuser.unsafe(tenants.map(tenant => `alter role ${databaseOf(tenant, service)} connection limit -1`).join(';'))

const describe = ({ version, prepares }: Pooler): string =>
  `${version}, transaction mode, prepare: ${prepares}${prepares ? `, max_prepared_statements ${PREPARED_STATEMENTS}` : ''}`

/** An arm that is fast because it does something else is no rival. */
async function refuseWrongAnswer(arm: ArmProcess, tenant: string, token: string | undefined): Promise<void> {
  const connection = new HttpConnection(arm.port, true)
  const { body } = await new Promise<HttpReply>(resolve =>
    connection.send(request('/read/7', tenantHeader, tenant, token), resolve),
  )
  connection.cut()
  if (!body.startsWith(ITEM_SEVEN)) throw new Error(`${arm.name} answers ${body} where ${ITEM_SEVEN} is right`)
}

/** Up to its stock, which earlier transactions have lowered. */
const ITEM_SEVEN = '{"id":7,"name":"Item number 7","price":"2.59","stock":'

class NoPooler extends Error {}

async function versions({ superuser }: Fleet): Promise<Config> {
  const [row] = await superuser<{ postgres: string; fsync: string; sync: string }[]>`
    select current_setting('server_version') as postgres, current_setting('fsync') as fsync,
      current_setting('synchronous_commit') as sync`
  const own = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const packages = { ...own.dependencies, ...own.devDependencies }
  return {
    postgresql: `${row?.postgres}, fsync ${row?.fsync}, synchronous_commit ${row?.sync}, scram-sha-256 over TCP`,
    drivers: `postgres ${packages.postgres}, pg ${packages.pg}`,
    fastify: packages.fastify,
  }
}
