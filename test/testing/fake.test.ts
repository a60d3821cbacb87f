// The plugin without a server answers as the plugin does: the same requests, to both, get the same answers.
import Fastify, { type FastifyInstance, type FastifyPluginAsync, type InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { distributedTenant, fromHeader, fromPath } from '../../plugins/distributed-tenant/index.js'
import { startPostgres } from '../../stack/servers/postgres.js'
import { type FakeTenancyOptions, fakeTenancy, startTestTenancy } from '../../testing/index.js'
import { notes } from '../rig.js'

/** A client that answers every query with its own text. */
const sql = async (parts: TemplateStringsArray) => [{ text: parts.join('') }]

const routes: FastifyPluginAsync = async app => {
  const works = async (request: { tenant: { id: string; name: string }; tenantId: string; sql: unknown }) => {
    const { id, name } = request.tenant
    return { id, name, again: request.tenantId, sql: typeof request.sql }
  }
  app.get('/required', { config: { tenant: 'required' } }, works)
  app.get('/optional', works)
  app.get('/untouched', async () => 'served')
  app.get('/without', { config: { tenant: false } }, works)
  app.get('/without/untouched', { config: { tenant: false } }, async () => 'served')
  app.register(async scope => void scope.get('/:tenant/path', works), { tenant: 'required', identifyBy: fromPath() })
}

const tenants = [
  { id: 'acme', name: 'Acme', domain: 'acme.example.com', settings: { plan: 'gold' } },
  { id: 'paused', lifecycle: 'suspended' },
  { id: 'closed' },
] as const

const options = {
  authorizeTenant: (request: { headers: Record<string, unknown> }) => request.headers['x-refuse'] === undefined,
}

async function fake(t: Test, more: Partial<FakeTenancyOptions> = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fakeTenancy, { tenants: tenants.map(tenant => ({ ...tenant, sql })), ...options, ...more })
  await app.register(routes)
  return app
}

const named = (id: string, more: object = {}) => ({ headers: { 'hrms-client-id': id, ...more } })
const requests: Record<string, Partial<InjectOptions>> = {
  'no tenant': {},
  'a tenant': named('acme'),
  'its domain': { headers: { host: 'acme.example.com' } },
  'two tenants': named('closed', { host: 'acme.example.com' }),
  'an unknown one': named('unknown'),
  'a malformed one': named('Not_An_Id'),
  'a suspended one': named('paused'),
  'one that authorizeTenant refuses': named('acme', { 'x-refuse': '1' }),
}
const urls = [
  '/required',
  '/optional',
  '/untouched',
  '/without',
  '/without/untouched',
  '/acme/path',
  '/paused/path',
  '/none',
]

t.test('the same answers as the plugin on a server', async t => {
  const { host, port, user, password, stop } = await startPostgres()
  t.teardown(stop)
  const databaseUrl = `postgres://${user}:${password}@${host}:${port}/postgres`
  const tenancy = await startTestTenancy({ service: 'fake', migrations: notes, databaseUrl })
  t.teardown(() => tenancy.close())
  for (const tenant of tenants) await tenancy.createTenant(tenant)
  const real = Fastify({ pluginTimeout: 0 })
  t.teardown(() => real.close())
  await real.register(distributedTenant, { ...tenancy.options, ...options })
  await real.register(routes)
  const app = await fake(t)

  for (const url of urls) {
    for (const [name, request] of Object.entries(requests)) {
      const [expected, found] = await Promise.all([real, app].map(one => one.inject({ url, ...request })))
      const { statusCode, body, headers } = expected as { statusCode: number; body: string; headers: object }
      t.match(found, { statusCode, body }, `${url} with ${name}: ${statusCode}`)
      const { vary, 'cache-control': cache } = headers as Record<string, string | undefined>
      t.match({ vary, cache }, { vary: found?.headers.vary, cache: found?.headers['cache-control'] })
    }
  }
})

t.test('what handlers get is the test’s own', async t => {
  const app = await fake(t, { central: 'a client', identifyBy: fromHeader('x-tenant'), header: 'x-tenant' })
  app.get('/row', { config: { tenant: 'required' } }, async request => ({
    rows: await request.sql`select 1`,
    settings: request.tenant.settings,
  }))
  const { body } = await app.inject({ url: '/row', headers: { 'x-tenant': 'acme' } })
  t.same(JSON.parse(body), { rows: [{ text: 'select 1' }], settings: { plan: 'gold' } })
  t.match((await app.inject('/row')).json(), { code: 'TENANT_REQUIRED', message: /send the x-tenant header/ })
  t.equal(app.central, 'a client')
})

t.test('work outside of requests runs by the same client; the rest is refused by name', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fakeTenancy, {
    tenants: [
      { id: 'acme', sql },
      { id: 'new', sql, provisioned: 'pending' },
    ],
  })
  const current = app.tenants.follow()
  t.equal(
    await app.tenants.run('acme', ({ tenant, sql: given }) => given === sql && current() === sql && tenant.id),
    'acme',
  )
  await t.rejects(
    app.tenants.run('new', () => 1),
    { code: 'TENANT_PROVISIONING' },
  )
  await t.rejects(
    app.tenants.run('unknown', () => 1),
    { code: 'TENANT_NOT_FOUND' },
  )
  t.throws(() => app.tenants.create({ name: 'x' }), {
    code: 'CONFIGURATION_INVALID',
    message: /tenants\.create.*startTestTenancy/,
  })
})

t.test('a state of a tenant that does not exist is refused', async t => {
  for (const state of [{ lifecycle: 'actve' }, { lifecycle: null }, { provisioned: 'redy' }]) {
    const tenants = [{ id: 'acme', sql: {}, ...state }] as unknown as FakeTenancyOptions['tenants']
    await t.rejects(async () => Fastify().register(fakeTenancy, { tenants }), {
      code: 'CONFIGURATION_INVALID',
      message: /of (the tenant acme|a tenant of fakeTenancy)/,
    })
  }
})

t.test('bad options are refused', async t => {
  const register = async (tenants: FakeTenancyOptions['tenants']) => {
    await Fastify().register(fakeTenancy, { tenants })
  }
  for (const none of [undefined, null, 'acme', [null]] as never[])
    await t.rejects(register(none), { code: 'CONFIGURATION_INVALID', message: /tenants of fakeTenancy must be a list/ })
  await t.rejects(register([{ id: 'Not_An_Id', sql }]), { code: 'TENANT_ID_INVALID' })
  await t.rejects(register([{ id: 'acme', sql, domain: 'Shop.example' }]), { message: /in lower case: shop\.example/ })
  const domain = 'shop.example'
  await t.rejects(
    register([
      { id: 'acme', sql, domain },
      { id: 'globex', sql, domain },
    ]),
    { code: 'CONFIGURATION_INVALID', message: /acme and globex have one domain/ },
  )
  await t.rejects(
    register([
      { id: 'acme', sql },
      { id: 'acme', sql },
    ]),
    { code: 'CONFIGURATION_INVALID' },
  )
})
