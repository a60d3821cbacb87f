import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { type PublishedStep, subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { migrateFleet, rollBackRun } from '../../../../plugins/distributed-tenant/migration-runs/migrate.js'
import { fixture, notes, rig } from '../../../rig.js'
import { until } from '../../../until.js'

const serve = (app: FastifyInstance) => {
  app.get('/notes', { config: { tenant: 'required' } }, async ({ sql }) => sql`select body from notes`)
}

t.test('tenants whose schema is behind the release', async t => {
  const { app: build, tenancy, look, servers } = await rig(t, ['employee'])
  const newer = { migrations: { tenant: fixture('undoable') } }
  const older = await build('employee', { migrations: { tenant: notes } }, serve)
  for (const id of ['acme', 'globex']) await older.tenants.create({ id, name: id })
  const { fleet } = await tenancy('employee', newer)
  const serving = await build('employee', newer, serve)
  const refusing = await build('employee', { ...newer, outdatedTenants: 'refuse', redis: servers.redis.url }, serve)
  const ask = (app: FastifyInstance, id: string) => app.inject({ url: '/notes', headers: { 'hrms-client-id': id } })
  const status = async (app: FastifyInstance, id: string) => (await ask(app, id)).statusCode

  await t.test('are served by default', async t => {
    t.equal(await status(serving, 'acme'), 200)
    t.equal(await serving.tenants.probe('acme'), 'ready')
  })

  await t.test('are refused where the policy says so, with the cure and before any connection', async t => {
    let leases = 0
    const count = (seen: PublishedStep) => {
      if (seen.area === 'lease' && seen.pool === 'tenant') leases++
    }
    t.teardown(subscribe(count, refusing.tenants.origin, ['lease']))
    const answer = await ask(refusing, 'acme')
    t.equal(answer.statusCode, 503)
    t.match(answer.json(), { code: 'TENANT_SCHEMA_OUTDATED', message: /run `distributed-tenant migrate`/ })
    t.equal(answer.headers['retry-after'], '10')
    t.equal(await refusing.tenants.probe('acme'), 'outdated')
    await t.rejects(
      refusing.tenants.run('acme', async ({ sql }) => sql`select 1`),
      { code: 'TENANT_SCHEMA_OUTDATED' },
    )
    t.equal(leases, 0)
    t.equal(refusing.tenants.connectionInfo().opened, 0)
  })

  await t.test('are served again soon after their own migration, and the others are not', async t => {
    await migrateFleet(fleet, { only: ['acme'] })
    await until('acme is served', async () => (await status(refusing, 'acme')) === 200)
    t.equal(await status(refusing, 'globex'), 503)
    t.equal(await status(serving, 'globex'), 200)
    t.equal(await status(older, 'acme'), 200, 'a schema ahead of the release is served')
  })

  await t.test('are refused again when their migration is undone', async () => {
    const { run } = await migrateFleet(fleet)
    await until('globex is served', async () => (await status(refusing, 'globex')) === 200)
    await rollBackRun(fleet, run?.id ?? '')
    await until('globex is refused', async () => (await status(refusing, 'globex')) === 503)
  })

  await t.test('are judged by their registry row alone, also one that never had a version', async t => {
    await look('employee', 'employee_central')`update tenants set schema_version = null where id = 'acme'`
    await until('acme is refused', async () => (await status(refusing, 'acme')) === 503)
    t.equal(await status(serving, 'acme'), 200)
  })
})
