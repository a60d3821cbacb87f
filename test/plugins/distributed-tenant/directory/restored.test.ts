// A central database that was set back to an older state: older entries of Redis with higher revisions are not used.
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import { type PublishedStep, subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('an entry from before the central database was restored', async t => {
  const { app: build, look, servers } = await rig(t, ['employee'])
  const seen: PublishedStep[] = []
  t.teardown(subscribe(step => seen.push(step), undefined, ['lookup']))
  const client = new Redis(servers.redis.url)
  t.teardown(() => client.disconnect())
  const server = look('employee')

  /** A replica that trusts Redis. */
  const trusting = async () => {
    seen.length = 0
    const app = await build('employee', { redis: servers.redis.url }, one =>
      one.get('/who', { config: { tenant: 'required' } }, async request => request.tenant),
    )
    await until('Redis is trusted', () =>
      seen.some(({ area, event }) => area === 'lookup' && event.type === 'remote_trusted'),
    )
    await until('Redis answers', async () => (await app.tenants.health()).cache.status === 'up')
    return app
  }
  const who = async (app: FastifyInstance) =>
    (await app.inject({ url: '/who', headers: { 'hrms-client-id': 'acme' } })).json()
  const source = () =>
    seen.flatMap(({ area, event }) => (area === 'lookup' && event.type === 'lookup' ? [event.source] : [])).at(-1)
  const key = 'fdt:v1:employee:acme'

  const first = await trusting()
  await first.tenants.create({ id: 'acme', name: 'Acme' })
  await first.close()
  await server`create database earlier template employee_central owner employee_service`

  const second = await trusting()
  await second.central`update tenants set name = 'Later' where id = 'acme'`
  await until('the change is known', async () => (await who(second)).name === 'Later')
  await client.del(key)
  await second.close()
  const third = await trusting()
  t.match(await who(third), { name: 'Later' })
  await until('Redis has it', () => client.exists(key))
  const before = await client.getBuffer(key)
  await third.close()

  const fourth = await trusting()
  t.match(await who(fourth), { name: 'Later' })
  t.equal(source(), 'remote', 'it is used until the restore')
  await fourth.close()

  await server`alter database employee_central rename to later`
  await server`alter database earlier rename to employee_central`
  const restored = await trusting()
  t.same(await client.getBuffer(key), before, 'it is still there')
  t.match(await who(restored), { name: 'Acme' })
  t.equal(source(), 'registry')

  await t.test('is replaced, although its revision is higher', async t => {
    await until('written', async () => !(await client.getBuffer(key))?.equals(before as Buffer))
    const other = await trusting()
    t.match(await who(other), { name: 'Acme' })
    t.equal(source(), 'remote')
  })
})
