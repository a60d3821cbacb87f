// Misspelt options and options of another kind, route settings and variables. The first and last need no server.
import Fastify from 'fastify'
import t from 'tap'
import { isOneLetterApart } from '../../../../plugins/distributed-tenant/config/spelling.js'
import {
  type DistributedTenantOptions,
  distributedTenant,
  type Identifier,
  type PublishedStep,
  subscribe,
} from '../../../../plugins/distributed-tenant/index.js'
import type { TenantPolicy } from '../../../../plugins/distributed-tenant/types.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('an option that does not exist is refused by name, before anything is opened', async t => {
  const wrong: [options: object, says: RegExp][] = [
    [{ migration: {} }, /no option migration: write migrations\./],
    [{ baseDomian: 'x.example' }, /no option baseDomian: write baseDomain\./],
    [{ colour: 1 }, /no option colour: see/],
    [{ migrations: { tenants: 'x' } }, /no option migrations\.tenants: write migrations\.tenant\./],
    [{ database: { hots: 'x' } }, /no option database\.hots: write database\.host\./],
    [{ outdatedTenants: 'refuze' }, /outdatedTenants must be 'serve' or 'refuse'/],
    [{ database: { ssl: 'required' } }, /database\.ssl must be/],
    // As from a variable of the environment: a text is true.
    [{ trustedGateway: 'false' }, /trustedGateway must be true or false, and is a string\./],
    [{ enabled: 'false' }, /enabled must be true or false/],
    [{ trustAllProxies: 1 }, /trustAllProxies must be true or false, and is a number/],
    [{ authorizeTenant: 'yes' }, /authorizeTenant must be a function, and is a string/],
    [{ onStatus: null }, /onStatus must be a function, and is null/],
    [{ acquireTimeout: '2000' }, /acquireTimeout must be a number, and is a string/],
    [{ acquireTimeout: 2 ** 31 }, /acquireTimeout must be at most 2,147,483,647 milliseconds/],
    [{ queryTimeout: Number.POSITIVE_INFINITY }, /queryTimeout must be a number of milliseconds above 0/],
    [{ idleTimeout: Number.NaN }, /idleTimeout must be a number of milliseconds/],
    [{ retention: Number.POSITIVE_INFINITY }, /retention must be/],
    [{ nats: ['nats://a'] }, /nats must be a string or null, and is a list/],
    [{ roleSecret: 17 }, /^The option roleSecret must be a string, and is a number\.$/],
    [{ database: { password: {} } }, /database\.password must be a string, and is an object/],
    [{ identity: { url: 'http://x', token: null } }, /identity\.token must be a string, and is null/],
    [
      { identifyBy: 'header' },
      /identifyBy must be a function such as fromHeader\(\), or a list of them, and has a string/,
    ],
    [{ identifyBy: [() => null, undefined] }, /identifyBy must be .* and has nothing/],
  ]
  for (const [options, message] of wrong) {
    const app = Fastify()
    const given = { service: 'employee', ...options } as DistributedTenantOptions
    await t.rejects(Promise.resolve(app.register(distributedTenant, given)), { code: 'CONFIGURATION_INVALID', message })
    await app.close().catch(() => {})
  }
})

t.test('a started application', async t => {
  const { app } = await rig(t, ['employee'])

  await t.test('refuses a route and a scope with another policy, by name', async t => {
    const policy = 'requird' as TenantPolicy
    await app('employee', {}, fastify => {
      t.throws(() => fastify.get('/a', { config: { tenant: policy } }, async () => 1), {
        code: 'CONFIGURATION_INVALID',
        message: /GET(,HEAD)? \/a is "requird": write 'required'/,
      })
      t.throws(() => fastify.get('/b', { config: { tenant: true as unknown as TenantPolicy } }, async () => 1), {
        message: /is true/,
      })
    })
    const identifyBy = 'header' as unknown as Identifier
    await app('employee', {}, fastify => {
      t.throws(() => fastify.get('/c', { config: { identifyBy } }, async () => 1), {
        code: 'CONFIGURATION_INVALID',
        message: /identifyBy of GET(,HEAD)? \/c must be a function/,
      })
    })
    const named = app('employee', {}, fastify => {
      fastify.register(async scope => void scope.get('/', async () => 1), { prefix: '/api', identifyBy })
    })
    await t.rejects(named, { code: 'CONFIGURATION_INVALID', message: /identifyBy of the scope \/api must be/ })
    const scoped = app('employee', {}, fastify => {
      fastify.register(async scope => void scope.get('/', async () => 1), { prefix: '/api', tenant: policy })
    })
    await t.rejects(scoped, { code: 'CONFIGURATION_INVALID', message: /scope \/api is "requird"/ })
  })

  await t.test('requires a tenant on a route that was there before the plugin and has another policy', async t => {
    const policy = 'requird' as TenantPolicy
    const fastify = await app('employee', {}, undefined, async early => {
      early.get('/early', { config: { tenant: policy } }, async () => 1)
    })
    t.match((await fastify.inject('/early')).json(), { code: 'TENANT_REQUIRED' })
  })

  await t.test('warns of a setting of a route or a scope that is one letter from a known one, once', async t => {
    const warnings: string[] = []
    const stop = subscribe(
      (step: PublishedStep) => step.area === 'start' && warnings.push(step.event.message),
      undefined,
      ['start'],
    )
    t.teardown(stop)
    await app('employee', {}, fastify => {
      const misspelt = { tennant: 'required', Token: false, mine: 1 }
      fastify.get('/a', { config: misspelt }, async () => 1)
      fastify.get('/b', { config: misspelt }, async () => 1)
      const options = { prefix: '/api', tenat: 'required', tenants: ['acme'] }
      fastify.register(async scope => void scope.get('/', async () => 1), options)
    })
    t.same(
      warnings.filter(one => one.startsWith('The setting')),
      [
        'The setting tennant of GET /a has no effect on tenants: is it tenant?',
        'The setting Token of GET /a has no effect on tenants: is it token?',
        'The setting tenat of the scope /api has no effect on tenants: is it tenant?',
      ],
    )
  })

  await t.test('warns of a variable that is one letter from a known one', async t => {
    process.env.DB_PASWORD = 'a canary'
    process.env.TENANT_SPARE = '1'
    t.teardown(() => {
      delete process.env.DB_PASWORD
      delete process.env.TENANT_SPARE
    })
    const warnings: string[] = []
    const stop = subscribe(
      (step: PublishedStep) => step.area === 'start' && warnings.push(step.event.message),
      undefined,
      ['start'],
    )
    t.teardown(stop)
    await app('employee')
    const all = warnings.join('\n')
    t.match(all, /DB_PASWORD is not known and has no effect: is it DB_PASSWORD\?/)
    t.match(all, /TENANT_SPARE is not known.*TENANT_SPARES/)
    t.notMatch(all, /canary/)
  })

  await t.test('calls onReady with the tenant’s client, one at a time, and goes on after a failure', async t => {
    const seen: string[] = []
    let running = 0
    const failures: PublishedStep[] = []
    t.teardown(subscribe(step => failures.push(step), undefined, ['provision']))
    const fastify = await app('employee', {}, early => {
      early.tenants.onReady(async ({ tenant, sql }) => {
        running++
        if (running > 1) seen.push('two at a time')
        await sql`insert into notes (body) values (${`hello ${tenant.name}`})`
        running--
        seen.push(tenant.id)
      })
      early.tenants.onReady(({ tenant }) => {
        if (tenant.id === 'acme') throw new Error('a failure of the application')
      })
    })
    await Promise.all(['acme', 'globex'].map(id => fastify.tenants.create({ id, name: id.toUpperCase() })))
    await until('both are seeded', () => seen.length === 2)
    t.same(seen.sort(), ['acme', 'globex'])
    t.match(await fastify.tenants.run('acme', async ({ sql }) => sql`select body from notes`), [{ body: 'hello ACME' }])
    const failed = await until('the failure is published', () =>
      failures.find(step => step.area === 'provision' && step.event.step === 'hook_failed'),
    )
    t.match(failed, { event: { id: 'acme', error: { message: 'a failure of the application' } } })
  })
})

t.test('one letter', async t => {
  for (const [a, b] of [
    ['DB_HOST', 'DB_HOTS'],
    ['DB_HOST', 'DB_HOSTS'],
    ['DB_HOST', 'DB_HST'],
    ['DB_HOST', 'DB_MOST'],
    ['DB_HOST', 'B_HOST'],
  ] as const) {
    t.ok(isOneLetterApart(a, b), `${a} ${b}`)
    t.ok(isOneLetterApart(b, a), `${b} ${a}`)
  }
  for (const [a, b] of [
    ['DB_HOST', 'DB_HOST'],
    ['DB_HOST', 'DB_PORT'],
    ['DB_HOST', 'PGHOST'],
    ['DB_HOST', 'DB_HSOTT'],
  ] as const)
    t.notOk(isOneLetterApart(a, b), `${a} ${b}`)
})
