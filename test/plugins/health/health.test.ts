import Fastify, { type FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import {
  type Figures,
  type TenancyHealth,
  type TenantId,
  TenantIdInvalid,
  TenantLookupFailed,
  type TenantProbe,
  type Tenants,
} from '../../../plugins/distributed-tenant/index.js'
import drain from '../../../plugins/drain.js'
import health from '../../../plugins/health/index.js'
import { until } from '../../until.js'

type Part = TenancyHealth['central']
const up: Part = { status: 'up', latencyMs: 1.5 }
const down: Part = { status: 'down', latencyMs: 5000, detail: 'connection refused' }
const off: Part = { status: 'off' }

const counters = {
  ...{ open: 3, idle: 2, inUse: 1, opening: 0, waiting: 0, budget: 50 },
  opened: 9,
  evicted: 4,
  refused: 2,
}
const connections = {
  service: 'employee',
  instance: { host: 'localhost', port: 5432 },
  ...counters,
  tenants: { acme: { ...{ open: 3, idle: 2, inUse: 1, opening: 0, waiting: 0 }, opened: 9, evicted: 4, refused: 2 } },
  instances: {
    main: { host: 'localhost', port: 5432, open: 3, idle: 2, inUse: 1, opening: 0, waiting: 0, budget: 50 },
  },
}

interface State {
  central?: Part
  cache?: Part
  events?: Part
  provisioning?: Part
  identify?: () => Promise<TenantId | null>
  probe?: TenantProbe
  figures?: Figures
  onFigures?: () => void
}

const counted: Figures = {
  stored: {
    registry: [{ lifecycle: 'active', provisioned: 'ready', count: 7 }],
    schemaBehind: 2,
    outbox: { waiting: 1, oldestSeconds: 3.5 },
    outboxRefused: 0,
    deadEvents: 4,
    parkedEvents: 1,
    spares: 3,
    fullInstances: [],
    movingSeconds: 0,
    centralBytes: 9_000_000,
  },
  consumers: {
    'tenants-employee': { pending: 5, ackPending: 1, redelivered: 0, awaited: true },
    'ledger-employee': null,
  },
  moveSlotBytes: {},
}

const withTenants = (tenants: Partial<Tenants>) =>
  fp(
    async app => {
      app.decorate('tenants', tenants as Tenants)
    },
    { name: 'fastify-distributed-tenant' },
  )

// Statuses of the tenant plugin, in any combination; the plugin's own tests check when each is right.
async function app(
  t: Test,
  {
    central = up,
    cache = up,
    events = up,
    provisioning = up,
    identify,
    probe = 'ready',
    figures = counted,
    onFigures = () => {},
  }: State = {},
  logger: FastifyServerOptions['logger'] = false,
) {
  const app = Fastify({ logger })
  t.teardown(() => app.close())
  const tenants = {
    health: async () => ({ central, cache, events, provisioning, connections }),
    figures: async () => {
      onFigures()
      return figures
    },
    connectionInfo: () => connections,
    identify: identify ?? (async request => (request.headers['hrms-client-id'] as TenantId | undefined) ?? null),
    probe: async () => probe,
  } satisfies Partial<Tenants>
  await app.register(withTenants(tenants))
  await app.register(health, { background: false, details: ({ headers }) => headers.authorization === token })
  return app
}

t.test('a loop that stood still is degraded, and logged', async t => {
  const lines: string[] = []
  const here = await app(t, {}, { stream: { write: (line: string) => void lines.push(line) } })
  await new Promise(resolve => setTimeout(resolve, 600))
  const end = performance.now() + 1700
  while (performance.now() < end);
  await new Promise(resolve => setTimeout(resolve, 20))
  const response = await here.inject(detailed)
  t.equal(response.statusCode, 200)
  const { status, checks } = response.json()
  t.equal(status, 'degraded')
  t.match(checks.eventLoop, { status: 'down', detail: /^stalled for \d\.\d s, \d+ s ago$/ })
  t.match(lines.join(''), /"ms":\d{4}.*the event loop was blocked/)
  t.equal((await here.inject('/api/health/ready')).statusCode, 200, 'it answers again')
})

const token = 'Bearer of the detail'
const detailed = { url: '/api/health', headers: { authorization: token } }
const named = { url: '/api/health', headers: { 'hrms-client-id': 'acme' } }

t.test('everything up is healthy', async t => {
  const response = await (await app(t)).inject(detailed)
  t.equal(response.statusCode, 200)
  t.match(response.json(), {
    status: 'healthy',
    checks: { database: { status: 'up', latencyMs: 1.5 }, redis: { status: 'up' }, nats: { status: 'up' } },
    outbox: { waiting: 1, oldestSeconds: 3.5, refused: 0 },
    consumers: [
      { durable: 'tenants-employee', pending: 5, ackPending: 1, redelivered: 0 },
      { durable: 'ledger-employee', missing: true },
    ],
    deadEvents: 4,
    parkedEvents: 1,
    registry: { tenants: [{ lifecycle: 'active', provisioned: 'ready', count: 7 }], schemaBehind: 2 },
    spares: 3,
    disk: { centralDatabaseBytes: 9_000_000, free: 'unknown' },
    connections: counters,
  })
  t.equal(response.headers['cache-control'], 'no-store')
})

t.test('an unknown figure is left out, not zero', async t => {
  const response = await (await app(t, { figures: { stored: null, consumers: null, moveSlotBytes: {} } })).inject(
    detailed,
  )
  t.equal(response.statusCode, 200)
  const body = response.json()
  for (const part of ['outbox', 'consumers', 'registry', 'deadEvents', 'spares', 'disk']) t.notOk(part in body, part)
})

t.test('Redis or NATS down is degraded and still 200', async t => {
  for (const state of [{ cache: down }, { events: down }, { provisioning: down }, { cache: down, events: down }]) {
    const response = await (await app(t, state)).inject('/api/health')
    t.equal(response.statusCode, 200)
    t.equal(response.json().status, 'degraded')
  }
})

t.test('a part that is not configured is not missing', async t => {
  t.equal((await (await app(t, { cache: off, events: off })).inject('/api/health')).json().status, 'healthy')
})

t.test('the central database down is unhealthy', async t => {
  const response = await (await app(t, { central: down })).inject(detailed)
  t.equal(response.statusCode, 503)
  t.match(response.json(), { status: 'unhealthy', checks: { database: down } })
})

t.test('without a token it answers statuses and nothing else, and counts nothing', async t => {
  let counts = 0
  const here = await app(t, { cache: down, events: off, probe: 'busy', onFigures: () => counts++ })
  const parts = {
    database: { status: 'up' },
    redis: { status: 'down' },
    nats: { status: 'off' },
    provisioning: { status: 'up' },
    eventLoop: { status: 'up' },
  }
  for (const authorization of [undefined, 'Bearer other', token.toUpperCase(), '']) {
    const headers = authorization === undefined ? {} : { authorization }
    for (const remoteAddress of ['127.0.0.1', '::1', '192.0.2.1']) {
      const { timestamp, ...body } = (await here.inject({ url: '/api/health', headers, remoteAddress })).json()
      t.same(body, { status: 'degraded', checks: parts })
      t.equal(new Date(timestamp).toISOString(), timestamp)
    }
    const response = await here.inject({ ...named, headers: { ...named.headers, ...headers } })
    t.equal(response.statusCode, 503)
    t.same(response.json().tenant, { status: 'busy' }, 'not the id that a host name stands for')
  }
  t.equal(counts, 0)
  t.match((await here.inject(detailed)).json(), { checks: { redis: down }, connections: counters })
  t.equal(counts, 1)
})

t.test('without the option the detail is never sent', async t => {
  const alone = Fastify()
  t.teardown(() => alone.close())
  await alone.register(
    withTenants({
      health: async () => ({ central: up, cache: off, events: off, provisioning: up, connections }),
      figures: async () => counted,
      identify: async () => null,
      connectionInfo: () => connections,
    }),
  )
  await alone.register(health, { background: false })
  const body = (await alone.inject(detailed)).json()
  t.same(Object.keys(body).sort(), ['checks', 'status', 'timestamp'])
  t.same(body.checks.database, { status: 'up' })
})

t.test('no tenant is named except the one that was asked for', async t => {
  t.notMatch((await (await app(t)).inject(detailed)).body, /acme/)
})

t.test('a named tenant gets its status, and the code that fits it', async t => {
  const words: [TenantProbe, number][] = [
    ['ready', 200],
    ['suspended', 200],
    ['provisioning', 503],
    ['failed', 503],
    ['outdated', 503],
    ['unavailable', 503],
    ['busy', 503],
    ['unknown', 503],
  ]
  for (const [probe, statusCode] of words) {
    const response = await (await app(t, { probe })).inject(named)
    t.equal(response.statusCode, statusCode, probe)
    t.match(response.json(), { status: 'healthy', checks: {}, tenant: { status: probe } })
    const detail = await (await app(t, { probe })).inject({
      ...named,
      headers: { ...named.headers, authorization: token },
    })
    t.equal(detail.statusCode, statusCode)
    t.match(detail.json(), { tenant: { id: 'acme', status: probe } })
  }
})

t.test('an unknown tenant is 404', async t => {
  const response = await (await app(t, { probe: 'not_found' })).inject(named)
  t.equal(response.statusCode, 404)
  t.equal(response.json().code, 'TENANT_NOT_FOUND')
})

t.test('a malformed tenant is 400', async t => {
  const identify = async () => {
    throw new TenantIdInvalid()
  }
  t.equal((await (await app(t, { identify })).inject(named)).statusCode, 400)
})

t.test('a failed lookup of a tenant is an answer about health all the same', async t => {
  const identify = async () => {
    throw new TenantLookupFailed()
  }
  const response = await (await app(t, { central: down, identify })).inject(named)
  t.equal(response.statusCode, 503)
  t.match(response.json(), { status: 'unhealthy', tenant: { status: 'unknown' } })
})

t.test('alive says nothing about dependencies', async t => {
  const response = await (await app(t, { central: down, cache: down, events: down })).inject('/api/health/live')
  t.equal(response.statusCode, 200)
  t.same(response.json(), { status: 'alive' })
})

t.test('ready is the central database and nothing else', async t => {
  const ready = await (await app(t, { cache: down, events: down })).inject('/api/health/ready')
  t.equal(ready.statusCode, 200)
  t.same(ready.json(), { status: 'ready' })
  const unavailable = await (await app(t, { central: down })).inject('/api/health/ready')
  t.equal(unavailable.statusCode, 503)
  t.same(unavailable.json(), { status: 'unavailable' })
})

t.test('after a signal it is not ready at once, and asks every client to connect elsewhere', async t => {
  const leaving = Fastify()
  t.teardown(() => leaving.close())
  await leaving.register(drain)
  await leaving.register(
    withTenants({
      health: async () => ({ central: up, cache: off, events: off, provisioning: up, connections }),
      connectionInfo: () => connections,
    }),
  )
  await leaving.register(health, { background: false })
  const before = await leaving.inject('/api/health/ready')
  t.equal(before.statusCode, 200)
  t.notOk(before.headers.connection === 'close')
  const noticed = leaving.drain(20)
  const during = await leaving.inject('/api/health/ready')
  t.equal(during.statusCode, 503)
  t.same(during.json(), { status: 'draining' })
  t.equal(during.headers.connection, 'close')
  t.equal((await leaving.inject('/api/health/live')).statusCode, 200, 'alive all the same')
  await noticed
})

t.test('a part that goes down and comes back is logged once each', async t => {
  const lines: string[] = []
  const app = Fastify({
    logger: { level: 'info', stream: { write: (line: string) => lines.push(JSON.parse(line).msg) } },
  })
  t.teardown(() => app.close())
  let cache = down
  let looks = 0
  const tenants = {
    health: async () => {
      looks++
      return { central: up, cache, events: off, provisioning: up, connections }
    },
  }
  const severalLooks = async () => {
    const before = looks
    await until('it has looked three times', () => looks >= before + 3)
  }
  await app.register(withTenants(tenants))
  await app.register(health, { interval: 50 })
  await app.ready()
  await severalLooks()
  cache = up
  await severalLooks()
  t.same(lines, ['redis is down', 'redis is back'])
})
