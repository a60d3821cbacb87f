// Row 52 of the attack table: the plugin where it does not belong, and the tenant where there is none. Every misuse
// ends in a start that fails or in an error of the request: never in a default tenant, never in the central
// database.
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import { distributedTenant, fromHeader } from '../../plugins/distributed-tenant/index.js'
import { codeOf, nothingUncaught } from '../postgres/stand.js'
import { notes, rig, roleSecret } from '../rig.js'
import { until } from '../until.js'

t.test('row 52: the plugin used wrongly', async t => {
  nothingUncaught(t)
  const { app: build, database, look } = await rig(t, ['employee'])
  const options = {
    service: 'employee',
    database: database('employee'),
    migrations: { tenant: notes },
    nats: null,
    redis: null,
    source: false,
    roleSecret,
    spares: 0,
  }
  const whole = await build('employee')
  await whole.tenants.create({ id: 'acme', name: 'Acme' })
  await whole.tenants.run('acme', ({ sql }) => sql`insert into notes (body) values ('of acme')`)
  const bare = () => {
    const app = Fastify()
    t.teardown(() => app.close())
    return app
  }
  const asAcme = { 'hrms-client-id': 'acme' }
  const touch = async (request: FastifyRequest) => ({ rows: await request.sql`select body from notes` })
  const connections = async () =>
    Number(
      (
        await look(
          'employee',
        )`select count(*) from pg_stat_activity where usename like 'employee%' or usename like 'tenant%'`
      )[0]?.count,
    )

  await t.test('registered twice it does not start, and leaves no connection', async t => {
    const before = await connections()
    for (const nest of [false, true]) {
      const app = bare()
      await app.register(distributedTenant, options)
      const again = nest
        ? app.register(async scope => void (await scope.register(distributedTenant, options)))
        : app.register(distributedTenant, options)
      const failure = await Promise.resolve(again).then(
        () => app.ready(),
        error => error,
      )
      t.match(failure, { code: 'CONFIGURATION_INVALID', message: /twice/ }, nest ? 'in a scope' : 'beside itself')
      await app.close().catch(() => {})
    }
    await until('the connections are closed', async () => (await connections()) <= before)
  })

  await t.test('in a scope of its own it serves that scope, and routes beside it have no tenant', async t => {
    const app = bare()
    app.register(async scope => {
      await scope.register(distributedTenant, options)
      scope.get('/inside', { config: { tenant: 'required' } }, touch)
    })
    app.get('/beside', { config: { tenant: 'required' } }, touch)
    await app.ready()
    t.match((await app.inject({ url: '/inside', headers: asAcme })).json(), { rows: [{ body: 'of acme' }] })
    t.match(await app.inject({ url: '/inside' }), { statusCode: 400 })
    const beside = await app.inject({ url: '/beside', headers: asAcme })
    t.equal(beside.statusCode, 500)
    t.notMatch(beside.body, /of acme/)
  })

  await t.test('behind routes it guards those beside it, and those in scopes before it', async t => {
    const app = bare()
    app.get('/before', { config: { tenant: 'required', identifyBy: fromHeader('X-Own') } }, touch)
    await app.register(
      async scope => {
        scope.get('/scoped', touch)
      },
      { tenant: 'required' },
    )
    await app.register(distributedTenant, options)
    await app.ready()
    t.match((await app.inject({ url: '/before', headers: { 'x-own': 'acme' } })).json(), {
      rows: [{ body: 'of acme' }],
    })
    t.match((await app.inject({ url: '/before', headers: asAcme })).json(), { code: 'TENANT_REQUIRED' })
    t.match((await app.inject({ url: '/before' })).json(), { code: 'TENANT_REQUIRED' })
    t.match((await app.inject({ url: '/scoped', headers: asAcme })).json(), { rows: [{ body: 'of acme' }] })
    t.match((await app.inject({ url: '/scoped', headers: { 'hrms-client-id': 'unknown' } })).json(), {
      statusCode: 404,
    })
    t.match((await app.inject({ url: '/scoped' })).json(), { statusCode: 400, code: 'TENANT_REQUIRED' })
  })

  await t.test('touched where there is no tenant it fails with the cause, and takes no connection', async t => {
    const seen: Record<string, unknown> = {}
    const look = (where: string, request: FastifyRequest) => {
      for (const what of ['tenant', 'tenantId', 'sql'] as const) {
        try {
          seen[`${where} ${what}`] = request[what] ? 'something' : 'nothing'
        } catch (error) {
          seen[`${where} ${what}`] = (error as { code?: string }).code
        }
      }
    }
    const app = await build(
      'employee',
      {},
      app => {
        app.setNotFoundHandler(async (request, reply) => {
          look('unknown', request)
          return reply.code(404).send()
        })
        app.get('/without', { config: { tenant: false } }, async request => look('without', request))
        app.get('/unnamed', async request => look('unnamed', request))
        app.register(async scope => scope.get('/in', async request => look('scope', request)), { tenant: false })
      },
      async app => {
        app.addHook('onRequest', async request => look('early', request))
      },
    )
    for (const url of ['/nowhere', '/without', '/in']) await app.inject({ url, headers: asAcme })
    await app.inject({ url: '/unnamed' })
    const expected = {
      early: 'CONTEXT_MISSING',
      unknown: 'CONTEXT_MISSING',
      without: 'CONTEXT_MISSING',
      scope: 'CONTEXT_MISSING',
      unnamed: 'REQUIRED',
    }
    t.same(
      seen,
      Object.fromEntries(
        Object.entries(expected).flatMap(([where, code]) =>
          ['tenant', 'tenantId', 'sql'].map(what => [`${where} ${what}`, `TENANT_${code}`]),
        ),
      ),
    )
    t.equal(app.tenants.connectionInfo().open, 0)
  })

  await t.test('touched after the response, in hooks on either side of it, it is dead', async t => {
    const outcomes: Promise<unknown>[] = []
    const late = (app: FastifyInstance) =>
      app.addHook('onResponse', async request => {
        outcomes.push(codeOf(request.sql`insert into notes (body) values ('late')`))
        outcomes.push(codeOf(request.sql.begin(sql => sql`insert into notes (body) values ('later')`)))
      })
    const app = await build(
      'employee',
      {},
      app => {
        late(app)
        app.get('/used', { config: { tenant: 'required' } }, touch)
        app.get('/unused', { config: { tenant: 'required' } }, async () => 'nothing asked')
      },
      async app => void late(app),
    )
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    for (const path of ['/used', '/unused']) {
      t.equal((await fetch(`http://127.0.0.1:${port}${path}`, { headers: asAcme })).status, 200)
      t.equal((await app.inject({ url: path, headers: asAcme })).statusCode, 200)
    }
    await until('all hooks have run', () => outcomes.length === 16)
    t.same([...new Set(await Promise.all(outcomes))], ['TENANT_CLIENT_RELEASED'])
    t.equal(app.tenants.connectionInfo().inUse, 0)
  })

  await t.test('outside of requests an unknown tenant is refused', async t => {
    for (const [id, code] of [
      ['unknown', 'TENANT_NOT_FOUND'],
      ['', 'TENANT_ID_INVALID'],
      ['ACME', 'TENANT_ID_INVALID'],
      ["acme'; drop table notes; --", 'TENANT_ID_INVALID'],
      ['postgres', 'TENANT_NOT_FOUND'],
    ] as const) {
      t.equal(await codeOf(whole.tenants.run(id, ({ sql }) => sql`select 1`)), code, id)
    }
    const kept = await whole.tenants.run('acme', async tenant => tenant)
    t.equal(await codeOf(kept.sql`select 1`), 'TENANT_CLIENT_RELEASED')
    const rows = await whole.tenants.run('acme', ({ sql }) => sql`select body from notes`)
    t.same([...rows], [{ body: 'of acme' }], 'and nothing was written by any of this')
  })
})
