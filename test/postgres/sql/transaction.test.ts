// BEGIN to COMMIT: committed rows stay, a failure leaves nothing, and no query hangs.
import t from 'tap'
import type { TransactionClient } from '../../../plugins/distributed-tenant/types.js'
import { until } from '../../until.js'
import { codeOf, stand } from '../stand.js'

t.test('a transaction', async t => {
  const { pool: build, look } = await stand(t)
  const { client, pool } = build({ budget: 1, perKey: 1, acquireTimeout: 2_000 })
  const { sql } = client()
  await sql`create table words (title text primary key, after text references words deferrable initially deferred)`
  const words = async () => (await look`select title from words order by title`).map(row => row.title)
  t.afterEach(async () => {
    await until(() => pool.info().inUse === 0 && pool.info().waiting === 0)
    await look`truncate words`
  })

  await t.test('commits and gives the result', async t => {
    const rows = await sql.begin(async sql => {
      await sql`insert into words values ('a')`
      return sql`insert into words values ('b') returning title`
    })
    t.same([...rows], [{ title: 'b' }])
    t.same(await words(), ['a', 'b'])
  })

  await t.test('awaits an array of queries as one', async t => {
    const [a, b] = await sql.begin(sql => [
      sql`insert into words values ('a') returning title`,
      sql`insert into words values ('b') returning title`,
    ])
    t.same([a[0], b[0]], [{ title: 'a' }, { title: 'b' }])
  })

  await t.test('takes the options of BEGIN', async t => {
    const level = (sql: TransactionClient) => sql`select current_setting('transaction_isolation') as level`
    t.same((await sql.begin('isolation level serializable, read only', level))[0], { level: 'serializable' })
    const written = sql.begin('read only', sql => sql`insert into words values ('a')`)
    t.equal(await codeOf(written), '25006')
    t.same(await words(), [])
  })

  await t.test('takes no statement as an option', async t => {
    t.equal(await codeOf(sql.begin('; drop table words; --', async () => {})), '42601')
    t.same(await words(), [])
  })

  await t.test('rolls back and passes on the error of user code, whatever its code is', async t => {
    const thrown = Object.assign(new Error('a failure of the user'), { code: 'ECONNREFUSED' })
    const failing = sql.begin(async sql => {
      await sql`insert into words values ('a')`
      throw thrown
    })
    t.equal(await failing.catch(error => error), thrown)
    const sudden = sql.begin(() => {
      throw thrown
    })
    t.equal(await sudden.catch(error => error), thrown)
    t.same(await words(), [])
  })

  await t.test('fails with the statement that failed', async t => {
    t.equal(await codeOf(sql.begin(sql => sql`insert into words values (null)`)), '23502')
  })

  await t.test('fails when a statement fails that is never awaited', async t => {
    const failing = sql.begin(async sql => {
      await sql`insert into words values ('a')`
      sql`insert into words values ('a')`.execute()
    })
    t.equal(await codeOf(failing), '23505')
    t.same(await words(), [])
  })

  await t.test('fails when a failure was swallowed', async t => {
    const failing = sql.begin(async sql => {
      await sql`insert into words values ('a')`
      await sql`insert into words values ('a')`.catch(() => {})
      return 'fine'
    })
    t.equal(await codeOf(failing), '23505')
    t.same(await words(), [])
  })

  await t.test('rejects with the first failure, not with the refusal of the statements after it', async t => {
    const failing = sql.begin(async sql => {
      await sql`insert into words values (null)`.catch(() => {})
      await sql`insert into words values ('a')`
    })
    t.equal(await codeOf(failing), '23502')
  })

  await t.test('fails when the server answers COMMIT with ROLLBACK', async t => {
    const failing = sql.begin(sql =>
      sql
        .unsafe(`do $$ begin perform 1; end $$; savepoint s; select 1`)
        .then(() => sql.unsafe('select 1 / 0').catch(() => {})),
    )
    t.equal(await codeOf(failing), '22012')
  })

  await t.test('fails with the error of COMMIT', async t => {
    t.equal(await codeOf(sql.begin(sql => sql`insert into words values ('a', 'none')`)), '23503')
    t.same(await words(), [])
  })

  await t.test('has savepoints, nested and named', async t => {
    await sql.begin(async sql => {
      await sql`insert into words values ('a')`
      const inner = sql.savepoint('mine', async sql => {
        await sql`insert into words values ('b')`
        await sql.savepoint(sql => sql`insert into words values ('c')`)
        const innermost = sql.savepoint(async sql => {
          await sql`insert into words values ('d')`
          await sql`insert into words values ('a')`
        })
        t.equal(await codeOf(innermost), '23505')
      })
      await inner
      t.equal(await sql.savepoint(() => 7), 7)
    })
    t.same(await words(), ['a', 'b', 'c'])
  })

  await t.test('does not hang when the outer client is used inside', async t => {
    const inside = sql.begin(() => sql`select 1`)
    t.equal(await codeOf(inside), 'TENANT_BUSY')
  })

  await t.test('has a client that is dead afterwards', async t => {
    let late: TransactionClient | undefined
    await sql.begin(async sql => {
      late = sql
    })
    const dead = late as TransactionClient
    t.equal(await codeOf(dead`insert into words values ('late')`), 'TENANT_CLIENT_RELEASED')
    await sql.begin(async sql => {
      await sql`insert into words values ('mine')`
      t.equal(await codeOf(dead`insert into words values ('late')`), 'TENANT_CLIENT_RELEASED')
    })
    t.same(await words(), ['mine'])
  })

  await t.test('fails alone when one of its parallel statements cannot be built', async t => {
    const failing = sql.begin(sql => [
      sql`select pg_sleep(0.05)`,
      sql`insert into words values (${undefined as unknown as string})`,
      sql`insert into words values ('c')`,
    ])
    t.notMatch(String(await codeOf(failing)), /no error|TIMEOUT/, 'and at once')
    t.same(await words(), [])
    t.same([...(await sql`select 1 as a`)], [{ a: 1 }])
  })

  await t.test('keeps parallel statements in order', async t => {
    const answers = await sql.begin(sql =>
      Array.from({ length: 50 }, (_, at) => (at % 3 ? sql`select ${at}::int as n` : sql`select ${`${at}`}::text as n`)),
    )
    t.same(
      answers.map(([row]) => Number(row?.n)),
      Array.from({ length: 50 }, (_, at) => at),
    )
  })

  await t.test('ends with its scope, and leaves nothing', async t => {
    const scope = client()
    const cut = scope.sql.begin(async sql => {
      await sql`insert into words values ('a')`
      scope.release()
      await sql`insert into words values ('b')`
    })
    t.equal(await codeOf(cut), 'TENANT_CLIENT_RELEASED')
    t.equal(await codeOf(scope.sql.begin(() => 1)), 'TENANT_CLIENT_RELEASED')
    t.same(await words(), [])
  })
})
