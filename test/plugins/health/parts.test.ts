import t from 'tap'
import { readEnvironment } from '../../../plugins/distributed-tenant/config/environment.js'

import { serviceRig } from '../../services/rig.js'
import { until } from '../../until.js'

t.test('health while dependencies of a service go down and come back', async t => {
  const made = await serviceRig(t, ['employee'])
  const { nats, redis } = made.servers
  const postgres = made.servers.postgres.employee
  const environment = readEnvironment({ DB_HEALTH_CHECK_TIMEOUT: '1', METRICS_TOKEN: 'a-token-of-the-metrics' })
  const app = await made.service(
    'employee',
    { nats: nats.url, redis: redis.url, source: true, acquireTimeout: 500 },
    { environment },
  )
  const ask = async (path: string) => {
    const begun = performance.now()
    const response = await app.inject({ url: path, headers: { authorization: 'Bearer a-token-of-the-metrics' } })
    return { status: response.statusCode, body: response.json(), ms: performance.now() - begun }
  }
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await until('acme is ready', async () => (await app.tenants.find('acme'))?.provisioned === 'ready')

  await t.test('with everything there people see every part', async t => {
    const { body } = await until('all is handled', async () => {
      const answer = await ask('/api/health')
      const [consumer] = answer.body.consumers ?? []
      return answer.body.outbox?.waiting === 0 && consumer?.pending === 0 && consumer.ackPending === 0 ? answer : null
    })
    t.match(body, {
      status: 'healthy',
      checks: { database: { status: 'up' }, redis: { status: 'up' }, nats: { status: 'up' } },
      outbox: { waiting: 0, oldestSeconds: 0, refused: 0 },
      consumers: [{ durable: 'tenants-employee', pending: 0, ackPending: 0, redelivered: 0 }],
      deadEvents: 0,
      registry: { tenants: [{ lifecycle: 'active', provisioned: 'ready', count: 1 }], schemaBehind: 0 },
      disk: { free: 'unknown' },
      connections: { service: 'employee', budget: 50 },
    })
    t.ok(body.checks.database.latencyMs >= 0)
    t.ok(body.disk.centralDatabaseBytes > 1_000_000)
    t.notMatch(JSON.stringify(body), /acme/, 'no tenant is named except the one that was asked for')
  })

  await t.test('without NATS and Redis it is ready, and names the missing parts', async t => {
    await Promise.all([nats.kill(), redis.kill()])
    const { body } = await until('noticed', async () => {
      const answer = await ask('/api/health')
      const { redis, nats } = answer.body.checks
      return redis.status === 'down' && nats.status === 'down' ? answer : null
    })
    t.equal(body.status, 'degraded')
    t.equal((await ask('/api/health/ready')).status, 200)
    await until('its consumers are unknown', async () => !('consumers' in (await ask('/api/health')).body))
    await Promise.all([nats.restart(), redis.restart()])
    await until('healthy again', async () => (await ask('/api/health')).body.status === 'healthy')
  })

  await t.test('with a frozen database it lives, is not ready, and answers soon', async t => {
    postgres?.freeze()
    try {
      await until('not ready', async () => (await ask('/api/health/ready')).body.status === 'unavailable')
      const full = await until('unhealthy', async () => {
        const answer = await ask('/api/health')
        return answer.status === 503 ? answer : null
      })
      t.equal(full.body.status, 'unhealthy')
      const live = await ask('/api/health/live')
      t.equal(live.status, 200)
      const asked = await Promise.all(Array.from({ length: 50 }, () => ask('/api/health')))
      t.same([...new Set(asked.map(({ status }) => status))], [503])
    } finally {
      postgres?.thaw()
    }
    await until('ready again', async () => (await ask('/api/health/ready')).status === 200)
  })
})
