// Tenants made while the leader of the stream is killed, on three NATS servers, and beside them a raw client that publishes with
// acknowledgment into a stream of its own with the same leader, and reads it back by a durable consumer: how long NATS takes nothing, and
// delivers nothing, by a client that does nothing else. A consumer of three copies has a leader of its own, and an election of its own.
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type JetStreamManager, type NatsConnection } from 'nats'
import { type NatsCluster, startNatsCluster } from '../../stack/servers/nats-cluster.js'
import type { BenchOptions } from '../arms.js'
import { distributionOf, startPaced } from '../paced-work.js'
import { type Stage, startStage, until } from '../provisioning/stage.js'
import { versionsOf } from '../provisioning/versions.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { makeRawStream, RAW_STREAM, type Seen, startRawClient, TRY_MS } from './raw-client.js'

const STREAM = 'TENANTS'
const USER = 'services'
const CREATE_EVERY_MS = 500
const QUIET_MS = 2_000
/** From the first publish that is acknowledged again to the end of a round. */
const AFTER_MS = 2_000
const ELECTION_MS = 120_000
/** What a tenant may take beyond the election. */
const ALLOWED_MS = 1_000

interface Round {
  /** Milliseconds of each tenant that was asked for before the election was over, and not ready when it began. */
  readonly ready: readonly number[]
  readonly failed: number
  readonly raw: Seen
  /** Of tenants made before the kill. */
  readonly quiet: readonly number[]
}

let made = 0

export async function benchNatsLeader(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const cluster = await startNatsCluster([{ name: USER }])
  let stage: Stage | undefined
  let raw: NatsConnection | undefined
  try {
    options.progress.say('starting the services on three NATS servers')
    stage = await startStage({
      name: 'nats',
      spares: 10,
      env: { NATS_URL: cluster.url(USER), NATS_STREAM_REPLICAS: '3' },
    })
    await stage.sparesAtHand()
    raw = await connect({
      servers: cluster.servers.map(({ host, port }) => `${host}:${port}`),
      user: USER,
      pass: cluster.servers[0]?.password ?? '',
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
      noRandomize: false,
    })
    const rounds: Round[] = []
    options.progress.begin('killing the leader of the stream', options.rounds)
    for (let round = 0; round < options.rounds; round++) {
      const one = await killLeader(cluster, stage, raw)
      rounds.push(one)
      const { p99 } = distributionOf(one.ready)
      options.progress.step(`election ${one.raw.election.toFixed(0)} ms, ready p99 ${p99.toFixed(0)} ms`)
      await stage.sparesAtHand()
    }
    const all = rounds.flatMap(({ ready }) => ready)
    const list = (values: readonly number[]) => values.map(value => value.toFixed(0)).join(' ')
    return {
      config: {
        nats: `three servers, ${(await versionsOf(stage))['nats, redis']}, three copies, ${rounds.length} kills of the leader`,
        'nats: elections': `${list(rounds.map(({ raw }) => raw.election))} ms, the longest publish of the raw client, tried again every ${TRY_MS} ms`,
        'nats: deliveries': `${list(rounds.map(({ raw }) => raw.delivery))} ms, the longest from a publish of the raw client to its first delivery by a durable consumer; not read in time: ${list(rounds.map(({ raw }) => raw.unread))}`,
        'nats: ready, p99': `${list(rounds.map(({ ready }) => distributionOf(ready).p99))} ms`,
        'nats: tenants': `one every ${CREATE_EVERY_MS} ms; ${all.length} under way in an election; ${distributionOf(rounds.flatMap(({ quiet }) => quiet)).p50.toFixed(0)} ms in the median before the kills`,
      },
      cases: (['election', 'delivery'] as const).map(what => ({
        ...compareNumbers(
          `ready, leader of NATS killed vs ${what} + ${ALLOWED_MS / 1000} s`,
          rounds.map(({ ready }) => distributionOf(ready).p99),
          rounds.map(({ raw }) => raw[what] + ALLOWED_MS),
          { better: 'lower', as: 'p50' },
        ),
        ...distributionOf(all),
        failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
      })),
    }
  } finally {
    await raw?.close()
    await stage?.stop()
    await cluster.stop()
  }
}

async function killLeader(cluster: NatsCluster, stage: Stage, raw: NatsConnection): Promise<Round> {
  const jsm = await raw.jetstreamManager({ timeout: 10_000 })
  const leader = await sameLeader(jsm)
  const server = cluster.named(leader)
  const ready: { readonly at: number; readonly ms: number }[] = []
  let failed = 0
  const creating = startPaced(CREATE_EVERY_MS, async () => {
    const at = performance.now()
    try {
      ready.push({ at, ms: await createOn(stage, `t-${++made}`) })
    } catch {
      failed++
    }
  })
  const client = startRawClient(raw)
  try {
    await sleep(QUIET_MS)
    const killed = performance.now()
    await server.kill()
    await until('the raw client publishes again', async () => client.publishedSince(killed), ELECTION_MS, 10)
    const elected = performance.now()
    await sleep(AFTER_MS)
    await creating.stop()
    return {
      ready: ready.filter(({ at, ms }) => at < elected && at + ms > killed).map(({ ms }) => ms),
      failed,
      raw: await client.stop(),
      quiet: ready.filter(({ at, ms }) => at + ms <= killed).map(({ ms }) => ms),
    }
  } finally {
    await Promise.all([creating.stop(), client.stop()])
    await server.restart()
  }
}

/** Each on a connection of its own, as users are: one that waits does not delay the next. @returns milliseconds */
async function createOn({ stack }: Stage, id: string): Promise<number> {
  const began = performance.now()
  const answer = await fetch(`${stack.info.services.identity.url}/api/tenants`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${stack.info.adminToken}`,
      'content-type': 'application/json',
      prefer: 'wait=60',
    },
    body: JSON.stringify({ id, name: id }),
  })
  const text = await answer.text()
  if (answer.status !== 201) throw new Error(`POST of ${id} was answered ${answer.status} ${text}`)
  return performance.now() - began
}

/** Makes the raw stream again until one server leads both, with all copies of both up to date. @returns its name */
async function sameLeader(jsm: JetStreamManager): Promise<string> {
  let leader: string | undefined
  await until(
    'one server leads both streams',
    async () => {
      leader = await leaderOf(jsm, STREAM)
      if (leader === undefined) return false
      if (leader === (await leaderOf(jsm, RAW_STREAM))) return makeRawStream(jsm)
      await jsm.streams.delete(RAW_STREAM).catch(() => false)
      await makeRawStream(jsm)
      return false
    },
    ELECTION_MS,
    500,
  )
  return leader as string
}

/** Undefined while it has none, or a copy is behind or away. */
async function leaderOf(jsm: JetStreamManager, stream: string): Promise<string | undefined> {
  const info = await jsm.streams.info(stream).catch(() => null)
  const { leader, replicas = [] } = info?.cluster ?? {}
  const current = replicas.length === 2 && replicas.every(one => one.current && !one.offline)
  return current ? leader : undefined
}
