import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import { parseRoleKeys } from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import { createSeal } from '../../../../plugins/distributed-tenant/directory/entry-seal.js'
import { type PublishedStep, subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { parseServiceName } from '../../../../plugins/distributed-tenant/names.js'
import { rig, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

const serve = (app: FastifyInstance) => {
  app.get('/who', { config: { tenant: 'required' } }, async request => request.tenant)
}

t.test('looking a tenant up', async t => {
  const { app: build, look, servers } = await rig(t, ['employee'])
  const { redis, postgres } = servers
  const replicas: FastifyInstance[] = []
  /** A replica with nothing in memory. */
  const start = async () => {
    const fresh = await build('employee', { redis: redis.url }, serve)
    replicas.push(fresh)
    return fresh
  }
  /** Each process takes its share of the server's connections. */
  const stop = async (one: FastifyInstance) => {
    replicas.splice(replicas.indexOf(one), 1)
    await one.close()
  }
  const seen: PublishedStep[] = []
  t.teardown(subscribe(step => seen.push(step)))
  /** A replica that receives notifications, has Redis, and can distinguish new entries there from old. */
  const trusting = async () => {
    seen.length = 0
    const fresh = await start()
    await until('Redis is trusted', () =>
      seen.some(
        ({ area, event, origin }) =>
          origin === fresh.tenants.origin && area === 'lookup' && event.type === 'remote_trusted',
      ),
    )
    await until('Redis answers', async () => (await fresh.tenants.health()).cache.status === 'up')
    return fresh
  }
  const app = await trusting()
  const replica = await trusting()
  const client = new Redis(redis.url)
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  const who = (server: FastifyInstance, id: string) => server.inject({ url: '/who', headers: { 'hrms-client-id': id } })
  const sources = () =>
    seen.flatMap(({ area, event }) =>
      area === 'lookup' && event.type === 'lookup' && event.found ? [event.source] : [],
    )
  const flaws = () =>
    seen.flatMap(step => {
      if (step.area === 'lookup' && step.event.type === 'remote_outdated') return ['outdated']
      if (step.area !== 'cache' || step.event.type === 'remote_failed') return []
      return [step.event.type.slice('remote_'.length)]
    })
  const central = look('employee', 'employee_central')
  const seal = createSeal(parseServiceName('employee'), parseRoleKeys(roleSecret))
  /** The entry that a service has put, without its seal. */
  const entryOf = async (id: string) => {
    const bytes = await client.getBuffer(`fdt:v1:employee:${id}`)
    return JSON.parse((bytes && seal.open(bytes)?.toString()) ?? '{}')
  }
  /**
   * Every replica has received the notification of the newest change of a tenant, has forgotten its cached entry,
   * and has put a newly read one into Redis. It does that once for each notification, as an earlier one may have
   * caused a read that a later one is about.
   */
  const settled = async (id: string, change: () => Promise<number>) => {
    const monitor = await client.monitor()
    const puts: { from: string; revision: number }[] = []
    monitor.on('monitor', (_time: string, [command, , , key, , revision]: string[], from: string) => {
      if (command?.toLowerCase() === 'eval' && key === `fdt:v1:employee:${id}`)
        puts.push({ from, revision: Number(revision) })
    })
    const received = replicas.map(() => [] as number[])
    const offs = replicas.map((one, n) =>
      one.notifications.subscribe('fdt_tenants', payload => {
        const notice = JSON.parse(payload) as { id: string; revision: number }
        if (notice.id === id) received[n]?.push(notice.revision)
      }),
    )
    const newest = await change()
    await until('each has received it, and asked to put the entry', () => {
      const senders = [...new Set(puts.map(({ from }) => from))]
      const last = senders.every(one => puts.findLast(({ from }) => from === one)?.revision === newest)
      return (
        received.every(seen => seen.at(-1) === newest) &&
        senders.length === replicas.length &&
        last &&
        puts.length === received.flat().length
      )
    })
    for (const off of offs) off()
    monitor.disconnect()
  }
  const touch = (id: string) =>
    settled(id, async () => {
      const [row] = await central`update tenants set step = step where id = ${id} returning revision`
      return Number(row?.revision)
    })
  const make = (id: string, name: string, settings = {}) =>
    settled(id, async () => {
      await app.tenants.create({ id, name, settings })
      const [row] = await central`select revision from tenants where id = ${id}`
      return Number(row?.revision)
    })
  await make('acme', 'Acme', { plan: 'large' })
  await make('globex', 'Globex')

  await t.test('goes to the registry once, then to memory, and another replica finds it in Redis', async t => {
    await client.flushall()
    await touch('globex')
    await client.del('fdt:v1:employee:globex')
    seen.length = 0
    t.match((await who(app, 'globex')).json(), { id: 'globex', name: 'Globex', version: 0 })
    t.match((await who(app, 'globex')).json(), { id: 'globex' })
    await until('written to Redis', () => client.exists('fdt:v1:employee:globex'))
    t.match((await who(replica, 'globex')).json(), { id: 'globex' })
    const others = seen.filter(({ area }) => area !== 'connection' && area !== 'lease' && area !== 'query')
    t.same(
      sources(),
      ['registry', 'memory', 'remote'],
      JSON.stringify(others.map(({ area, event }) => ({ area, event }))),
    )
    const ttl = await client.pttl('fdt:v1:employee:globex')
    t.ok(ttl > 3_590_000 && ttl <= 3_600_000, `an hour, not ${ttl} ms`)
  })

  await t.test('keeps no routing in Redis', async t => {
    t.same(Object.keys(await entryOf('globex')).sort(), [
      'at',
      'domain',
      'history',
      'id',
      'incarnation',
      'lifecycle',
      'name',
      'provisioned',
      'revision',
      'schemaVersion',
      'service',
      'settings',
      'version',
    ])
  })

  await t.test('asks the registry once for a hundred at the same time', async t => {
    await client.flushall()
    const fresh = await start()
    seen.length = 0
    const answers = await Promise.all(Array.from({ length: 100 }, () => who(fresh, 'acme')))
    t.same([...new Set(answers.map(answer => answer.statusCode))], [200])
    t.same(sources(), ['registry'])
  })

  await t.test('refuses within 2 s a tenant that another replica or psql suspended', async t => {
    t.equal((await who(replica, 'acme')).statusCode, 200)
    await app.tenants.suspend('acme')
    await until('refused', async () => (await who(replica, 'acme')).json().code === 'TENANT_SUSPENDED')
    t.equal((await who(replica, 'acme')).statusCode, 403)
    await central`update tenants set lifecycle = 'active' where id = 'acme'`
    await until('served', async () => (await who(replica, 'acme')).statusCode === 200)
  })

  await t.test(
    'receives a burst of notifications over several turns of the event loop, all and in their order',
    async t => {
      const app = await start()
      const central = look('employee', 'employee_central')
      const seen: number[] = []
      const inTurn: number[] = []
      let turn = 0
      let running = true
      const count = (): void => {
        turn++
        if (running) setImmediate(count)
      }
      const off = app.notifications.subscribe('fdt_burst', payload => {
        if (payload === '0') return void seen.push(0)
        seen.push(Number(payload))
        inTurn[turn] = (inTurn[turn] ?? 0) + 1
      })
      await until('it listens', async () => {
        await central`select pg_notify('fdt_burst', '0')`
        return seen.length > 0
      })
      count()
      await central`select pg_notify('fdt_burst', n::text) from generate_series(1, 5000) as n`
      await until('all are received', () => seen.at(-1) === 5000)
      running = false
      off()
      t.same(
        seen.filter(n => n > 0),
        Array.from({ length: 5000 }, (_, at) => at + 1),
      )
      t.ok(Math.max(...inTurn.filter(Boolean)) <= 400, `${Math.max(...inTurn.filter(Boolean))} in one turn`)
    },
  )

  await t.test('answers 404 for an unknown tenant, and serves it soon after it was made', async t => {
    t.match((await who(replica, 'initech')).json(), { statusCode: 404, code: 'TENANT_NOT_FOUND' })
    t.equal(await client.exists('fdt:v1:employee:initech'), 0, 'an unknown id gets no key')
    await app.tenants.create({ id: 'initech', name: 'Initech' })
    await until('served', async () => (await who(replica, 'initech')).statusCode === 200)
  })

  await t.test('treats a wrong entry in Redis as a miss', async t => {
    const key = 'fdt:v1:employee:acme'
    const right = await entryOf('acme')
    const sealed = (more: object) => seal.close(JSON.stringify({ ...right, ...more }))
    const others = createSeal(parseServiceName('core'), parseRoleKeys(roleSecret))
    const hour = 3_600_000
    t.equal(right.id, 'acme')
    const cases: [what: string, value: string, counted: string][] = [
      ['no JSON', '{{{', 'garbage'],
      ['another type', '[]', 'garbage'],
      ['a field missing', seal.close(JSON.stringify({ id: 'acme' })), 'garbage'],
      ['a prototype', seal.close('{"__proto__":{"id":"acme"}}'), 'garbage'],
      ['another tenant', sealed({ id: 'globex', name: 'Globex' }), 'foreign'],
      ['another service', sealed({ service: 'core', name: 'Core' }), 'foreign'],
      ['10 MB', sealed({ name: 'x'.repeat(10_000_000) }), 'oversized'],
      ['an older revision', sealed({ revision: 1, lifecycle: 'suspended' }), 'outdated'],
      ['one put back after an hour', sealed({ at: right.at - hour, lifecycle: 'deleted' }), 'outdated'],
      ['one of another history', sealed({ history: 'another', revision: 1e9, lifecycle: 'suspended' }), 'outdated'],
      ['no history', sealed({ history: undefined, revision: 1e9, lifecycle: 'suspended' }), 'outdated'],
      ['no time', sealed({ at: undefined, name: 'Old' }), 'outdated'],
      ['no schema version', sealed({ name: 'Old', schemaVersion: undefined }), 'outdated'],
      ['a schema version that is none', sealed({ schemaVersion: '1' }), 'garbage'],
      // Written with full knowledge of an entry except the secret.
      ['no seal', JSON.stringify({ ...right, lifecycle: 'deleted', revision: 1e9 }), 'garbage'],
      ['another seal', `${'A'.repeat(43)}${JSON.stringify({ ...right, revision: 1e15 })}`, 'garbage'],
      ['another service’s seal', others.close(JSON.stringify({ ...right, lifecycle: 'deleted' })), 'garbage'],
      ['a byte more than was sealed', `${sealed({})} `, 'garbage'],
    ]
    for (const [what, value, counted] of cases) {
      const fresh = await trusting()
      await client.set(key, value)
      seen.length = 0
      t.match((await who(fresh, 'acme')).json(), { id: 'acme', name: 'Acme', settings: { plan: 'large' } }, what)
      t.same(flaws(), [counted], `${what} is counted`)
      // A late put, on a busy machine, would replace the entry that the next case plants.
      await until('the right entry is written again', async () => {
        const now = await client.get(key)
        return now !== null && now !== value
      })
      await stop(fresh)
    }
    const fresh = await trusting()
    await client.del(key)
    await client.lpush(key, 'a list')
    seen.length = 0
    t.match((await who(fresh, 'acme')).json(), { id: 'acme' }, 'a Redis list')
    t.same(flaws(), ['garbage'])
    await until('the right entry is written again', async () => (await client.type(key)) === 'string')
  })

  await t.test('never lets an older row replace a newer one in Redis', async t => {
    const key = 'fdt:v1:employee:acme'
    const right = await entryOf('acme')
    await client.set(key, seal.close(JSON.stringify({ ...right, revision: 1_000_000 })))
    await touch('acme')
    t.match(await entryOf('acme'), { revision: 1_000_000 })
    await client.del(key)
  })

  await t.test('with Redis frozen answers within its deadline, and at once when it is known to be away', async t => {
    const ids = Array.from({ length: 6 }, (_, n) => `frozen-${n}`)
    for (const id of ids) await app.tenants.create({ id, name: id })
    const fresh = await trusting()
    redis.freeze()
    t.teardown(() => redis.thaw())
    seen.length = 0
    for (const id of ids) {
      t.equal((await who(fresh, id)).statusCode, 200)
    }
    // The others may still put the entries that were made.
    const own = seen.filter(({ origin }) => origin === fresh.tenants.origin)
    const failed = own.filter(({ area, event }) => area === 'cache' && event.type === 'remote_failed').length
    t.equal(failed, 3, 'three commands met their deadline, then Redis was not used')
    redis.thaw()
  })

  await t.test('with Redis dead everything is served, a start included', async t => {
    await redis.kill()
    await central`update tenants set step = step where id = 'acme'`
    t.equal((await who(app, 'acme')).statusCode, 200)
    const late = await start()
    t.equal((await who(late, 'acme')).statusCode, 200)
    t.match(await late.tenants.health(), { central: { status: 'up' }, cache: { status: 'down' } })
    await redis.restart()
    await until('Redis is used again', async () => (await late.tenants.health()).cache.status === 'up')
  })

  await t.test('with the registry down serves tenants that were active before, and answers 503 for others', async t => {
    await app.tenants.suspend('globex')
    await until('suspended', async () => (await who(app, 'globex')).statusCode === 403)
    t.equal((await who(app, 'acme')).statusCode, 200)
    await postgres.employee?.kill()
    const answer = await who(app, 'never-asked-before')
    t.match(answer.json(), { statusCode: 503, code: 'TENANT_LOOKUP_FAILED' })
    t.equal(answer.headers['retry-after'], '2')
    seen.length = 0
    await until('memory has no fresh entry', async () => {
      t.match(await who(app, 'acme'), { statusCode: 200 }, 'active when last seen')
      return sources().includes('stale')
    })
    t.match((await who(app, 'globex')).json(), { statusCode: 503, code: 'TENANT_LOOKUP_FAILED' })
    await postgres.employee?.restart()
    await until('answered again', async () => (await who(app, 'never-asked-before')).statusCode === 404)
  })
})
