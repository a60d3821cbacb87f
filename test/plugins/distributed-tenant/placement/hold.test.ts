// While the registry has a tenant as `closing`, every process lets its new statements wait in the lease queue: they go on when it
// is over, or get TENANT_BUSY at their own deadline. Other tenants are served, and what runs already goes on.
import t from 'tap'
import { until } from '../../../until.js'
import { codeOf, severalInstances } from './several.js'

t.test('a tenant that is held', async t => {
  const { app: build, look, instances } = await severalInstances(t)
  const patient = await build('employee', { instances, acquireTimeout: 60_000 })
  const hasty = await build('employee', { instances, acquireTimeout: 500 })
  await patient.tenants.create({ id: 'acme', name: 'Acme' })
  await patient.tenants.create({ id: 'other', name: 'Other' })
  const central = look('employee', 'employee_central')
  const say = (moving: string | null) =>
    central`update tenants set moving = ${moving}, moving_at = now() where id = 'acme'`
  const write = (app: typeof patient, body: string, id = 'acme') =>
    app.tenants.run(id, async ({ sql }) => void (await sql`insert into notes (body) values (${body})`))
  const waiting = () => patient.tenants.connectionInfo().waiting

  await t.test('waits without a connection, and goes on', async t => {
    await write(patient, 'before')
    let goOn = (): void => {}
    const gate = new Promise<void>(resolve => {
      goOn = resolve
    })
    const open = patient.tenants.run('acme', ({ sql }) =>
      sql.begin(async tx => {
        await tx`insert into notes (body) values ('began before')`
        await gate
        await tx`insert into notes (body) values ('ended meanwhile')`
      }),
    )
    await until('a transaction is open', () => patient.tenants.connectionInfo().inUse === 1)
    await say('closing')
    await until('what rests is closed', () => patient.tenants.connectionInfo().open === 1)
    const held = [write(patient, 'held 1'), write(patient, 'held 2')]
    await until('they wait', () => waiting() === 2)
    await write(patient, 'not held', 'other')
    goOn()
    await open
    await until('the transaction’s connection is closed', async () => {
      const [row] = await look('employee')<{ n: number }[]>`
        select count(*)::int as n from pg_stat_activity where datname = 'tenant_acme_employee'`
      return row?.n === 0
    })
    t.equal(waiting(), 2, 'nothing is given to those that wait')
    t.equal(await codeOf(write(hasty, 'refused')), 'TENANT_BUSY', 'at its own deadline')
    await say(null)
    await Promise.all(held)
    const inside = look('employee', 'tenant_acme_employee')
    const rows = await inside<{ body: string }[]>`select body from notes order by body`
    await inside.end()
    t.same(
      rows.map(({ body }) => body),
      ['before', 'began before', 'ended meanwhile', 'held 1', 'held 2'],
    )
  })

  await t.test('notifications that are lost end the waiting: the registry is asked', async t => {
    await say('closing')
    const held = write(patient, 'held while the notifications are lost')
    await until('it waits', () => waiting() === 1)
    await look(
      'employee',
    )`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'employee-listener'`
    await say(null)
    await held
    t.pass()
  })
})
