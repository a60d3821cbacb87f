// The closing of a connection that was neither evicted nor lost.
import { spawn } from 'node:child_process'
import t from 'tap'
import { until } from '../../until.js'
import { codeOf, gate, stand } from '../stand.js'

t.test('a connection', async t => {
  const { pool: build, databases, server } = await stand(t)
  const [one, two] = (await databases(2)) as [string, string]
  const reasons = (reports: readonly { type: string; reason?: string }[]) =>
    reports.flatMap(({ type, reason }) => (type === 'closed' ? [reason] : []))

  await t.test('is closed after the idle timeout, not before', async t => {
    const { client, pool, reports } = build({ idleTimeout: 300 })
    await client(one).sql`select 1`
    const started = performance.now()
    await client(one).sql`select 1`
    await until(() => pool.info().open === 0)
    const took = performance.now() - started
    t.ok(took >= 300, `${Math.round(took)} ms`)
    t.same(reasons(reports), ['idle'])
    t.equal(pool.info().keys.size, 0)
  })

  await t.test('without pooling is closed after one lease', async t => {
    const { client, pool, reports } = build({ pooling: false, budget: 2, perKey: 2 })
    const pids = await Promise.all(Array.from({ length: 5 }, () => client(one).sql`select pg_backend_pid() as pid`))
    t.equal(new Set(pids.map(([row]) => row?.pid)).size, 5)
    await until(() => pool.info().open === 0)
    t.same(reasons(reports), Array(5).fill('released'))
  })

  await t.test('is closed when its key is evicted: at once if idle, else when it is returned', async t => {
    const { client, pool } = build()
    await client(one).sql`select 1`
    const { passed, open } = gate()
    const busy = client(one).sql.begin(() => passed)
    await until(() => pool.info().inUse === 1)
    const other = client(one).sql`select 1`
    await other
    t.equal(pool.info().open, 2)
    await pool.evict(one)
    t.match(pool.info(), { open: 1, inUse: 1, idle: 0 })
    open()
    await busy
    await until(() => pool.info().open === 0)
    await pool.evict(two)
    t.equal(pool.info().keys.size, 0)
  })

  await t.test('is used again, the most recently used first', async t => {
    const { client, pool } = build()
    const { passed, open } = gate()
    const held = [1, 2].map(() =>
      client(one).sql.begin(async sql => {
        await passed
        return sql`select pg_backend_pid() as pid`
      }),
    )
    await until(() => pool.info().inUse === 2)
    open()
    const both = await Promise.all(held)
    await until(() => pool.info().idle === 2)
    const pids = new Set<unknown>()
    for (let at = 0; at < 5; at++) pids.add((await client(one).sql`select pg_backend_pid() as pid`)[0]?.pid)
    t.equal(pids.size, 1)
    t.ok(both.some(([row]) => pids.has(row?.pid)))
  })

  await t.test('is closed with the pool: idle, in use until the deadline, and opening', async t => {
    const { client, pool } = build({ budget: 3, perKey: 1 })
    await client(one).sql`select 1`
    const busy = codeOf(client(two).sql`select pg_sleep(30)`)
    await until(() => pool.info().inUse === 1)
    const opening = codeOf(client('postgres').sql`select 1`)
    // Checked in the same turn, before it can be open.
    await new Promise(setImmediate)
    t.equal(pool.info().opening, 1)
    const started = performance.now()
    await Promise.all([pool.close(300), pool.close(300)])
    const took = performance.now() - started
    t.ok(took >= 290, `${Math.round(took)} ms`)
    t.equal(await busy, 'TENANT_DATABASE_UNAVAILABLE')
    t.equal(await opening, 'TENANT_BUSY')
    t.match(pool.info(), { open: 0, idle: 0, inUse: 0, opening: 0, waiting: 0 })
    t.equal(await codeOf(client(one).sql`select 1`), 'TENANT_BUSY')
  })

  await t.test('leaves no timer behind: a process ends by itself after close', async t => {
    const { host, port, user, password } = server
    const code = `
      const { openConnection } = await import(${JSON.stringify(new URL('../../../postgres/connections/open-connection.js', import.meta.url))})
      const target = { host: '${host}', port: ${port}, user: '${user}', password: process.env.PASSWORD, database: 'postgres',
        tls: false, applicationName: 'once', statementTimeout: 30000 }
      // Long after the test is ended: only a process without a timer ends before.
      const day = 86400000
      const never = openConnection(target, day)
      never.destroy(new Error('never awaited'))
      const missing = openConnection({ ...target, database: 'missing' }, day)
      await missing.opened.catch(() => {})
      const good = openConnection(target, day)
      await good.opened
      await Promise.all([good.close(), never.closed, missing.closed])
      console.log('closed')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      env: { ...process.env, PASSWORD: password, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', chunk => {
      output += chunk
    })
    const exit = await new Promise(resolve => child.once('exit', resolve))
    t.same([exit, output.trim()], [0, 'closed'])
  })
})
