import t from 'tap'
import { until } from '../../until.js'
import { admin, as, serviceRig } from '../rig.js'
import { reconcileSteps } from './steps.js'

const token = 'a-token-of-the-services'
const services = ['identity', 'employee'] as const

t.test('a deleted tenant', async t => {
  const { service, look, servers } = await serviceRig(t, services)
  const nats = servers.nats.url
  const identityOf = (retention: number, port: number) =>
    service(
      'identity',
      { nats, retention, reconcileInterval: 200 },
      { serviceTokens: [token], requiredServices: services },
    ).then(async app => ({ app, url: await app.listen({ port, host: '127.0.0.1' }) }))
  const keeping = await identityOf(3_600_000, 0)
  const { url } = keeping
  const employee = await service('employee', { nats, identity: { url, token }, reconcileInterval: 200 })
  const steps = reconcileSteps(t)
  const operator = admin(keeping.app, { prefer: 'wait=60' })
  const database = async (id: string, of: (typeof services)[number]) =>
    (await look(of)`select 1 from pg_database where datname = ${`tenant_${id}_${of}`}`).length === 1
  const passes = () => steps('employee').filter(event => event.type === 'pass').length
  const twoMore = async () => {
    const before = passes()
    await until('two more passes', () => passes() >= before + 2)
  }

  for (const id of ['acme', 'globex', 'hooli']) {
    const made = await operator('POST', '/api/tenants', { id, name: id })
    t.equal(made.statusCode, 201, made.body)
  }

  await t.test('is refused at once, and its connections are closed, idle ones and then those in use', async t => {
    t.equal((await as(employee, 'acme')('GET', '/api/employees')).statusCode, 200)
    let goOn = () => {}
    const held = new Promise<void>(resolve => {
      goOn = resolve
    })
    const connected = () => employee.tenants.connectionInfo().tenants.tenant_acme_employee?.open ?? 0
    const running = employee.tenants.run('acme', ({ sql }) =>
      sql.begin(async tx => {
        await held
        return tx`select 1 as one`
      }),
    )
    await until('in use', () => employee.tenants.connectionInfo().tenants.tenant_acme_employee?.inUse === 1)
    t.equal((await operator('DELETE', '/api/tenants/acme')).statusCode, 204)
    await until('refused', async () => (await as(employee, 'acme')('GET', '/api/employees')).statusCode === 404)
    await until('the idle one is closed', () => connected() === 1)
    goOn()
    t.match(await running, [{ one: 1 }], 'the running statement is finished')
    await until('the other one too', () => connected() === 0)
  })

  await t.test('keeps its database for the retention time, here and everywhere', async t => {
    await until('its end is known', async () => (await employee.tenants.find('acme'))?.purgeAfter !== null)
    await twoMore()
    for (const of of services) t.ok(await database('acme', of), of)
    await t.rejects(employee.tenants.purge('acme'), { code: 'TENANT_RETAINED', statusCode: 409 })
    await t.rejects(keeping.app.tenants.purge('acme'), { code: 'TENANT_RETAINED' })
    await t.rejects(employee.tenants.purge('globex'), { code: 'TENANT_RETAINED' }, 'nor one that is not deleted')
    await t.rejects(employee.tenants.purge('unknown'), { code: 'TENANT_NOT_FOUND' })
  })

  await t.test('is not dropped because of an event or a row, however due', async t => {
    const central = look('employee', 'employee_central')
    await central`update tenants set lifecycle = 'deleted', version = 99, purge_after = now() - interval '1 day'
      where id = 'globex'`
    await central`update tenants set purge_after = now() - interval '1 day' where id = 'acme'`
    await until('put back', async () => (await employee.tenants.find('globex'))?.lifecycle === 'active')
    await twoMore()
    t.ok(await database('globex', 'employee'))
    t.ok(await database('acme', 'employee'))
    t.equal((await as(employee, 'globex')('GET', '/api/employees')).statusCode, 200)
  })

  await t.test('is not dropped while identity cannot be asked', async t => {
    await keeping.app.close()
    await until('the failure is reported', () => steps('employee').some(({ type }) => type === 'identity_unreachable'))
    const central = look('employee', 'employee_central')
    await central`update tenants set purge_after = now() - interval '1 day' where id = 'acme'`
    await twoMore()
    t.ok(await database('acme', 'employee'))
    await t.rejects(employee.tenants.purge('acme'), { code: 'IDENTITY_UNAVAILABLE', statusCode: 503 })
    t.ok(await database('acme', 'employee'))
  })

  await t.test('is dropped in every service when the retention is over, and the ledger has the proof', async t => {
    await look('identity', 'identity_central')`
      update tenants set purge_after = now() - interval '1 second' where id = 'acme'`
    const { app } = await identityOf(0, Number(new URL(url).port))
    const call = admin(app)
    const proof = await until('removed', async () => {
      const tenant = (await call('GET', '/api/tenants/acme?lifecycle=deleted')).json()
      return tenant.status === 'removed' ? tenant : null
    })
    t.match(proof, {
      lifecycle: 'deleted',
      deletedAt: /Z$/,
      services: { identity: { status: 'removed' }, employee: { status: 'removed', lastError: null } },
    })
    for (const of of services) t.notOk(await database('acme', of), of)
    for (const of of services) {
      const [row] = await look(of, `${of}_central`)`select lifecycle, provisioned from tenants where id = 'acme'`
      t.match(row, { lifecycle: 'deleted', provisioned: 'removed' }, 'the row stays')
    }
    t.match(await employee.tenants.purge('acme'), { provisioned: 'removed' }, 'a second time changes nothing')
    const again = await call('POST', '/api/tenants', { id: 'acme', name: 'Again' })
    t.match(again.json(), { statusCode: 409, code: 'TENANT_ID_TAKEN' })

    await call('DELETE', '/api/tenants/hooli')
    await until('without retention at once', async () => !(await database('hooli', 'employee')))
    for (const of of services) t.ok(await database('globex', of), 'the others exist')
  })

  await t.test('whose database name belongs to a foreign database is not dropped', async t => {
    const central = look('employee', 'employee_central')
    await look('employee')`create database tenant_hooli_employee`
    await central`update tenants set provisioned = 'ready' where id = 'hooli'`
    await t.rejects(employee.tenants.purge('hooli'), { code: 'TENANT_DATABASE_FOREIGN' })
    t.ok(await database('hooli', 'employee'))
    await until('the conflict is reported', () =>
      steps('employee').some(event => event.type === 'drift' && event.kind === 'purge_failed'),
    )
  })
})
