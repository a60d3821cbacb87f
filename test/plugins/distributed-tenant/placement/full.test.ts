// An instance that is marked full: no new tenant, spare or restore goes there, by marks of the central database alone; where every
// instance is full a tenant waits, and is made once one is open.
import t from 'tap'
import { closeInstance, listInstances, openInstance } from '../../../../operations/instances/instances.js'
import { parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { markFull } from '../../../../plugins/distributed-tenant/registry/full-instances.js'
import { until } from '../../../until.js'
import { severalInstances } from './several.js'

t.test('an instance that is full', async t => {
  const { app: build, tenancy: parts, look, instances } = await severalInstances(t)
  const central = look('employee', 'employee_central')
  const app = await build('employee', { instances })
  const tenancy = await parts('employee', { instances, spares: 1, acquireTimeout: 60_000 })
  const place = async (id: string) =>
    (await central<{ instance: string }[]>`select instance from tenants where id = ${id}`)[0]?.instance

  await t.test('gets no new tenant, though it has the fewest', async t => {
    t.equal(await closeInstance(tenancy, 'main', 'ada@laptop'), true)
    t.equal(await closeInstance(tenancy, 'main', 'bob@laptop'), false, 'a second mark changes nothing')
    for (const id of ['one', 'two', 'three']) await app.tenants.create({ id, name: id })
    t.same(await Promise.all(['one', 'two', 'three'].map(place)), ['b', 'b', 'b'])
    t.match(await listInstances(tenancy), [
      { name: 'main', tenants: 0, fullBy: 'ada@laptop', fullSince: Date },
      { name: 'b', tenants: 3, fullBy: null, error: null },
    ])
    t.match((await app.tenants.figures()).stored, { fullInstances: ['main'] })
  })

  await t.test('the last that is open cannot be marked, nor one that is not there', async t => {
    await t.rejects(closeInstance(tenancy, 'b', 'ada@laptop'), { code: 'TRANSFER_REFUSED', message: /only instance/ })
    await t.rejects(closeInstance(tenancy, 'd', 'ada@laptop'), { code: 'TRANSFER_REFUSED', message: /no instance d/ })
    await t.rejects(openInstance(tenancy, 'd'), { code: 'TRANSFER_REFUSED' })
  })

  await t.test('has no spares: those that are there are dropped, and come again', async t => {
    t.equal(await openInstance(tenancy, 'main'), true)
    tenancy.spares.start()
    const spares = () => look('employee')`select from pg_database where datname ~ '^spare_'`
    await until('a spare', async () => (await spares()).length === 1)
    await markFull(central, 'main', 'ada@laptop')
    await until('it is dropped', async () => (await spares()).length === 0)
    await until('it is counted', () => tenancy.spares.info().ready === 0)
  })

  await t.test('where all are full a tenant waits, with the reason, and is made once one is open', async t => {
    await markFull(central, 'b', 'ada@laptop')
    await t.rejects(app.tenants.create({ id: 'four', name: 'four' }), { code: 'INSTANCES_FULL' })
    await central`update tenants set next_attempt_at = now() where id = 'four'`
    const waiting = await until('its reason is recorded', async () => {
      const [row] = await central<
        { error: string | null; attempts: number }[]
      >`select last_error as error, attempts from tenants where id = 'four'`
      return row?.error ? row : undefined
    })
    t.match(waiting, { error: /No instance takes new tenants: b, main/, attempts: 0 })
    await openInstance(tenancy, 'b')
    t.match(await tenancy.provisioner.provision(parseTenantId('four')), { provisioned: 'ready', instance: 'b' })
  })
})
