import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/index.js'
import { until } from '../until.js'
import { as, serviceRig } from './rig.js'

const METRICS_TOKEN = 'a-token-of-the-metrics'
const environment = readEnvironment({ METRICS_TOKEN })

const health = async (app: FastifyInstance, tenant?: string) =>
  app.inject({
    url: '/api/health',
    headers: { authorization: `Bearer ${METRICS_TOKEN}`, ...(tenant && { 'hrms-client-id': tenant }) },
  })

t.test('a service', async t => {
  const { service, servers } = await serviceRig(t, ['employee'])
  const app = await service('employee', { nats: servers.nats.url, redis: servers.redis.url }, { environment })
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  const call = as(app, 'acme')

  await t.test('is healthy when every part is up', async t => {
    let output = { status: 'not asked' }
    await until(async () => {
      output = (await health(app)).json()
      return output.status === 'healthy'
    })
    t.match(output, {
      status: 'healthy',
      checks: { database: { status: 'up' }, redis: { status: 'up' }, nats: { status: 'up' } },
      connections: { service: 'employee', budget: 50 },
    })
    t.equal((await app.inject('/api/health/live')).statusCode, 200)
    t.equal((await app.inject('/api/health/ready')).statusCode, 200)
  })

  await t.test('reports the status of a tenant', async t => {
    t.match((await health(app, 'acme')).json(), { tenant: { id: 'acme', status: 'ready' } })
    t.equal((await health(app, 'unknown')).statusCode, 404)
    t.equal((await health(app, 'UNKNOWN')).statusCode, 400)
  })

  await t.test('describes every route, with a tag and with its errors', async t => {
    const document = (await app.inject('/api/docs/json')).json()
    const operations = Object.entries<Record<string, { tags?: string[]; responses: object; security?: object[] }>>(
      document.paths,
    ).flatMap(([url, methods]) => Object.entries(methods).map(([method, operation]) => ({ url, method, operation })))
    t.ok(operations.length >= 8)
    for (const { url, method, operation } of operations) {
      const name = `${method} ${url}`
      t.ok(operation.tags?.length, name)
      if (url.startsWith('/api/health')) continue
      // Operators' routes have a token of their own, and no tenant: services/operator.test.ts.
      if (url.startsWith('/api/operator')) {
        t.same(operation.security, [{ operator: [] }], name)
        for (const status of ['401', '403', '503']) t.hasProp(operation.responses, status, name)
        continue
      }
      t.same(operation.security, [{ tenant: [] }], name)
      for (const status of ['400', '403', '404', '500', '503']) t.hasProp(operation.responses, status, name)
    }
    t.equal((await app.inject('/api/docs')).statusCode, 200)
  })

  await t.test('answers its documentation whatever tenant the request names', async t => {
    for (const tenant of ['unknown', 'NOT AN ID']) {
      t.equal((await app.inject({ url: '/api/docs/json', headers: { 'hrms-client-id': tenant } })).statusCode, 200)
    }
  })

  await t.test('refuses a path that cannot be decoded in the one shape', async t => {
    t.match((await app.inject('/api/employees/%zz')).json(), { statusCode: 400, code: 'FST_ERR_BAD_URL' })
  })

  await t.test('serves without Redis, and reports that it is degraded', async t => {
    await servers.redis.kill()
    await until(async () => (await health(app)).json().checks.redis.status === 'down')
    t.match((await health(app)).json(), { status: 'degraded' })
    t.equal((await call('GET', '/api/employees')).statusCode, 200)
    await servers.redis.restart()
    await until(async () => (await health(app)).json().checks.redis.status === 'up')
  })

  await t.test('serves without NATS, and reports that it is degraded', async t => {
    await servers.nats.kill()
    await until(async () => (await health(app)).json().checks.nats.status === 'down')
    t.match((await health(app)).json(), { status: 'degraded' })
    t.equal((await call('GET', '/api/employees')).statusCode, 200)
    await servers.nats.restart()
    await until(async () => (await health(app)).json().checks.nats.status === 'up')
  })

  await t.test('without its PostgreSQL answers 503, and serves when it is back', async t => {
    await servers.postgres.employee?.kill()
    await until(async () => (await health(app)).statusCode === 503)
    t.match((await health(app)).json(), { status: 'unhealthy', checks: { database: { status: 'down' } } })
    t.equal((await app.inject('/api/health/ready')).statusCode, 503)
    t.equal((await app.inject('/api/health/live')).statusCode, 200)
    const refused = await call('GET', '/api/employees')
    t.equal(refused.statusCode, 503)
    t.match(refused.json(), { code: /^(TENANT|CENTRAL)_/ })
    t.ok(refused.headers['retry-after'])
    await servers.postgres.employee?.restart()
    await until(async () => (await call('GET', '/api/employees')).statusCode === 200)
    await until(async () => (await health(app)).json().status === 'healthy')
  })
})

t.test('a service whose Redis and NATS are down starts, and is degraded', async t => {
  const { service, servers } = await serviceRig(t, ['core'])
  await Promise.all([servers.redis.kill(), servers.nats.kill()])
  const app = await service('core', { nats: servers.nats.url, redis: servers.redis.url })
  t.match((await health(app)).json(), {
    status: 'degraded',
    checks: { database: { status: 'up' }, redis: { status: 'down' }, nats: { status: 'down' } },
  })
  t.equal((await app.inject('/api/health/ready')).statusCode, 200)
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  t.equal((await as(app, 'acme')('GET', '/api/departments')).statusCode, 200)
})
