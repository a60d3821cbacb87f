// `suspension`: from the moment an admin's call is sent to identity until the last of two replicas of another service
// answers accordingly; once with everything alive, then with NATS and Redis killed, when identity's feed is all there is.
// Nothing is compared with a rival: the ratio is the delay over what is promised.
import { startStack } from '../../stack/stack.js'
import type { BenchOptions } from '../arms.js'
import { HttpConnection, type HttpReply } from '../http-connection.js'
import { createRequest, tenantRequest, until } from '../provisioning/stage.js'
import { type Case, type Config, machine } from '../report.js'
import { spread } from '../statistics.js'

const TOGGLES = 100
const PROMISED_MS = { normally: 2_000, bereft: 30_000 } as const
/** How often a replica is asked: what a delay is known to. */
const LOOK_MS = { normally: 2, bereft: 50 } as const

type Kind = 'suspend' | 'activate'

export async function benchSuspension(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const { progress, quick, tenants: count } = options
  progress.say('starting the services')
  const stack = await startStack({ durable: true, serviceEnv: { LOG_LEVEL: 'fatal', TENANT_SPARES: '0' } })
  try {
    const { servers } = stack
    if (!servers)
      throw new Error('the benchmark needs servers of its own: unset IDENTITY_DB_HOST, NATS_URL and the like')
    const port = (url: string) => Number(new URL(url).port)
    const replicas = [port(stack.services.employee.url), port((await stack.replica('employee')).url)]
    const identity = port(stack.services.identity.url)
    const tenants = Array.from({ length: count }, (_, at) => `toggled-${at}`)
    progress.begin('making tenants', count)
    for (const id of tenants) {
      await send(identity, createRequest(stack, id, 60), 201)
      progress.step(id)
    }

    async function toggle(id: string, kind: Kind, lookMs: number): Promise<number> {
      const began = performance.now()
      await send(identity, lifecycleRequest(stack.info.adminToken, id, kind), 200)
      await Promise.all(replicas.map(replica => reported(replica, id, kind, lookMs)))
      return performance.now() - began
    }
    const settled = (kind: Kind) => Promise.all(tenants.flatMap(id => replicas.map(one => reported(one, id, kind, 50))))
    await settled('activate')

    const normally: Record<Kind, number[]> = { suspend: [], activate: [] }
    const toggles = quick ? 8 : TOGGLES
    progress.begin('toggles, everything alive', toggles)
    for (let at = 0; at < toggles; at++) {
      const id = tenants[at % count] as string
      for (const kind of ['suspend', 'activate'] as const) normally[kind].push(await toggle(id, kind, LOOK_MS.normally))
      progress.step(id)
    }

    await Promise.all([servers.nats.kill(), servers.redis.kill()])
    const bereft: Record<Kind, number[]> = { suspend: [], activate: [] }
    const waves = Math.ceil(toggles / count)
    progress.begin('toggles, NATS and Redis dead', waves * 2)
    for (let wave = 0; wave < waves; wave++) {
      for (const kind of ['suspend', 'activate'] as const) {
        // Spread over the time between two readings of the feed, so that no part of it is favoured.
        const delays = tenants.map(async (id, at) => {
          await pause((at / count) * options.seconds * 1_000)
          return toggle(id, kind, LOOK_MS.bereft)
        })
        bereft[kind].push(...(await Promise.all(delays)))
        progress.step(kind)
      }
    }
    const cases = (['suspend', 'activate'] as const).flatMap(kind => [
      caseOf(`${kind}, everything alive: ours vs 2 s`, normally[kind], PROMISED_MS.normally),
      caseOf(`${kind}, NATS and Redis dead: ours vs 30 s`, bereft[kind], PROMISED_MS.bereft),
    ])
    return {
      config: { ...machine(), replicas: replicas.length, tenants: count, toggles, 'looked at every': `2 ms and 50 ms` },
      cases: cases.filter(({ name }) => name.includes(options.only)),
    }
  } finally {
    await stack.stop()
  }
}

function caseOf(name: string, delays: readonly number[], promised: number): Case {
  const sorted = [...delays].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number
  const late = sorted.filter(delay => delay > promised).length
  return {
    name,
    rps: null,
    p50: at(0.5),
    p99: at(0.99),
    failed: late,
    ratio: spread(delays.map(delay => delay / promised)),
    better: 'lower',
    note: `${sorted.length} toggles, at most ${at(1).toFixed(0)} ms`,
  }
}

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

async function send(port: number, text: string, expected?: number): Promise<HttpReply> {
  const connection = new HttpConnection(port, true)
  const reply = await new Promise<HttpReply>(resolve => connection.send(text, resolve))
  connection.cut()
  if (expected !== undefined && reply.status !== expected) {
    throw new Error(`answered ${reply.status} instead of ${expected}: ${reply.body}`)
  }
  return reply
}

/** Resolves when this replica refuses a suspended tenant, or serves it again. */
async function reported(port: number, id: string, kind: Kind, lookMs: number): Promise<void> {
  const wanted = kind === 'suspend' ? 403 : 200
  const connection = new HttpConnection(port)
  const ask = () =>
    new Promise<number>(resolve =>
      connection.send(tenantRequest('/api/employees?limit=1', id), ({ status }) => resolve(status)),
    )
  await until(`${id} is answered ${wanted}`, async () => (await ask()) === wanted, 60_000, lookMs)
  connection.cut()
}

const lifecycleRequest = (adminToken: string, id: string, kind: Kind): string =>
  `POST /api/tenants/${id}/${kind} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${adminToken}\r\ncontent-length: 0\r\n\r\n`
