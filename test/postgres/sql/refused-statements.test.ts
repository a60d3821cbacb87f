// Statements that are refused with their cure, and have no effect.
import t from 'tap'
import type { SqlClient } from '../../../plugins/distributed-tenant/types.js'
import { codeOf, stand } from '../stand.js'

const REFUSED = 'TENANT_STATEMENT_REFUSED'

t.test('a statement with another effect than it seems to have', async t => {
  const { pool, look } = await stand(t)
  await look`create table words (title text)`
  const scope = pool().client()
  const { sql } = scope
  t.teardown(() => scope.release())
  const count = async () => (await look`select count(*)::int as n from words`)[0]?.n

  const alone = [
    'begin',
    'BEGIN ISOLATION LEVEL serializable',
    'start transaction',
    'commit',
    'end',
    'abort',
    'rollback',
    'rollback to savepoint a',
    'savepoint a',
    'release a',
    `prepare transaction 'a'`,
    `commit prepared 'a'`,
    `rollback prepared 'a'`,
    '/* a /* b */ */ -- c\n begin',
    '( rollback )',
    `insert into words values ('a'); begin; insert into words values ('b')`,
    `insert into words values (';'); ; commit`,
    'set local work_mem = 5000',
    'set transaction read only',
  ]
  await t.test('is refused outside of sql.begin', async t => {
    for (const text of alone) {
      t.equal(await codeOf(sql.unsafe(text)), REFUSED, text)
      t.equal(await codeOf(sql.unsafe(text, [], { prepare: true })), REFUSED, text)
    }
    t.equal(await codeOf(sql`begin`), REFUSED)
    await t.rejects(sql`${sql`rollback`}`, { code: REFUSED, message: /sql\.begin\(async sql/ })
    t.equal(await count(), 0)
  })
  await t.test('is refused inside where it would end the transaction, which is rolled back', async t => {
    const inside = ['begin', 'commit', 'end work', 'abort', 'rollback', 'commit and chain', `prepare transaction 'a'`]
    for (const text of [...inside, 'select 1; /* a */ commit']) {
      const work = async (sql: Pick<SqlClient, 'unsafe'>) => {
        await sql.unsafe(`insert into words values ('a')`)
        await sql.unsafe(text)
      }
      t.equal(await codeOf(sql.begin(work)), REFUSED, text)
    }
    t.equal(await count(), 0)
  })
  await t.test('is sent where it only resembles one', async t => {
    await sql.begin(async sql => {
      await sql`savepoint distributed`
      await sql`rollback to savepoint distributed`
      await sql`set local work_mem = 5000`
    })
    await sql.unsafe('set local work_mem = 5000; select 1')
    await sql.unsafe(`do $$ begin perform 1; end $$; select 'begin; commit' as "rollback"`)
    await sql.unsafe(`create function two() returns int language sql begin atomic select 1; select case when true then 2 end; end;
      select 1`)
    t.same([...(await sql`select case when true then 'x' end as "end"`)], [{ end: 'x' }])
  })
  await t.test('is refused for a large object, everywhere, with the cure', async t => {
    const calls = [
      `select lo_create(0)`,
      `select lo_creat(-1)`,
      `select lo_from_bytea(0, 'a')`,
      `select pg_catalog.lo_import('/etc/hostname')`,
      `select "lo_put"(1, 0, 'a')`,
      `select LO_OPEN /* a */ (1, 131072)`,
      `select loread(0, 1)`,
      `select lowrite(0, 'a')`,
      `do $$ begin perform lo_create(0); end $$`,
      `do $$ begin execute 'select lo_create(0)'; end $$`,
    ]
    for (const text of calls) {
      await t.rejects(sql.unsafe(text), { code: REFUSED, message: /bytea/ }, text)
      t.equal(await codeOf(sql.begin(sql => sql.unsafe(text))), REFUSED, text)
    }
    t.same([...(await look`select count(*)::int as n from pg_largeobject_metadata`)], [{ n: 0 }])
    t.same([...(await sql`select 'lo_create(0)' as text`)], [{ text: 'lo_create(0)' }])
  })
})
