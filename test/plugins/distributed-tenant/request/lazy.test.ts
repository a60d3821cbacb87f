// Without a query there is no connection; and the HTTP answers to a spent budget or a missing database.
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { nothingUncaught } from '../../../postgres/stand.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('a request', async t => {
  nothingUncaught(t)
  const { app: build, look } = await rig(t, ['employee'])
  const routes = (app: FastifyInstance): void => {
    app.get('/name', { config: { tenant: 'required' } }, request => {
      const { sql } = request
      sql`select never_awaited`
      return { id: request.tenantId, name: request.tenant.name }
    })
    app.get('/count', { config: { tenant: 'required' } }, request => request.sql`select count(*)::int as n from notes`)
    app.get('/slow', { config: { tenant: 'required' } }, request => request.sql`select pg_advisory_xact_lock(7)`)
    app.get('/run/:id', { config: { tenant: false } }, request => {
      const { id } = request.params as { id: string }
      return app.tenants.run(id, ({ sql }) => sql`select current_database() as name`)
    })
  }
  // A hundred lookups at once wait for few connections of the central database, on a slow machine for seconds.
  const app = await build('employee', { acquireTimeout: 60_000, queryTimeout: 60_000 }, routes)
  const ask = (url: string, id: string) => app.inject({ url, headers: { 'hrms-client-id': id } })
  const open = () => app.tenants.connectionInfo().open

  await t.test('without a query opens no connection, for a thousand tenants', async t => {
    await look('employee', 'employee_central')`
      insert into tenants (id, name, provisioned) select 't' || n, 'Tenant ' || n, 'ready' from generate_series(1, 1000) n`
    for (let at = 1; at <= 1_000; at += 100) {
      const replies = await Promise.all(Array.from({ length: 100 }, (_, more) => ask('/name', `t${at + more}`)))
      t.same([...new Set(replies.map(({ statusCode, body }) => (statusCode === 200 ? 200 : body)))], [200])
    }
    t.same([open(), app.tenants.connectionInfo().tenants], [0, {}])
  })
  await t.test('to a missing database is a 503 for that tenant, and creates none', async t => {
    const reply = await ask('/count', 't1')
    t.match(reply, { statusCode: 503, headers: { 'retry-after': '2' } })
    t.match(reply.json(), { statusCode: 503, code: 'TENANT_DATABASE_UNAVAILABLE' })
    t.notMatch(reply.body, /tenant_t1|3D000|does not exist/)
    t.equal((await look('employee')`select 1 from pg_database where datname like 'tenant_t1%'`).length, 0)
  })
  await t.test('that waited too long for the budget is a 503 with Retry-After', async t => {
    await app.tenants.create({ id: 'acme', name: 'Acme' })
    await app.tenants.create({ id: 'globex', name: 'Globex' })
    const spent = await build('employee', { maxConnections: 1, acquireTimeout: 1_000 }, routes)
    const ask = (url: string, id: string) => spent.inject({ url, headers: { 'hrms-client-id': id } })
    t.equal((await ask('/count', 'globex')).statusCode, 200)
    // For as long as the test holds what it waits for.
    const holder = look('employee', 'tenant_acme_employee')
    await holder`select pg_advisory_lock(7)`
    const slow = ask('/slow', 'acme')
    await until(() => spent.tenants.connectionInfo().inUse === 1)
    const started = performance.now()
    const reply = await ask('/count', 'globex')
    const took = performance.now() - started
    t.match(reply, { statusCode: 503, headers: { 'retry-after': '1' } })
    t.match(reply.json(), { code: 'TENANT_BUSY' })
    t.ok(took >= 995, `${Math.round(took)} ms`)
    await holder.end()
    t.equal((await slow).statusCode, 200)
    t.same((await ask('/count', 'globex')).json(), [{ n: 0 }])
  })
  await t.test('may work on a tenant through run, whose client is dead afterwards', async t => {
    t.same((await app.inject('/run/acme')).json(), [{ name: 'tenant_acme_employee' }])
    let kept: unknown
    await app.tenants.run('acme', ({ sql }) => {
      kept = sql
    })
    t.rejects((kept as typeof app.central)`select 1`, { code: 'TENANT_CLIENT_RELEASED' })
    await until(() => app.tenants.connectionInfo().inUse === 0)
  })
})
