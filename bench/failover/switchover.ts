// A service whose PostgreSQL is a primary and a standby, while the primary is killed, stopped as for a planned switchover, or frozen as
// one that was cut off, and the standby is promoted: which requests fail, and how soon after the promotion one succeeds. Some tenants
// are idle: the pool holds a session of each at the former primary, and their first request comes after the promotion.
import { chmodSync, chownSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import postgres from 'postgres'
import { bootstrap } from '../../operations/init/bootstrap.js'
import { addressOf } from '../../plugins/distributed-tenant/config/servers.js'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import { parseServiceName } from '../../plugins/distributed-tenant/names.js'
import { makeFolder, randomPassword } from '../../stack/servers/folder.js'
import { type PostgresServer, startPostgres } from '../../stack/servers/postgres.js'
import { serverOwner } from '../../stack/servers/postgres-cluster.js'
import { startStandby } from '../../stack/servers/standby.js'
import type { BenchOptions } from '../arms.js'
import { migrations } from '../ours.js'
import { distributionOf, startPaced } from '../paced-work.js'
import { until } from '../provisioning/stage.js'
import { type Case, type Config, compareNumbers } from '../report.js'

const ACTIVE = ['a1', 'a2', 'a3', 'a4']
const IDLE = Array.from({ length: 12 }, (_, n) => `idle${n}`)
const REQUEST_EVERY_MS = 5
const QUIET_MS = 1_000
/** Without a primary: what a failover manager takes to decide is its own. */
const OUTAGE_MS = 2_000
const AFTER_MS = 3_000
const TARGET_MS = 1_000
const SECRET = `k1:${'a-secret-of-the-benchmark-'.repeat(2)}`

const ways = {
  killed: (primary: PostgresServer) => primary.kill(),
  stopped: (primary: PostgresServer) => stopKeeping(primary),
  frozen: async (primary: PostgresServer) => primary.freeze(),
} as const

type Way = keyof typeof ways

interface Round {
  /** Milliseconds from the promotion to the first request that succeeds. */
  readonly first: number
  /** Of requests that were begun before there was no primary, while there was none, and after the promotion. */
  readonly failed: { readonly before: number; readonly without: number; readonly after: number }
  /** Codes of the last. */
  readonly codes: readonly string[]
  readonly idleFailed: number
  /** Milliseconds of the first request of an idle tenant. */
  readonly idle: readonly number[]
}

interface Pair {
  primary: PostgresServer
  standby: PostgresServer
}

export async function benchSwitchover(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const folder = makeFolder()
  const owner = serverOwner()
  if (owner) chownSync(folder.path, owner.uid, owner.gid)
  chmodSync(folder.path, 0o755)
  const password = randomPassword()
  const running: PostgresServer[] = []
  let app: FastifyInstance | undefined
  try {
    options.progress.say('starting a primary and a standby')
    const primary = await startPostgres({ dir: folder.path, name: 'first', password, durable: true })
    running.push(primary)
    const standby = await startStandby(primary, { dir: folder.path, name: 'second', durable: true })
    running.push(standby)
    const pair: Pair = { primary, standby }
    await follow(pair)
    app = await startService(pair)
    const rounds = new Map<Way, Round[]>()
    options.progress.begin('switching over', options.rounds * Object.keys(ways).length)
    for (let round = 0; round < options.rounds; round++) {
      for (const way of Object.keys(ways) as Way[]) {
        const one = await switchOver(app, pair, way)
        rounds.set(way, [...(rounds.get(way) ?? []), one])
        const { before, without, after } = one.failed
        options.progress.step(
          `${way}: ${one.first.toFixed(0)} ms, failed ${before} ${without} ${after}, idle ${one.idleFailed}`,
        )
        await replace(folder.path, pair, running)
      }
    }
    return report(rounds)
  } finally {
    await app?.close()
    for (const server of running.reverse()) {
      server.thaw()
      await server.stop()
    }
    folder.remove()
  }
}

/** Commits wait for the standby, so that a promotion loses none. */
async function follow({ primary }: Pair): Promise<void> {
  const sql = superuserOf(primary)
  try {
    await sql.unsafe(`alter system set synchronous_standby_names = '*'`)
    await sql`select pg_reload_conf()`
    await until('the standby follows', async () => {
      const rows = await sql`select from pg_stat_replication where state = 'streaming' and sync_state = 'sync'`
      return rows.length > 0
    })
  } finally {
    await sql.end({ timeout: 1 })
  }
}

const superuserOf = ({ host, port, user, password }: PostgresServer) =>
  postgres({ host, port, user, password, database: 'postgres', max: 1, onnotice() {}, fetch_types: false })

async function startService({ primary, standby }: Pair): Promise<FastifyInstance> {
  const login = { user: 'bench_service', password: randomPassword(), database: 'bench_central' }
  const tls = { ssl: 'disable', sslRootCert: undefined } as const
  const [hosts, ports] = ['127.0.0.1,127.0.0.1', `${primary.port},${standby.port}`]
  await bootstrap({
    service: parseServiceName('bench'),
    database: { ...addressOf(hosts, ports), ...login, ...tls },
    superuser: { user: 'postgres', password: primary.password },
    onStep: () => {},
  })
  const app = Fastify({ pluginTimeout: 0 })
  await app.register(distributedTenant, {
    service: 'bench',
    database: { host: hosts, port: ports, ...login, ...tls },
    migrations: { tenant: migrations },
    nats: null,
    redis: null,
    source: false,
    roleSecret: SECRET,
    spares: 0,
    idleTimeout: 600_000,
  })
  await app.ready()
  for (const id of [...ACTIVE, ...IDLE]) await app.tenants.create({ id, name: id })
  return app
}

const request = (app: FastifyInstance, id: string, write: boolean): Promise<unknown> =>
  app.tenants.run(id, ({ sql }) =>
    write ? sql`update items set stock = stock + 1 where id = 1` : sql`select * from items where id = 1`,
  )

async function switchOver(app: FastifyInstance, { primary, standby }: Pair, way: Way): Promise<Round> {
  // So that each idle tenant has a session at this primary.
  for (const id of IDLE) await request(app, id, true)
  const times = { gone: Number.POSITIVE_INFINITY, promoted: Number.POSITIVE_INFINITY, first: 0 }
  const failures: { readonly at: number; readonly code: string }[] = []
  const load = startPaced(REQUEST_EVERY_MS, async n => {
    const at = performance.now()
    try {
      await request(app, ACTIVE[n % ACTIVE.length] as string, n % 8 < ACTIVE.length)
      const now = performance.now()
      if (now > times.promoted && times.first === 0) times.first = now
    } catch (error) {
      failures.push({ at, code: String((error as { code?: unknown }).code) })
    }
  })
  const sql = superuserOf(standby)
  try {
    await sleep(QUIET_MS)
    times.gone = performance.now()
    await ways[way](primary)
    await sleep(Math.max(0, times.gone + OUTAGE_MS - performance.now()))
    await sql`select pg_promote(false)`
    for (;;) {
      const [row] = await sql<[{ standby: boolean }]>`select pg_is_in_recovery() as standby`
      if (!row.standby) break
    }
    times.promoted = performance.now()
    await until('a request succeeds after the promotion', async () => times.first > 0, 60_000, 5)
    const idle = await Promise.allSettled(
      IDLE.map(async id => {
        const began = performance.now()
        await request(app, id, false)
        return performance.now() - began
      }),
    )
    await sleep(AFTER_MS)
    await load.stop()
    const after = failures.filter(({ at }) => at >= times.promoted)
    return {
      first: times.first - times.promoted,
      failed: {
        before: failures.filter(({ at }) => at < times.gone).length,
        without: failures.filter(({ at }) => at >= times.gone && at < times.promoted).length,
        after: after.length,
      },
      codes: after.map(({ code }) => code),
      idleFailed: idle.filter(({ status }) => status === 'rejected').length,
      idle: idle.flatMap(one => (one.status === 'fulfilled' ? [one.value] : [])),
    }
  } finally {
    await load.stop()
    await sql.end({ timeout: 1 })
  }
}

/** In place of the former primary comes a new standby of the new one, at its port. */
async function replace(folder: string, pair: Pair, running: PostgresServer[]): Promise<void> {
  const { primary: former, standby: primary } = pair
  await former.kill()
  const name = former.dir.slice(folder.length + 1)
  rmSync(join(folder, name), { recursive: true, force: true, maxRetries: 5 })
  const standby = await startStandby(primary, { dir: folder, name, port: former.port, durable: true })
  running.splice(0, running.length, primary, standby)
  Object.assign(pair, { primary, standby })
  await follow(pair)
}

function report(rounds: ReadonlyMap<Way, readonly Round[]>): { config: Config; cases: Case[] } {
  const config: Config = {
    postgres: `a primary and a synchronous standby, ${[...rounds.values()][0]?.length} rounds of each way, promoted ${OUTAGE_MS / 1000} s after the primary is gone`,
    requests: `one every ${REQUEST_EVERY_MS} ms of ${ACTIVE.length} tenants, reads and updates; ${IDLE.length} tenants idle`,
  }
  const cases: Case[] = []
  for (const [way, all] of rounds) {
    const total = (part: keyof Round['failed']) => all.reduce((sum, { failed }) => sum + failed[part], 0)
    const idle = distributionOf(all.flatMap(one => one.idle))
    config[`${way}: failed`] =
      `${total('before')} begun before, ${total('without')} without a primary, ${total('after')} after the promotion ${[...new Set(all.flatMap(({ codes }) => codes))].join(' ')}`
    config[`${way}: idle`] =
      `${all.reduce((sum, { idleFailed }) => sum + idleFailed, 0)} first requests failed; p50 ${idle.p50.toFixed(0)} ms, longest ${idle.longest.toFixed(0)} ms`
    const first = all.map(one => one.first)
    cases.push({
      ...compareNumbers(
        `first success, primary ${way} and standby promoted vs ${TARGET_MS / 1000} s`,
        first,
        first.map(() => TARGET_MS),
        { better: 'lower', as: 'p50' },
      ),
      ...distributionOf(first),
      failed: total('before') + total('after'),
    })
  }
  return { config, cases }
}

/** As an operator stops a primary whose standby has everything: sessions are ended, its data stays. */
const stopKeeping = (server: PostgresServer): Promise<void> => server.stop()
