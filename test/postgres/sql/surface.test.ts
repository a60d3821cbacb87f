// Every feature of `postgres` in a tagged template works on a leased connection.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../until.js'
import { codeOf, stand } from '../stand.js'

t.test('the client', async t => {
  const { pool, look } = await stand(t)
  const { client, pool: leases } = pool({ budget: 2, perKey: 2 })
  const { sql } = client()
  await sql.unsafe(`
    create type mood as enum ('calm', 'busy');
    create table people (id bigint generated always as identity primary key, name text not null, age int,
      tags text[] not null default '{}', scores int[], moods mood[], born timestamptz, extra jsonb)`)
  // A connection reads the array types of its database when it opens.
  await leases.evict('postgres')
  await until(() => leases.info().open === 0)

  await t.test('takes values as parameters', async t => {
    const [row] =
      await sql`select ${'o’"; drop table people; --'}::text as text, ${7}::int as number, ${null}::text as none,
      ${true}::boolean as yes, ${Buffer.from('hi')}::bytea as bytes, ${new Date(0)}::timestamptz as date`
    t.same(row, {
      text: 'o’"; drop table people; --',
      number: 7,
      none: null,
      yes: true,
      bytes: Buffer.from('hi'),
      date: new Date(0),
    })
  })

  await t.test('inserts rows by the helper', async t => {
    const rows = [
      { name: 'Ada', age: 36 },
      { name: 'Bo', age: null },
    ]
    t.same([...(await sql`insert into people ${sql(rows)} returning name, age`)], rows)
    const [one] = await sql`insert into people ${sql({ name: 'Cy', age: 1 }, 'name')} returning name, age`
    t.same(one, { name: 'Cy', age: null })
  })

  await t.test('updates by the helper, only the columns named', async t => {
    const patch = { name: 'Ada L.', age: 37 }
    const [row] = await sql`update people set ${sql(patch, 'age')} where name = 'Ada' returning name, age`
    t.same(row, { name: 'Ada', age: 37 })
  })

  await t.test('quotes identifiers and lists', async t => {
    const rows =
      await sql`select ${sql(['name', 'age'])} from ${sql('people')} where name in ${sql(['Ada', 'Bo'])} order by name`
    t.same(
      rows.map(row => row.name),
      ['Ada', 'Bo'],
    )
    t.equal(await codeOf(sql`select * from ${sql('people"; select 1 --')}`), '42P01')
  })

  await t.test('composes fragments', async t => {
    const older = (age: number) => sql`and age > ${age}`
    const rows = await sql`select name from people where true ${older(30)} ${[sql`and id > ${0}`, sql`and id < ${99}`]}`
    t.same([...rows], [{ name: 'Ada' }])
  })

  await t.test('has json both ways', async t => {
    const extra = { a: [1, { b: null }], text: 'x' }
    const [row] =
      await sql`insert into people ${sql({ name: 'Di', extra: sql.json(extra) })} returning extra, extra->'a'->>0 as first`
    t.same(row, { extra, first: '1' })
  })

  await t.test('has arrays both ways: text, int and an enum of the database', async t => {
    const [row] = await sql`
      insert into people (name, tags, scores, moods)
      values ('Ed', ${['a', 'b,c', '{"}', '']}, ${sql.array([1, 2])}::int[], ${['calm', 'busy']}) returning tags, scores, moods`
    t.same(row, { tags: ['a', 'b,c', '{"}', ''], scores: [1, 2], moods: ['calm', 'busy'] })
    const [found] = await sql`select name from people where 'b,c' = any(tags) and name = any(${sql.array(['Ed', 'x'])})`
    t.same(found, { name: 'Ed' })
    const [none] = await sql`select tags, scores from people where name = 'Bo'`
    t.same(none, { tags: [], scores: null })
  })

  await t.test('gives bigint as text and dates as dates', async t => {
    const born = new Date('1984-05-06T07:08:09.123Z')
    const [row] = await sql`select 9007199254740993::bigint as big, ${born}::timestamptz as born, count(*) from people`
    t.same(row, { big: '9007199254740993', born, count: '5' })
  })

  await t.test('has typed parameters', async t => {
    const [row] = await sql`select pg_typeof(${sql.typed('5', 23)})::text as type`
    t.same(row, { type: 'integer' })
  })

  await t.test('runs unsafe text, with and without parameters', async t => {
    t.same([...(await sql.unsafe('select $1::int + 1 as sum', [2]))], [{ sum: 3 }])
    const results = (await sql.unsafe('select 1 as a; select 2 as b')) as unknown as object[][]
    t.same(
      results.map(rows => [...rows]),
      [[{ a: 1 }], [{ b: 2 }]],
    )
  })

  await t.test('has simple, values, raw, describe, execute and forEach', async t => {
    t.same([...(await sql`select 1 as a`.simple())], [{ a: 1 }])
    t.same([...(await sql`select 1 as a, ${2}::int as b`.values())], [[1, 2]])
    t.same([...(await sql`select 1 as a`.raw())], [[Buffer.from('1')]])
    const described = await sql`select name, age from people where id = ${1}`.describe()
    t.same(
      described.columns.map(({ name }) => name),
      ['name', 'age'],
    )
    t.same([...(await sql`select 1 as a`.execute())], [{ a: 1 }])
    const seen: unknown[] = []
    const { count } = await sql`select n from generate_series(1, 3) n`.forEach(row => {
      seen.push(row.n)
    })
    t.same([seen, count], [[1, 2, 3], 3])
  })

  await t.test('answers in order right after a described query', async t => {
    const [described, next] = await Promise.all([
      sql`select 1 as one, ${2}::int as two`.describe(),
      sql`select ${'next'}::text as title`,
    ])
    t.equal(described.columns.length, 2)
    t.same([...next], [{ title: 'next' }])
  })

  await t.test('reads a query from a file', async t => {
    const folder = mkdtempSync(join(tmpdir(), 'sql-file-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'query.sql')
    writeFileSync(path, 'select $1::text as title')
    t.same([...(await sql.file(path, ['from a file']))], [{ title: 'from a file' }])
    writeFileSync(path, 'select 1 as a')
    t.same([...(await sql.file(path))], [{ a: 1 }])
    t.equal(await codeOf(sql.file(join(folder, 'none.sql'))), 'ENOENT')
  })

  await t.test('notifies', async t => {
    const seen = new Promise(resolve => {
      look.listen('news', resolve).then(() => sql.notify('news', 'a message'))
    })
    t.equal(await seen, 'a message')
  })

  await t.test('rejects with the caller’s own failures unchanged', async t => {
    t.equal(await codeOf(sql`select 1 / 0`), '22012')
    t.equal(await codeOf(sql`insert into people ${sql({ name: undefined as unknown as string })}`), 'UNDEFINED_VALUE')
    t.equal(await codeOf(sql`select ${undefined as unknown as string}`), 'UNDEFINED_VALUE')
    t.equal(await codeOf(sql`select ${'x'}::int`), '22P02')
    t.ok((await sql`selec 1`.catch((error: unknown) => error)) instanceof sql.PostgresError)
    const thrown = new Error('a failure of the reader')
    const reading = sql`select n from generate_series(1, 3) n`.forEach(() => {
      throw thrown
    })
    t.equal(await reading.catch(error => error), thrown)
    t.same([...(await sql`select 1 as a`)], [{ a: 1 }])
  })

  await t.test('refuses a text that holds a NUL, wherever it stands, and keeps its connection', async t => {
    const [{ pid }] = (await sql`select pg_backend_pid() as pid`) as unknown as [{ pid: number }]
    const texts = [
      () => sql`select ${sql('na\0me')} from people`,
      () => sql`select * from ${sql('people\0')}`,
      () => sql`select ${sql(['name', 'x\0'])} from people`,
      () => sql`insert into people ${sql({ 'name\0': 'x' })}`,
      () => sql`select 1 ${sql`as a\0`}`,
      () => sql`select 1 as a\0`,
      () => sql.unsafe('select 1\0'),
      () => sql`select ${'x\0'}::text`,
      () => sql.notify('news\0', 'x'),
    ]
    for (const text of texts) t.equal(await codeOf(text()), '22021', String(text))
    t.equal(await codeOf(sql.begin(tx => tx`select ${tx('na\0me')} from people`)), '22021')
    t.same([...(await sql`select pg_backend_pid() as pid`)], [{ pid }])
  })

  await t.test('adds nothing of a statement that failed half way to the next result', async t => {
    const failing = () => sql`select 1 / (4 - n) from generate_series(1, 9) n`
    t.equal(await codeOf(failing()), '22012')
    t.same([...(await sql`select 1 as a`)], [{ a: 1 }])
    const nested = await sql.begin(async sql => {
      t.equal(await codeOf(sql.savepoint(sql => sql`select 1 / (4 - n) from generate_series(1, 9) n`)), '22012')
      return sql`select 1 as a`
    })
    t.same([...nested], [{ a: 1 }])
    const inSession = await client().session(async sql => {
      await sql`select 1 / (4 - n) from generate_series(1, 9) n`.catch(() => {})
      return sql`select 1 as a`
    })
    t.same([...inSession], [{ a: 1 }])
  })

  await t.test('refuses to copy, and works after', async t => {
    t.equal(await codeOf(sql`copy people to stdout`.readable()), 'TENANT_CLIENT_METHOD')
    t.equal(await codeOf(sql`copy people from stdin`.writable()), 'TENANT_CLIENT_METHOD')
    t.equal(await codeOf(sql.unsafe('copy people to stdout')), 'TENANT_CLIENT_METHOD')
    t.equal(await codeOf(sql.unsafe('copy people from stdin')), 'TENANT_CLIENT_METHOD')
    t.same([...(await sql`select 1 as a`)], [{ a: 1 }])
  })

  await t.test('survives a started query that is never awaited', async t => {
    sql`select 1 / 0`.execute()
    sql.notify('', 'an empty channel is refused')
    t.same([...(await sql`select 1 as a`)], [{ a: 1 }])
  })

  await t.test('gives the reason why a method is missing', async t => {
    for (const name of ['listen', 'subscribe', 'reserve', 'end', 'close', 'largeObject']) {
      const method = (sql as unknown as Record<string, () => unknown>)[name]
      t.throws(() => method?.(), { code: 'TENANT_CLIENT_METHOD', message: new RegExp(`^sql\\.${name} .*: `) })
    }
  })
})
