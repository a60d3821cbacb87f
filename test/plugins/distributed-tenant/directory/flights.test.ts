import postgres from 'postgres'
import t from 'tap'
import { type PublishedStep, subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('a notification that arrives during a read of the registry', async t => {
  const { app: build, look, servers } = await rig(t, ['employee'])
  const app = await build('employee', {}, one => {
    one.get('/who', { config: { tenant: 'required' } }, async request => request.tenant)
  })
  const central = look('employee', 'employee_central')
  const server = servers.postgres.employee
  if (!server) throw new Error('no instance')
  const { host, port, user, password } = server
  const holder = postgres({ host, port, user, password, database: 'employee_central', max: 1 })
  t.teardown(() => holder.end())
  const seen: PublishedStep[] = []
  t.teardown(subscribe(step => seen.push(step)))
  const sources = () =>
    seen.flatMap(({ area, event }) => (area === 'lookup' && event.type === 'lookup' ? [event.source] : []))
  const announced: { id: string; revision: number }[] = []
  t.teardown(app.notifications.subscribe('fdt_tenants', payload => announced.push(JSON.parse(payload))))
  const receives = (id: string, revision: number) =>
    until('received', () => announced.some(one => one.id === id && one.revision === revision))
  // Lookups alone: provisioning may wait for the table as well.
  const waiting = async (count: number) => {
    const [row] = await central<{ count: number }[]>`
      select count(*)::int from pg_stat_activity
      where datname = 'employee_central' and wait_event_type = 'Lock' and query ~ 'id, name, domain'`
    return row?.count === count
  }

  /**
   * Asks for a tenant while the registry cannot answer, notifies about `of(id)`, and asks again: at once, and
   * later.
   */
  const ask = async (id: string, of: (id: string) => string, flights: number) => {
    await app.tenants.create({ id, name: id })
    const [row] = await central<{ revision: number }[]>`select revision::int from tenants where id = ${id}`
    await receives(id, row?.revision ?? 0)
    seen.length = 0
    const who = async () => (await app.inject({ url: '/who', headers: { 'hrms-client-id': id } })).statusCode
    const answers = await holder.begin(async tx => {
      await tx`lock table tenants in access exclusive mode`
      const first = who()
      await until('one asks', () => waiting(1))
      await central.notify('fdt_tenants', JSON.stringify({ id: of(id), revision: 99 }))
      await receives(of(id), 99)
      const second = who()
      if (flights > 1) await until('another asks', () => waiting(flights))
      return { first, second }
    })
    t.same([await answers.first, await answers.second, await who()], [200, 200, 200])
    t.equal(sources().at(-1), 'memory')
    return sources().filter(source => source === 'registry').length
  }

  await t.test('about another tenant, changes nothing', async t => {
    t.equal(await ask('acme', () => 'another', 1), 1)
  })

  await t.test('about the tenant, makes later requests read again, and only that answer is cached', async t => {
    t.equal(await ask('globex', id => id, 2), 2)
  })
})
