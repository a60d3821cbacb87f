// The sources of a request's tenant beside header and host: the path, a verified claim, a function of the
// application; for a scope or a route; and a host that a proxy forwards.
import Fastify from 'fastify'
import t from 'tap'
import {
  distributedTenant,
  fromClaim,
  fromHeader,
  fromPath,
  fromSubdomain,
  type PublishedStep,
  subscribe,
  tenantClaim,
} from '../../../../plugins/distributed-tenant/index.js'
import { rig } from '../../../rig.js'

const need = { config: { tenant: 'required' } } as const

t.test('sources of a tenant', async t => {
  const { app: build, database } = await rig(t, ['employee'])
  const id = async (request: { tenant: { id: string } }) => ({ id: request.tenant.id })

  await t.test('by path, for a scope and for a route, against the plugin’s own', async t => {
    const app = await build('employee', {}, app => {
      app.get('/plain', need, id)
      app.register(async scope => void scope.get('/:tenant/orders/:order', id), {
        prefix: '/of',
        tenant: 'required',
        identifyBy: [fromPath(), fromHeader('HRMS-Client-ID')],
      })
      app.get('/own/:org', { config: { tenant: 'required', identifyBy: fromPath('org') } }, id)
      app.get('/asked/:tenant', { config: { tenant: false, identifyBy: fromPath() } }, async request => ({
        id: await app.tenants.identify(request),
      }))
    })
    for (const tenant of ['acme', 'globex']) await app.tenants.create({ id: tenant, name: tenant })
    const ask = async (url: string, tenant?: string) =>
      (await app.inject({ url, headers: tenant ? { 'hrms-client-id': tenant } : {} })).json()

    t.match(await ask('/of/acme/orders/1'), { id: 'acme' })
    t.match(await ask('/of/acme/orders/1?tenant=globex'), { id: 'acme' })
    t.match(await ask('/of/acme/orders/globex', 'acme'), { id: 'acme' })
    t.match(await ask('/of/acme/orders/1', 'globex'), { statusCode: 400, code: 'TENANT_CONFLICT' })
    t.match(await ask('/of/unknown/orders/1'), { statusCode: 404, code: 'TENANT_NOT_FOUND' })
    t.match(await ask('/own/globex'), { id: 'globex' })
    t.match(await ask('/own/globex', 'acme'), { id: 'globex' }, 'a route that reads the path alone')
    t.match(await ask('/plain', 'acme'), { id: 'acme' })
    t.match(await ask('/plain'), { code: 'TENANT_REQUIRED' })
    t.match(await ask('/asked/globex'), { id: 'globex' })
    for (const bad of ['ACME', '..%2facme', '%61cme', 'acm%65', 'a_b', 'acme%00']) {
      t.match(await ask(`/of/${bad}/orders/1`), { statusCode: 400 }, bad)
      t.match(await ask(`/own/${bad}`), { statusCode: 400 }, bad)
    }
    t.equal(app.tenants.connectionInfo().open, 0)
  })

  await t.test('a verified claim overrules nothing and is overruled by nothing', async t => {
    const app = await build(
      'employee',
      {
        identifyBy: [
          fromHeader('HRMS-Client-ID'),
          fromSubdomain('hrms.example.com'),
          fromClaim('org'),
          fromClaim('team'),
        ],
        authorizeTenant: tenantClaim({ claim: 'org' }),
      },
      app => {
        app.get('/need', need, id)
      },
      async app => {
        // Stands for any verifier; these tests are about the steps after it.
        app.addHook('onRequest', async request => {
          const output = request.headers['x-claims']
          if (typeof output === 'string') Object.assign(request, { user: JSON.parse(output) })
        })
      },
    )
    const seen: PublishedStep[] = []
    t.teardown(subscribe(step => seen.push(step), undefined, ['access']))
    const ask = async (user: unknown, headers: Record<string, string> = {}) =>
      (
        await app.inject({
          url: '/need',
          headers: { ...headers, ...(user !== undefined && { 'x-claims': JSON.stringify(user) }) },
        })
      ).json()
    const header = { 'hrms-client-id': 'acme' }

    t.match(await ask({ org: 'acme' }), { id: 'acme' })
    t.match(await ask({ org: 'acme' }, header), { id: 'acme' })
    t.match(await ask({ org: 'acme', team: 'acme' }, { ...header, host: 'acme.hrms.example.com' }), { id: 'acme' })
    t.equal(seen.length, 0)
    t.match(await ask({ org: 'globex' }, header), { statusCode: 403, code: 'TENANT_FORBIDDEN' })
    t.match(await ask({ org: 'globex' }, { host: 'acme.hrms.example.com' }), { code: 'TENANT_FORBIDDEN' })
    t.match(await ask({ org: 'acme', team: 'globex' }), { code: 'TENANT_FORBIDDEN' })
    t.match(await ask({}, header), { code: 'TENANT_FORBIDDEN' })
    t.same(
      seen.map(({ event }) => (event as { error: { code: string } }).error.code),
      Array(4).fill('TENANT_FORBIDDEN'),
      'and each source is named',
    )
    t.match(await ask({ org: 'acme' }, { ...header, host: 'globex.hrms.example.com' }), {
      statusCode: 400,
      code: 'TENANT_CONFLICT',
    })
    t.match(await ask(undefined, header), { statusCode: 401, code: 'UNAUTHENTICATED' })
    t.match(await ask(undefined), { statusCode: 400, code: 'TENANT_REQUIRED' })
    const inherited = JSON.parse('{"__proto__":{"org":"acme"}}')
    t.match(await ask(inherited, header), { code: 'TENANT_FORBIDDEN' })
    t.equal(app.tenants.connectionInfo().open, 0)
  })

  await t.test('a function of the application, that may be slow or throw', async t => {
    const own = async (request: { query: unknown }) => {
      const { of } = request.query as { of?: string }
      if (of === 'throw') throw Object.assign(new Error('no'), { statusCode: 418 })
      return of === undefined ? null : { id: of }
    }
    const app = await build('employee', { identifyBy: own }, app => app.get('/need', need, id))
    t.match((await app.inject('/need?of=acme')).json(), { id: 'acme' })
    t.match((await app.inject('/need')).json(), { code: 'TENANT_REQUIRED' })
    t.match((await app.inject('/need?of=A')).json(), { code: 'TENANT_ID_INVALID' })
    t.equal((await app.inject('/need?of=throw')).statusCode, 418)
  })

  await t.test('a forwarded host counts from a trusted proxy alone, and only one', async t => {
    const make = async (trustProxy: string | false, fastify = Fastify) => {
      const app = fastify({ trustProxy })
      t.teardown(() => app.close())
      const options = { service: 'employee', database: database('employee'), nats: null, redis: null, source: false }
      await app.register(distributedTenant, { ...options, baseDomain: 'hrms.example.com' })
      app.get('/need', need, id)
      return async (headers: Record<string, string | string[]>) =>
        (
          await app.inject({ url: '/need', headers: headers as Record<string, string>, remoteAddress: '127.0.0.1' })
        ).json()
    }
    const forwarded = { host: 'acme.hrms.example.com', 'x-forwarded-host': 'globex.hrms.example.com' }
    const list = { host: 'acme.hrms.example.com', 'x-forwarded-host': 'evil.example.com, globex.hrms.example.com' }

    // Before 5.8.4 any client's header counted as soon as some proxy was trusted.
    const oldest = (await import('fastify-oldest')).default as unknown as typeof Fastify
    for (const untrusting of [await make(false), await make('10.0.0.1'), await make('10.0.0.1', oldest)])
      t.match(await untrusting(forwarded), { id: 'acme' })
    t.match(await (await make(false))(list), { id: 'acme' }, 'the header is ignored')
    const trusting = await make('127.0.0.1')
    t.match(await trusting(forwarded), { id: 'globex' })
    t.match(await trusting(list), { statusCode: 400, code: 'HOST_INVALID' })
    t.match(await trusting({ ...forwarded, 'x-forwarded-host': 'victim@globex.hrms.example.com' }), {
      code: 'HOST_INVALID',
    })
  })

  await t.test('the start refuses every proxy trusted with the host believed, unless an option allows it', async t => {
    const start = async (options: object) => {
      const app = Fastify({ trustProxy: true })
      t.teardown(() => app.close())
      const own = { service: 'employee', database: database('employee'), nats: null, redis: null, source: false }
      await app.register(distributedTenant, { ...own, ...options })
    }
    await t.rejects(start({}), { code: 'CONFIGURATION_INVALID', message: /trustProxy: true.*trustAllProxies/ })
    await start({ trustAllProxies: true })
    await start({ identifyBy: fromHeader('HRMS-Client-ID') })
  })

  await t.test('no cache before the client may mix tenants', async t => {
    const app = await build('employee', {}, app => {
      app.get('/need', need, id)
      app.get('/free', { config: { tenant: false } }, async () => 'free')
      app.get('/own', need, async (_request, reply) => reply.header('cache-control', 'private, max-age=5').send({}))
    })
    const headers = { 'hrms-client-id': 'acme' }
    const answer = await app.inject({ url: '/need', headers })
    t.equal(answer.headers['cache-control'], 'private, no-store')
    t.equal(answer.headers.vary, 'Host, HRMS-Client-ID, Authorization')
    t.equal((await app.inject('/need')).headers['cache-control'], 'private, no-store', 'refusals neither')
    t.equal((await app.inject('/free')).headers['cache-control'], undefined)
    t.equal((await app.inject({ url: '/own', headers })).headers['cache-control'], 'private, max-age=5')
  })
})
