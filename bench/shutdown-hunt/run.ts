// The hunt: in each round a service under load, with clients that hold their connections in every bad way, gets a
// signal. A violation is an exit code that is not 0, more than 12 s, an accepted request without its whole answer,
// readiness after the signal, a stream that was cut though it could end, or a session left on the server.
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { connectEvents, createPublisher, encode, lifecycleSubject } from '../../events/index.js'
import { bootstrap } from '../../operations/init/bootstrap.js'
import { parseServiceName } from '../../plugins/distributed-tenant/names.js'
import { randomPassword } from '../../stack/servers/folder.js'
import { type Servers, startServers } from '../../stack/servers/start.js'
import { random } from '../distribution.js'
import type { Progress } from '../progress.js'
import { median } from '../statistics.js'
import { attachClients, tenants } from './clients.js'
import { startService } from './start-service.js'

export interface ShutdownHuntOptions {
  readonly rounds: number
  readonly seed?: number
  readonly progress: Progress
}

export interface ShutdownVerdict {
  readonly rounds: number
  readonly violations: readonly string[]
  readonly accepted: number
  readonly answered: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>
  /** Rounds in which a load balancer would have noticed. */
  readonly drainingSeen: number
  /** Milliseconds from the signal to the end. */
  readonly medianMs: number
  readonly longestMs: number
}

const LONGEST_MS = 12_000
const NOTICE_SECONDS = 0.5
const USER = 'hunted_service'
/** Tenants whose events are under way when the signal comes. */
const LATE = 4
const lateTenant = (round: number, at: number): string => `late-${round}-${at}`

export async function huntShutdowns(options: ShutdownHuntOptions): Promise<ShutdownVerdict> {
  const servers = await startServers({ services: ['hunted'] })
  const { host, port, user, password } = servers.postgres.hunted
  const look = postgres({ host, port, user, password, database: 'postgres', max: 1, onnotice() {} })
  const connection = connectEvents({ url: servers.nats.url, name: 'shutdown-hunt' })
  const publisher = createPublisher(connection, { mayCreate: true })
  const create = async (id: string): Promise<void> => {
    await connection.ready(5_000)
    const payload = encode({ id, name: id })
    await publisher.publish({ subject: lifecycleSubject('created'), payload, messageId: `hunt:${id}` })
  }
  try {
    const env = await environmentOf(servers)
    const next = random(options.seed ?? 1)
    const rounds: Round[] = []
    options.progress.begin('shutdowns', options.rounds)
    for (let number = 0; number < options.rounds; number++) {
      const notice = number % 2 === 0 ? '0' : String(NOTICE_SECONDS)
      const one = await round(number, { ...env, SHUTDOWN_NOTICE: notice }, next, create)
      const left = await sessionsLeft(look)
      if (left > 0) one.violations.push(`round ${number}: ${left} sessions left on the server`)
      for (const violation of one.violations) options.progress.say(`! ${violation}`)
      rounds.push(one)
      options.progress.step(`${Math.round(one.ms)} ms, ${one.accepted} accepted`)
    }
    const forgotten = await forgottenTenants(env, options.rounds)
    return verdict(rounds, forgotten)
  } finally {
    await connection.close()
    await look.end({ timeout: 1 })
    await servers.stop()
  }
}

async function environmentOf(servers: Servers<'hunted'>): Promise<Record<string, string>> {
  const { host, port, user, password } = servers.postgres.hunted
  const own = randomPassword()
  await bootstrap({
    service: parseServiceName('hunted'),
    database: {
      host,
      port,
      database: 'hunted_central',
      user: USER,
      password: own,
      ssl: 'prefer',
      sslRootCert: undefined,
    },
    superuser: { user, password },
    onStep: () => {},
  })
  return {
    SERVICE_NAME: 'hunted',
    DB_HOST: host,
    DB_PORT: String(port),
    DB_USERNAME: USER,
    DB_PASSWORD: own,
    NATS_URL: servers.nats.url,
    REDIS_URL: servers.redis.url,
    TENANT_SPARES: '0',
  }
}

interface Round {
  readonly violations: string[]
  readonly accepted: number
  readonly answered: number
  readonly statuses: Readonly<Record<string, number>>
  readonly drainingSeen: boolean
  readonly ms: number
}

async function round(
  number: number,
  env: Record<string, string>,
  next: () => number,
  create: (id: string) => Promise<void>,
): Promise<Round> {
  const violations: string[] = []
  const violated = (what: string) => violations.push(`round ${number}: ${what}`)
  const service = await startService(env)
  if (number === 0) for (const tenant of tenants) await create(tenant)
  await serves(service.port, tenants)
  const clients = attachClients(service.port, `r${number}`, number % 3 === 0)
  const probes = probeReadiness(service.port)
  try {
    await sleep(200 + next() * 600)
    // Provisioned in part when the signal comes: finished, or given back.
    for (let at = 0; at < LATE; at++) await create(lateTenant(number, at))
    const begun = performance.now()
    service.signal('SIGTERM')
    void service.closing.then(probes.leaving)
    const late = new AbortController()
    const ended = await Promise.race([
      service.ended,
      sleep(LONGEST_MS + 3_000, null, { signal: late.signal }).catch(() => null),
    ])
    late.abort()
    const ms = performance.now() - begun
    if (!ended) service.signal('SIGKILL')
    if (ended?.code !== 0) {
      const how = ended ? (ended.signal ?? ended.code) : 'nothing'
      violated(`ended with ${how}. Its last lines:\n${service.lastLines.join('\n')}`)
    }
    if (ms > LONGEST_MS) violated(`took ${Math.round(ms)} ms`)
    // Answers that are on their way through our own event loop.
    await sleep(100)
    const lost = [...service.accepted].filter(id => !clients.answered.has(id))
    if (lost.length > 0) violated(`${lost.length} accepted requests were not answered whole: ${lost.slice(0, 3)}`)
    if (clients.broken.length > 0) violated(`${clients.broken.length} answers broke off: ${clients.broken.slice(0, 3)}`)
    if (clients.endedStreams !== 2) violated(`${clients.endedStreams} of 2 streams ended by themselves`)
    if (probes.readyWhileLeaving > 0) violated(`said ready ${probes.readyWhileLeaving} times after the signal`)
    if (service.complaints.length > 0) violated(`complained: ${service.complaints[0]}`)
    return {
      violations,
      accepted: service.accepted.size,
      answered: clients.answered.size,
      statuses: clients.statuses,
      drainingSeen: probes.drainingSeen,
      ms,
    }
  } finally {
    clients.stop()
    probes.stop()
  }
}

/** @throws when a tenant is not served within half a minute */
async function serves(port: number, ids: readonly string[]): Promise<void> {
  const deadline = performance.now() + 30_000
  for (const tenant of ids) {
    while ((await status(port, '/quick/held-back', { 'hrms-client-id': tenant })) !== 200) {
      if (performance.now() > deadline) throw new Error(`${tenant} is not served`)
      await sleep(50)
    }
  }
}

/** Tenants under way at a signal are ready once a service runs again. */
async function forgottenTenants(env: Record<string, string>, rounds: number): Promise<string[]> {
  const service = await startService(env)
  try {
    const all = Array.from({ length: rounds * LATE }, (_, n) => lateTenant(Math.floor(n / LATE), n % LATE))
    await serves(service.port, all)
    return []
  } catch (error) {
    return [`an event was lost: ${(error as Error).message}`]
  } finally {
    service.signal('SIGTERM')
    await service.ended
  }
}

function status(port: number, path: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise(resolve => {
    get({ port, host: '127.0.0.1', path, agent: false, headers }, response => {
      response.resume()
      response.once('close', () => resolve(response.statusCode ?? 0))
    }).once('error', () => resolve(0))
  })
}

/** A load balancer: asks on a connection of its own each time. */
function probeReadiness(port: number) {
  let over = false
  let leaving = false
  let readyWhileLeaving = 0
  let drainingSeen = false
  void (async () => {
    while (!over) {
      const asked = leaving
      const answer = await status(port, '/api/health/ready')
      if (asked && answer === 200) readyWhileLeaving++
      if (asked && answer === 503) drainingSeen = true
      await sleep(10)
    }
  })()
  return {
    leaving: () => {
      leaving = true
    },
    get readyWhileLeaving() {
      return readyWhileLeaving
    },
    get drainingSeen() {
      return drainingSeen
    },
    stop: () => {
      over = true
    },
  }
}

async function sessionsLeft(look: postgres.Sql): Promise<number> {
  const deadline = performance.now() + 3_000
  for (;;) {
    const [row] = await look<{ count: number }[]>`
      select count(*)::int from pg_stat_activity where usename = ${USER}`
    if (row?.count === 0 || performance.now() > deadline) return row?.count ?? 0
    await sleep(50)
  }
}

function verdict(rounds: readonly Round[], forgotten: readonly string[]): ShutdownVerdict {
  const sum = (of: (round: Round) => number) => rounds.reduce((total, round) => total + of(round), 0)
  const statuses: Record<string, number> = {}
  for (const round of rounds) {
    for (const [status, count] of Object.entries(round.statuses)) statuses[status] = (statuses[status] ?? 0) + count
  }
  return {
    rounds: rounds.length,
    violations: [...rounds.flatMap(round => round.violations), ...forgotten],
    accepted: sum(round => round.accepted),
    answered: sum(round => round.answered),
    statuses,
    drainingSeen: rounds.filter(round => round.drainingSeen).length,
    medianMs: median(rounds.map(round => round.ms)),
    longestMs: Math.max(...rounds.map(round => round.ms)),
  }
}
