// Figures about connections: as they are now, and counted since the start.
import t from 'tap'
import { createCount } from '../../../postgres/pool/counters.js'
import { rig } from '../../rig.js'
import { until } from '../../until.js'
import { codeOf, gate, stand } from '../stand.js'

t.test('the pool reports', async t => {
  const { pool: build, databases } = await stand(t)
  const [one, two, three] = (await databases(3)) as [string, string, string]

  await t.test('the connections open, idle, in use, opening and waiting, in total and per key', async t => {
    const { client, pool } = build({ budget: 3, perKey: 2, acquireTimeout: 5_000 })
    await client(two).sql`select 1`
    const { passed, open } = gate()
    const busy = [1, 2, 3].map(() => codeOf(client(one).sql.begin(() => passed)))
    await until(() => pool.info().inUse === 2)
    const { keys, counted, ...all } = pool.info()
    t.match(all, { open: 3, idle: 1, inUse: 2, opening: 0, waiting: 1, budget: 3, opened: 3, evicted: 0, refused: 0 })
    t.same(keys.get(one), { open: 2, idle: 0, inUse: 2, opening: 0, waiting: 1 })
    t.same(keys.get(two), { open: 1, idle: 1, inUse: 0, opening: 0, waiting: 0 })
    t.same(counted.get(one), { opened: 2, evicted: 0, refused: 0 })
    open()
    await Promise.all(busy)
  })

  await t.test('the connections opened, evicted for another and refused, also when none is left', async t => {
    const { client, pool } = build({ budget: 1, perKey: 1, acquireTimeout: 2_000 })
    await client(one).sql`select 1`
    const held = client(two)
    const holding = codeOf(held.sql`select pg_sleep(30)`)
    await until(() => pool.info().inUse === 1)
    t.equal(await codeOf(client(three).sql`select 1`), 'TENANT_BUSY')
    held.release()
    await holding
    await until(() => pool.info().open === 0)
    const { keys, counted, ...all } = pool.info()
    t.match(all, { open: 0, opened: 2, evicted: 1, refused: 1 })
    t.equal(keys.size, 0)
    t.same(Object.fromEntries(counted), {
      [one]: { opened: 1, evicted: 1, refused: 0 },
      [two]: { opened: 1, evicted: 0, refused: 0 },
      [three]: { opened: 0, evicted: 0, refused: 1 },
    })
  })
})

t.test('connectionInfo() and the channel report the same', async t => {
  const { app: build } = await rig(t, ['employee'])
  const app = await build('employee', { maxConnections: 2, maxConnectionsPerTenant: 1, acquireTimeout: 2_000 })
  for (const id of ['acme', 'globex', 'initech']) await app.tenants.create({ id, name: id })
  const { subscribe } = await import('../../../plugins/distributed-tenant/diagnostics/channels.js')
  const seen: string[] = []
  const stop = subscribe(step => {
    if (step.area !== 'connection' && step.area !== 'lease') return
    if (step.pool !== 'tenant') return
    const { type } = step.event
    seen.push(type === 'closed' ? step.event.reason : type)
  }, app.tenants.origin)
  t.teardown(stop)
  const before = app.tenants.connectionInfo()
  for (const id of ['acme', 'globex', 'initech']) await app.tenants.run(id, ({ sql }) => sql`select 1`)
  const { passed, open } = gate()
  const holding = ['acme', 'globex'].map(id =>
    app.tenants.run(id, async ({ sql }) => {
      await sql.begin(async sql => {
        await sql`select 1`
        await passed
      })
    }),
  )
  await until(() => app.tenants.connectionInfo().inUse === 2)
  t.equal(await codeOf(app.tenants.run('initech', ({ sql }) => sql`select 1`)), 'TENANT_BUSY')
  open()
  await Promise.all(holding)
  const { opened, evicted, refused, tenants } = app.tenants.connectionInfo()
  const count = (type: string) => seen.filter(one => one === type).length
  t.equal(opened - before.opened, count('opened'))
  t.equal(evicted - before.evicted, count('evicted'))
  t.equal(refused - before.refused, count('refused'))
  t.equal(refused, 1)
  t.ok(evicted > 0)
  t.same(tenants.tenant_initech_employee, {
    ...{ open: 0, idle: 0, inUse: 0, opening: 0, waiting: 0 },
    ...{ opened: 1, evicted: 1, refused: 1 },
  })
  const sum = (what: 'opened' | 'evicted' | 'refused') =>
    Object.values(tenants).reduce((sum, counters) => sum + counters[what], 0)
  t.same([sum('opened'), sum('evicted'), sum('refused')], [opened, evicted, refused])
})

t.test('of very many keys the first is forgotten, and the sum keeps it', async t => {
  const count = createCount(3)
  for (const key of ['a', 'b', 'c', 'd', 'b']) count.one('opened', key)
  t.same([...count.perKey.keys()], ['b', 'c', 'd'])
  t.equal(count.perKey.get('b')?.opened, 2)
  t.equal(count.all.opened, 5)
})
