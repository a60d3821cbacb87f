// A tenancy for tests on a PostgreSQL that others use too: users and roles, tenants, and that nothing is left, however a run ends.
import Fastify, { type FastifyInstance } from 'fastify'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import {
  distributedTenant,
  type PublishedStep,
  subscribe,
  tenantClaim,
} from '../../plugins/distributed-tenant/index.js'
import tokens from '../../plugins/tokens/index.js'
import { startPostgres } from '../../stack/servers/postgres.js'
import { startTestTenancy, type TestTenancy, type TestTenancyOptions } from '../../testing/index.js'
import { startChild } from '../child.js'
import { fixture, notes } from '../rig.js'
import { until } from '../until.js'

const server = await startPostgres()
t.teardown(() => server.stop())
const { host, port, user, password } = server
const databaseUrl = `postgres://${user}:${password}@${host}:${port}/postgres`
const look = postgres({ host, port, user, password, database: 'postgres', max: 2, onnotice() {} })
t.teardown(() => look.end({ timeout: 1 }))

/** Databases and roles that are not PostgreSQL's own. */
async function everything(): Promise<string[]> {
  const rows = await look<{ name: string }[]>`
    select datname as name from pg_database where datname not in ('postgres', 'template0', 'template1')
    union all select rolname from pg_roles where rolname !~ '^pg_' and rolname <> 'postgres' order by 1`
  return rows.map(({ name }) => name)
}

const start = (more: Partial<TestTenancyOptions> = {}): Promise<TestTenancy> =>
  startTestTenancy({ service: 'billing', migrations: notes, databaseUrl, ...more })

async function started(t: Test, more?: Partial<TestTenancyOptions>): Promise<TestTenancy> {
  const tenancy = await start(more)
  t.teardown(() => tenancy.close())
  return tenancy
}

async function application(t: Test, tenancy: TestTenancy): Promise<FastifyInstance> {
  const app = Fastify({ pluginTimeout: 0 })
  t.teardown(() => app.close())
  await app.register(tokens, tenancy.tokens)
  await app.register(distributedTenant, { ...tenancy.options, authorizeTenant: tenantClaim() })
  app.get('/notes', { config: { tenant: 'required' } }, request => request.sql`select body from notes order by id`)
  app.get('/mine', { config: { tenant: 'required', roles: ['editor'] } }, async request => request.user)
  app.get('/slow', { config: { tenant: 'required' } }, request => request.sql`select pg_sleep(60)`)
  return app
}

t.test('users act for their own tenant, with their roles', async t => {
  const tenancy = await started(t)
  const app = await application(t, tenancy)
  const [acme, globex] = await Promise.all([tenancy.createTenant({ id: 'acme' }), tenancy.createTenant()])
  await acme.sql`insert into notes (body) values ('of acme')`

  t.same((await acme.user().inject(app, '/notes')).json(), [{ body: 'of acme' }])
  t.same((await globex.user().inject(app, '/notes')).json(), [])
  t.match((await acme.user().inject(app, '/mine')).json(), { statusCode: 403, code: 'ROLE_FORBIDDEN' })
  const editor = acme.user({ sub: 'ann', roles: ['editor'], department: 7 })
  t.match((await editor.inject(app, { url: '/mine' })).json(), { sub: 'ann', tenant: 'acme', department: 7 })
  const across = await editor.inject(app, { url: '/notes', headers: { 'HRMS-Client-ID': globex.id } })
  t.match(across.json(), { statusCode: 403, code: 'TENANT_FORBIDDEN' })
  t.match((await app.inject({ url: '/notes', headers: { 'hrms-client-id': 'acme' } })).json(), { statusCode: 401 })

  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const answer = await fetch(`${address}/mine`, { headers: editor.headers })
  t.match(await answer.json(), { sub: 'ann' })

  const other = await started(t)
  const stranger = (await other.createTenant({ id: 'acme' })).user({ roles: ['editor'] })
  t.match((await stranger.inject(app, '/mine')).json(), { statusCode: 401 }, 'another run signs with another key')
})

t.test('a tenant is purged without identity, by the test and by the application', async t => {
  const tenancy = await started(t)
  const app = await application(t, tenancy)
  const [acme, globex] = await Promise.all([tenancy.createTenant(), tenancy.createTenant()])
  await app.ready()
  await acme.remove()
  await app.tenants.remove(globex.id)
  t.match(await app.tenants.purge(globex.id), { provisioned: 'removed' })
  const { service } = app.tenants.connectionInfo()
  t.same(
    (await everything()).filter(name => name.startsWith('tenant_') && name.endsWith(`_${service}`)),
    [],
  )
  t.match((await acme.user().inject(app, '/notes')).json(), { statusCode: 404, code: 'TENANT_NOT_FOUND' })
  await t.rejects(acme.sql`select 1`, { code: 'TENANT_CLIENT_RELEASED' })
  await t.rejects(tenancy.createTenant({ id: acme.id }), { code: 'TENANT_ID_TAKEN' })
})

t.test('ids are judged as everywhere, and one that is taken is refused', async t => {
  const tenancy = await started(t)
  for (const id of ['Not_An_Id', '', 'a--b'])
    await t.rejects(tenancy.createTenant({ id }), { code: 'TENANT_ID_INVALID' })
  await t.rejects(tenancy.createTenant({ id: 'admin' }), { code: 'TENANT_ID_RESERVED' })
  const twice = await Promise.allSettled([tenancy.createTenant({ id: 'acme' }), tenancy.createTenant({ id: 'acme' })])
  t.match(twice, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'TENANT_ID_TAKEN' } }])
  await t.rejects(tenancy.createTenant({ id: 'acme' }), { code: 'TENANT_ID_TAKEN' })
  const suspended = await tenancy.createTenant({ lifecycle: 'suspended' })
  const app = await application(t, tenancy)
  t.match((await suspended.user().inject(app, '/notes')).json(), { statusCode: 403, code: 'TENANT_SUSPENDED' })
})

t.test('a start that cannot be says why, without the password, and leaves nothing', async t => {
  const before = await everything()
  const refused = (more: Partial<TestTenancyOptions>): Promise<Error & { code?: string }> =>
    start(more).then(
      async tenancy => {
        await tenancy.close()
        return new Error('it started')
      },
      error => error,
    )
  const wrong = await refused({ databaseUrl: databaseUrl.replace(password, 'not-the-password') })
  t.match(wrong, {
    code: 'CONFIGURATION_INVALID',
    message: /127\.0\.0\.1:\d+ cannot be used as postgres.*TEST_DATABASE_URL/,
  })
  t.notMatch(String(wrong), /not-the-password/)
  for (const url of ['mysql://a:secret@b', 'postgres://', 'secret', 'postgres://a:secret@b/c?sslmode=verify-full']) {
    const error = await refused({ databaseUrl: url })
    t.match(error, { code: 'CONFIGURATION_INVALID' }, url)
    t.notMatch(error.message, /secret@/)
  }
  await look`create role plain login password 'plain'`
  const plain = await refused({ databaseUrl: databaseUrl.replace(`${user}:${password}`, 'plain:plain') })
  await look`drop role plain`
  t.match(plain, { code: 'CONFIGURATION_INVALID', message: /plain is no superuser/ })
  t.match(await refused({ migrations: '/there/is/none' }), {
    code: 'MIGRATION_INVALID',
    message: /\/there\/is\/none.*ENOENT/,
  })
  t.match(await refused({ migrations: fixture('broken') }), {
    code: 'MIGRATION_FAILED',
    message: /migration 2 \(broken\) failed: .*no_such_table/,
  })
  t.match(await refused({ service: 'Not A Name' }), { code: 'CONFIGURATION_INVALID' })
  t.same(await everything(), before)
})

t.test('a tenant is one of the databases that were made ahead, and the rest of them go with the run', async t => {
  const before = await everything()
  const made: string[] = []
  const taken: string[] = []
  const stop = subscribe(
    (step: PublishedStep) => {
      if (step.area !== 'spare') return
      if (step.event.type === 'made') made.push(`${step.event.name}`)
      if (step.event.type === 'taken') taken.push(`${step.event.id}`)
    },
    undefined,
    ['spare'],
  )
  t.teardown(stop)
  const tenancy = await start()
  await until('a database is made ahead', () => made.length > 0)
  const { id, sql } = await tenancy.createTenant()
  t.same(taken, [id])
  t.same(await sql`select body from notes`, [], 'with the schema')
  await tenancy.close()
  t.same(await everything(), before)
})

t.test('two at a time share nothing, and each takes away its own alone', async t => {
  const before = await everything()
  const [first, second] = await Promise.all([start(), start()])
  const [one, other] = await Promise.all([first.createTenant({ id: 'acme' }), second.createTenant({ id: 'acme' })])
  await one.sql`insert into notes (body) values ('of the first')`
  await first.close()
  t.same(await other.sql`select body from notes`, [])
  const third = await start()
  t.equal((await other.sql`select 1 as one`)[0]?.one, 1, 'a start leaves a run alone that lives')
  await third.close()
  await second.close()
  t.same(await everything(), before)
})

t.test(
  'close in use ends queries and creations with an error, twice is once, and an open application may follow',
  async t => {
    const before = await everything()
    const tenancy = await start()
    const app = await application(t, tenancy)
    const acme = await tenancy.createTenant()
    const running = [
      acme
        .user()
        .inject(app, '/slow')
        .then(({ statusCode }) => statusCode),
      acme.sql`select pg_sleep(60)`.then(
        () => 200,
        error => error.code,
      ),
    ]
    await until('both queries run', async () => {
      const [row] =
        await look`select count(*)::int as running from pg_stat_activity where query like 'select pg_sleep(60)%'`
      return row?.running === 2
    })
    const making = tenancy.createTenant().then(
      () => 'made',
      () => 'refused',
    )
    await Promise.all([tenancy.close(), tenancy.close()])
    await tenancy.close()
    t.same(await Promise.all(running), [503, 'TENANT_CLIENT_RELEASED'])
    t.match(await making, /made|refused/, 'it has ended')
    await t.rejects(tenancy.createTenant(), { code: 'CONFIGURATION_INVALID', message: /closed/ })
    t.same(await everything(), before)
    await app.close()
  },
)

t.test('the next run drops what a killed one has left, and nothing else', async t => {
  const before = await everything()
  // As like a run's as can be, without its mark; and a mark that names another service.
  await look`create role othertst_service`
  await look`create role strangers_service`
  await look`comment on role strangers_service is 'distributed-tenant:testing:v1 {"service":"another"}'`
  await look`create database othertst_central owner othertst_service`
  const others = await everything()
  const child = startChild(t, ['dist/test/testing/left-open.js'], { ...process.env, TEST_DATABASE_URL: databaseUrl })
  await child.waitFor(/^made/m)
  t.ok((await everything()).length > others.length)
  await child.stop('SIGKILL')

  await until('its session is gone', async () => {
    const [row] = await look`select count(*)::int as left from pg_locks where locktype = 'advisory'`
    return row?.left === 0
  })
  await (await start()).close()
  t.same(await everything(), others)
  await look`drop database othertst_central`
  await look`drop role othertst_service, strangers_service`
  t.same(await everything(), before)
})
