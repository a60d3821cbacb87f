// The limit of connections and the wait for one: counted at the server, under churn.
import t from 'tap'
import { until } from '../../until.js'
import { APPLICATION, codeOf, gate, stand } from '../stand.js'

t.test('the budget', async t => {
  const { pool: build, look, databases, server } = await stand(t)
  const names = await databases(40)

  const sampled = async (name: string, work: (samples: () => number) => Promise<void>): Promise<number> => {
    let most = 0
    let samples = 0
    let running = true
    const sampling = (async () => {
      while (running) {
        const [row] = await look`select count(*)::int as n from pg_stat_activity where application_name = ${name}`
        most = Math.max(most, row?.n)
        samples++
        await new Promise(resolve => setTimeout(resolve, 45))
      }
    })()
    await work(() => samples)
    running = false
    await sampling
    return most
  }

  await t.test('is never exceeded at the server, while forty tenants take turns and requests are aborted', async t => {
    const { client, pool } = build({
      budget: 10,
      perKey: 2,
      target: { applicationName: 'churn' },
    })
    const outcomes: Record<string, number> = {}
    let highest = 0
    const most = await sampled('churn', async samples => {
      const worker = async (seed: number) => {
        // Twenty samples a second for four seconds.
        for (let turn = seed; samples() < 80; turn += 7) {
          const scope = client(names[turn % names.length])
          const aborts = turn % 5 === 0
          const work = aborts
            ? scope.sql`select pg_sleep(5)`
            : turn % 3
              ? scope.sql`select 1`
              : scope.sql.begin(sql => sql`select 1`)
          const ended = codeOf(work)
          if (aborts) setTimeout(() => scope.release(), 5 + (turn % 20))
          const outcome = String(await ended)
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
          scope.release()
          highest = Math.max(highest, pool.info().open)
        }
      }
      await Promise.all(Array.from({ length: 30 }, (_, seed) => worker(seed)))
    })
    t.ok(most <= 10 && most > 5, `${most} at most at the server`)
    t.ok(highest <= 10, `${highest} at most in the pool`)
    t.same(Object.keys(outcomes).sort(), ['TENANT_CLIENT_RELEASED', 'no error'])
    await until(() => pool.info().inUse === 0 && pool.info().waiting === 0)
    t.equal(pool.info().keys.size, pool.info().open === 0 ? 0 : new Set([...pool.info().keys.keys()]).size)
  })

  await t.test('of one tenant is never exceeded', async t => {
    const { client, pool } = build({ budget: 10, perKey: 3, target: { applicationName: 'one' } })
    const most = await sampled('one', async () => {
      await Promise.all(Array.from({ length: 30 }, () => client(names[0]).sql`select pg_sleep(0.05)`))
    })
    t.equal(most, 3)
    t.equal(pool.info().open, 3)
  })

  await t.test('is waited for until the deadline, which ends in TENANT_BUSY', async t => {
    const { client, pool } = build({ budget: 1, perKey: 1, acquireTimeout: 1_000 })
    const holder = client(names[0])
    const held = codeOf(holder.sql`select pg_sleep(300)`)
    await until(() => pool.info().inUse === 1)
    for (const name of [names[0], names[1]]) {
      const started = performance.now()
      t.equal(await codeOf(client(name).sql`select 1`), 'TENANT_BUSY')
      const waited = performance.now() - started
      t.ok(waited >= 995, `${Math.round(waited)} ms`)
    }
    t.equal(pool.info().waiting, 0)
    t.same([...pool.info().keys.keys()], [names[0]], 'and nothing is kept about refused keys')
    holder.release()
    t.equal(await held, 'TENANT_CLIENT_RELEASED')
    t.equal(await codeOf(client(names[1]).sql`select 1`), 'no error')
  })

  await t.test('is given to no request that is over', async t => {
    const { client, pool, reports } = build({ budget: 1, perKey: 1 })
    const { passed, open } = gate()
    const held = codeOf(client(names[0]).sql.begin(() => passed))
    await until(() => pool.info().inUse === 1)
    const gone = Array.from({ length: 5 }, (_, at) => client(names[at % 2]))
    const outcomes = gone.map(scope => codeOf(scope.sql`create table never (a int)`))
    const stays = client(names[1]).sql`select to_regclass('never') as never`.execute()
    await until(() => pool.info().waiting === 6)
    for (const scope of gone) scope.release()
    t.equal(pool.info().waiting, 1)
    t.same(await Promise.all(outcomes), Array(5).fill('TENANT_CLIENT_RELEASED'))
    open()
    t.equal(await held, 'no error')
    t.same([...(await stays)], [{ never: null }])
    t.equal(reports.filter(({ type }) => type === 'leased').length, 2)
  })

  await t.test('is taken from idle connections only, not from those in use', async t => {
    const { client, pool, reports } = build({ budget: 2, perKey: 2 })
    await client(names[0]).sql`select 1`
    const { passed, open } = gate()
    const busy = client(names[1]).sql.begin(async sql => {
      await passed
      return sql`select pg_backend_pid() as pid`
    })
    await until(() => pool.info().inUse === 1)
    await client(names[2]).sql`select 1`
    t.same(
      reports.filter(({ type }) => type === 'closed'),
      [{ type: 'closed', key: names[0], reason: 'evicted' }],
    )
    open()
    t.ok((await busy)[0]?.pid)
  })

  await t.test('goes to a tenant that needs more, from one that has been idle for a second', async t => {
    const { client, pool } = build({ budget: 3, perKey: 3 })
    for (const name of names.slice(0, 3)) await client(name).sql`select 1`
    const busy = client(names[0])
    const asked = Promise.allSettled(Array.from({ length: 3 }, () => busy.sql`select pg_sleep(30)`))
    await until(() => pool.info().inUse === 3)
    t.equal(pool.info().keys.get(names[0] ?? '')?.inUse, 3)
    busy.release()
    await asked
  })

  await t.test('counts a connection until its backend has ended', async t => {
    const { client, pool } = build({ budget: 1, perKey: 1, target: { applicationName: 'gone' } })
    const alive = async () => (await look`select 1 from pg_stat_activity where application_name = 'gone'`).length
    const scope = client(names[0])
    const cut = codeOf(scope.sql`select pg_sleep(30)`)
    const sleeps = () => look`select 1 from pg_stat_activity where application_name = 'gone' and wait_event = 'PgSleep'`
    await until(async () => (await sleeps()).length === 1)
    scope.release()
    t.match(pool.info(), { inUse: 0, open: 1 })
    await until(() => pool.info().open === 0)
    t.equal(await alive(), 0)
    t.equal(await cut, 'TENANT_CLIENT_RELEASED')
  })

  await t.test('of a server that has ended is free again', async t => {
    const { client, pool } = build({ budget: 4, perKey: 2, target: { applicationName: APPLICATION } })
    await Promise.all(names.slice(0, 4).map(name => client(name).sql`select 1`))
    const held = client(names[0]).sql`select pg_sleep(10)`
    const failed = codeOf(held)
    await server.kill()
    t.equal(await failed, 'TENANT_DATABASE_UNAVAILABLE')
    await until(() => pool.info().open === 0)
    t.equal(pool.info().keys.size, 0)
  })
})
