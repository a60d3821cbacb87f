import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { connectRedis } from '../../../plugins/distributed-tenant/directory/redis-client.js'
import { createCounters, type SharedCounters } from '../../../plugins/limits/counters.js'
import { startRedis } from '../../../stack/servers/redis.js'
import { until } from '../../until.js'

/** Longer than any test. */
const DAY = 86_400_000

async function shared(t: Test) {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const client = async () => {
    const redis = connectRedis(server.url, 'test') as Redis
    redis.on('error', () => {})
    t.teardown(() => redis.disconnect())
    await until('redis is there', () => redis.status === 'ready')
    return redis
  }
  const counters = (redis: SharedCounters | null) => {
    const made = createCounters(redis)
    t.teardown(() => made.close())
    return made
  }
  return { server, client, counters }
}

t.test('counts of replicas add up, by way of Redis', async t => {
  const { client, counters } = await shared(t)
  const [one, two] = [counters(await client()), counters(await client())]
  for (let n = 1; n <= 30; n++) t.equal(one.count('a', DAY).current, n)
  for (let n = 1; n <= 12; n++) two.count('a', DAY)
  two.count('b', DAY)
  // Each reads the other's count when it adds its own.
  await until('each counts the other', () => one.count('a', DAY).current > 42 && two.count('a', DAY).current > 42)
  t.ok(two.count('b', DAY).current < 10, 'another key is another count')
})

t.test('no request waits for Redis, and without it each replica counts alone', async t => {
  const { server, client, counters } = await shared(t)
  const redis = await client()
  const one = counters(redis)
  one.count('a', DAY)
  const look = new Redis(server.url)
  t.teardown(() => look.disconnect())
  await until('Redis has the count', async () => (await look.keys('fdt:v1:limit:a:*')).length === 1)
  t.ok((await look.pttl((await look.keys('fdt:v1:limit:*'))[0] as string)) > 0, 'and it is forgotten after a while')
  server.freeze()
  for (let n = 2; n <= 100; n++) t.equal(one.count('a', DAY).current, n)
  server.thaw()
})

t.test('requests counted while Redis was down still count when it is back', async t => {
  const { server, client, counters } = await shared(t)
  const redis = await client()
  const one = counters(redis)
  await server.kill()
  await until('the loss is noticed', () => redis.status !== 'ready')
  for (let n = 1; n <= 50; n++) one.count('a', DAY)
  await server.restart()
  await until('it is back', () => redis.status === 'ready')
  t.equal(one.count('a', DAY).current, 51)
  const look = new Redis(server.url)
  t.teardown(() => look.disconnect())
  await until('Redis has the count', async () => (await look.keys('fdt:v1:limit:a:*')).length === 1)
  t.equal(one.count('a', DAY).current, 52, 'though Redis has received a few only')
})

t.test('a window ends, and the next begins at one', async t => {
  const one = createCounters(null)
  t.teardown(() => one.close())
  const windowMs = 50
  let last = one.count('a', windowMs)
  const deadline = performance.now() + 5000
  for (;;) {
    const next = one.count('a', windowMs)
    if (next.current < last.current) break
    if (performance.now() > deadline) throw new Error('no window ended')
    last = next
  }
  t.ok(last.current > 1)
  t.ok(last.ttl > 0 && last.ttl <= windowMs)
})

t.test('memory does not grow with a million keys', async t => {
  const one = createCounters(null)
  t.teardown(() => one.close())
  one.count('first', DAY)
  for (let n = 0; n < 20_000; n++) one.count(`k${n}`, DAY)
  t.equal(one.count('first', DAY).current, 1)
})
