import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { connectRedis } from '../../plugins/distributed-tenant/directory/redis-client.js'
import redis from '../../services/redis.js'
import { freePort } from '../../stack/servers/ports.js'
import { startRedis } from '../../stack/servers/redis.js'
import { until } from '../until.js'

async function app(t: Test, url: string) {
  const lines: { msg: string }[] = []
  const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => lines.push(JSON.parse(line)) } } })
  t.teardown(() => app.close())
  await app.register(redis, { url, connectionName: 'test-service' })
  await app.ready()
  return { app, lines }
}

async function answers(app: FastifyInstance): Promise<boolean> {
  return app.redis.ping().then(
    () => true,
    () => false,
  )
}

t.test('a reachable Redis is used, under the service’s name', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const { app: made } = await app(t, server.url)
  // A command has 100 ms, which a busy machine may use up itself.
  await until('it answers', () => answers(made))
  const looker = new Redis(server.url)
  t.teardown(() => looker.disconnect())
  t.match(await looker.client('LIST'), /name=test-service/)
})

t.test('an unreachable Redis does not keep a service from starting, and a command fails at once', async t => {
  const { app: made, lines } = await app(t, `redis://127.0.0.1:${await freePort()}`)
  // Not the deadline of a command: it was never sent.
  await t.rejects(made.redis.get('x'), { message: /writeable|Connection is closed/ })
  t.ok(lines.some(({ msg }) => msg.includes('starting without it')))
})

t.test('a Redis that comes after the start joins', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  await server.kill()
  const { app: made } = await app(t, server.url)
  t.equal(await answers(made), false)
  await server.restart()
  await until('it answers', () => answers(made))
})

t.test('a Redis that hangs costs a command its deadline', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const { app: made } = await app(t, server.url)
  server.freeze()
  t.teardown(() => server.thaw())
  // In one event loop the earlier of two timers fires first, however late both are.
  const failed = made.redis.get('x').then(
    () => 'answered',
    () => 'failed',
  )
  t.equal(await Promise.race([failed, sleep(400, 'later than its deadline')]), 'failed')
  server.thaw()
  await until('it answers', () => answers(made))
})

t.test('the error of a refused login does not hold the password', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const client = connectRedis(server.url.replace(server.password, 'hunter2'), 'test')
  t.teardown(() => client.disconnect())
  // On a busy machine an attempt may time out before; it tries again.
  const error = await new Promise<Error>(resolve => {
    client.on('error', error => error.message.includes('timed out') || resolve(error))
  })
  t.match(error, { message: /WRONGPASS/ })
  t.notMatch(inspect(error, { depth: 9 }), /hunter2/)
})

t.test('no password is in the log', async t => {
  const { lines } = await app(t, `redis://:hunter2@127.0.0.1:${await freePort()}`)
  t.notMatch(JSON.stringify(lines), /hunter2/)
})
