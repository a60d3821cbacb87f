// `.cancel()`: before a query starts, while it waits and while it runs. A late cancel hits no other query.
import t from 'tap'
import { until } from '../../until.js'
import { codeOf, gate, stand } from '../stand.js'

t.test('a cancelled query', async t => {
  const { look, pool: build } = await stand(t)
  const { client, pool, reports } = build({ budget: 1, perKey: 1, queryTimeout: 3_000 })
  const { sql } = client()
  await sql`create table seen (a int)`
  const sleeps = async () => (await look`select 1 from pg_stat_activity where wait_event = 'PgSleep'`).length
  const opened = () => reports.filter(({ type }) => type === 'opened').length

  await t.test('before it is started uses no connection', async t => {
    const query = sql`insert into seen values (1)`
    query.cancel()
    t.equal(await codeOf(query), '57014')
    t.equal(await codeOf(query), '57014')
  })
  await t.test('while it waits for a connection is rejected at once and never sent', async t => {
    const { passed, open } = gate()
    const busy = sql.begin(() => passed)
    await until(() => pool.info().inUse === 1)
    const query = sql`insert into seen values (2)`
    const outcome = codeOf(query)
    await until(() => pool.info().waiting === 1)
    query.cancel()
    t.equal(await outcome, '57014')
    open()
    await busy
    t.equal(await codeOf(sql`select 1`), 'no error')
  })
  await t.test('while it runs is stopped at the server, and its connection is not used again', async t => {
    const before = opened()
    const query = sql`select pg_sleep(30)`.execute()
    await until(async () => (await sleeps()) === 1)
    query.cancel()
    t.equal(await codeOf(query), '57014')
    t.equal(await sleeps(), 0)
    t.equal(await codeOf(sql`select 1`), 'no error')
    t.equal(opened(), before + 1)
  })
  await t.test('fails its transaction and nothing more', async t => {
    const failing = sql.begin(async sql => {
      await sql`insert into seen values (3)`
      const query = sql`select pg_sleep(30)`.execute()
      const behind = sql`insert into seen values (4)`.execute()
      await until(async () => (await sleeps()) === 1)
      behind.cancel()
      query.cancel()
      await query
    })
    t.equal(await codeOf(failing), '57014')
    await until(() => pool.info().inUse === 0)
  })
  await t.test('may be cancelled after it is done', async t => {
    const query = sql`select 1 as a`
    await query
    query.cancel()
    t.same([...(await query)], [{ a: 1 }])
  })
  t.same([...(await look`select * from seen`)], [], 'and none of them wrote anything')
})
