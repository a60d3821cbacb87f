// A Redis that cannot be the cache: one that freezes, with the plugin's client and with one passed in, and servers that answer and store nothing.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { parseRoleKeys } from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import { createRemote } from '../../../../plugins/distributed-tenant/directory/redis-cache.js'
import { connectRedis } from '../../../../plugins/distributed-tenant/directory/redis-client.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { createCounters } from '../../../../plugins/limits/counters.js'
import { type RedisOptions, type RedisServer, startRedis } from '../../../../stack/servers/redis.js'
import { roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

const CLUSTERED: RedisOptions = { settings: ['cluster-enabled yes'] }

const acme = parseTenantId('acme')

async function server(t: Test, options: RedisOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options)
  t.teardown(() => server.stop())
  return server
}

/** As an application makes it: with ioredis' defaults, a command has no deadline and is queued without end. */
function client(t: Test, { url }: RedisServer): Redis {
  const redis = new Redis(url)
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  return redis
}

function cacheOn(redis: Redis) {
  const failures: string[] = []
  const remote = createRemote({
    redis,
    service: parseServiceName('employee'),
    keys: parseRoleKeys(roleSecret),
    ttlMs: 60_000,
    report: event => event.type === 'remote_failed' && failures.push((event.error as Error).message),
  })
  return { remote, failures }
}

t.test(
  'a frozen Redis costs a lookup a tenth of a second, and then nothing, also through a client passed in',
  async t => {
    const frozen = await server(t)
    const redis = client(t, frozen)
    const { remote, failures } = cacheOn(redis)
    await until('Redis answers', () => remote.check().then(() => true))
    frozen.freeze()
    t.teardown(() => frozen.thaw())
    for (let n = 0; n < 3; n++) {
      const asked = remote.get(acme, 'history').then(() => 'a miss')
      // In one event loop the earlier of two timers fires first, however late both are.
      t.equal(await Promise.race([asked, sleep(400, 'later than its deadline')]), 'a miss')
    }
    t.strictSame(failures, Array(3).fill('Redis did not answer within 100 ms'))

    let sent = 0
    const sendCommand = redis.sendCommand.bind(redis)
    redis.sendCommand = (...args) => {
      sent++
      return sendCommand(...args)
    }
    const begun = performance.now()
    while (performance.now() - begun < 1500) {
      await Promise.all(Array.from({ length: 50 }, () => remote.get(acme, 'history')))
      await sleep(5)
    }
    const seconds = (performance.now() - begun) / 1000
    t.ok(sent >= 1 && sent <= Math.ceil(seconds) + 1, `${sent} commands in ${seconds.toFixed(1)} s wait in the client`)

    frozen.thaw()
    const before = failures.length
    await until('it is asked again', async () => {
      const now = sent
      await remote.get(acme, 'history')
      return sent > now && failures.length === before
    })
  },
)

t.test('a frozen Redis gets one pipeline of counts, not ten a second', async t => {
  const frozen = await server(t)
  const redis = client(t, frozen)
  await until('Redis is there', () => redis.status === 'ready')
  const counters = createCounters(redis)
  t.teardown(() => counters.close())
  let pipelines = 0
  const pipeline = redis.pipeline.bind(redis)
  redis.pipeline = commands => {
    pipelines++
    return pipeline(commands)
  }
  frozen.freeze()
  t.teardown(() => frozen.thaw())
  for (let n = 0; n < 60; n++) {
    counters.count('a', 86_400_000)
    await sleep(10)
  }
  await until('counts were sent', () => pipelines > 0)
  t.equal(pipelines, 1)
  frozen.thaw()
  await until('all counts arrive', async () => {
    const [key] = await redis.keys('fdt:v1:limit:a:*')
    return key !== undefined && (await redis.get(key)) === '60'
  })
})

t.test('a node of a Redis Cluster that refuses the login puts no password into a log', async t => {
  const node = await server(t, CLUSTERED)
  const lines: string[] = []
  const app = Fastify({ logger: { stream: { write: (line: string) => void lines.push(line) } } })
  t.teardown(() => app.close())
  const redis = connectRedis(`redis+cluster://:hunter2@127.0.0.1:${node.port}`, 'test')
  t.teardown(() => redis.disconnect())
  redis.on('error', err => app.log.warn({ err }, 'an error of the client'))
  await until('the login is refused', () => /WRONGPASS/.test(lines.join()))
  t.notMatch(lines.join(), /hunter2/)
})

t.test('health names a server that answers and cannot be the cache', async t => {
  const primary = await server(t)
  const replica = await server(t, {
    settings: [`replicaof 127.0.0.1 ${primary.port}`, `masterauth ${primary.password}`],
  })
  const sentinel = await server(t, { sentinel: true })
  const [first, second] = [await server(t, CLUSTERED), await server(t, CLUSTERED)]
  await client(t, first).cluster('ADDSLOTSRANGE', 0, 8191)
  await client(t, second).cluster('ADDSLOTSRANGE', 8192, 16383)
  await client(t, first).cluster('MEET', '127.0.0.1', second.port)

  const reasonOf = (server: RedisServer) => {
    const { remote } = cacheOn(client(t, server))
    return remote.check().then(
      () => 'healthy',
      (error: Error) => error.message,
    )
  }
  t.equal(await reasonOf(primary), 'healthy')
  t.match(await reasonOf(replica), /read-only replica: REDIS_URL must lead to the primary/)
  t.match(await reasonOf(sentinel), /as a sentinel: write REDIS_URL=redis\+sentinel:/)
  for (const node of [first, second])
    await until('the node knows the other', async () => /node of a Redis Cluster/.test(await reasonOf(node)))
})
