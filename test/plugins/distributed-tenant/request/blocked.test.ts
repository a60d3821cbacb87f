import { setImmediate as immediately } from 'node:timers/promises'
import t from 'tap'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

/** Blocks the event loop. From an immediate: the timers come next, and only then the sockets. */
async function block(ms: number): Promise<void> {
  await immediately()
  for (const end = performance.now() + ms; performance.now() < end; );
}

t.test('an event loop that was blocked for 2 s', async t => {
  const { app: build } = await rig(t, ['employee'])
  const app = await build('employee', { maxConnections: 1, queryTimeout: 1_000, acquireTimeout: 1_000 })
  for (const id of ['acme', 'globex']) await app.tenants.create({ id, name: id })
  await app.tenants.run('acme', ({ sql }) => sql`select 1`)
  const sent = () => until('the statement is sent', () => app.tenants.connectionInfo().inUse === 1)

  await t.test('loses no statement that was answered meanwhile', async t => {
    const answer = app.tenants.run('acme', ({ sql }) => sql`select pg_backend_pid() as pid from pg_sleep(0.5)`)
    await sent()
    await block(2_000)
    const [row] = await answer
    const [later] = await app.tenants.run('acme', ({ sql }) => sql`select pg_backend_pid() as pid`)
    t.equal(later?.pid, row?.pid, 'and its connection is kept')
  })

  await t.test('keeps a transaction that was under way', async t => {
    const held = app.tenants.run('acme', ({ sql }) =>
      sql.begin(async tx => {
        await tx`insert into notes (body) values ('kept')`
        await block(2_000)
        await tx`insert into notes (body) values ('kept too')`
      }),
    )
    await held
    t.match(await app.tenants.run('acme', ({ sql }) => sql`select count(*)::int as notes from notes`), [{ notes: 2 }])
  })

  await t.test('refuses no request that waits for a connection that was returned meanwhile', async t => {
    const first = app.tenants.run('acme', ({ sql }) => sql`select pg_sleep(0.5)`)
    await sent()
    const second = app.tenants.run('acme', ({ sql }) => sql.begin(tx => tx`select 1 as one`))
    await until('it waits', () => app.tenants.connectionInfo().waiting === 1)
    await block(2_000)
    t.match(await second, [{ one: 1 }])
    await first
  })
})
