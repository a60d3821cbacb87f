// Values of every type of a server, read and written as plain `postgres` does, and arrays of types that plain
// `postgres` or a session does not know.
import postgres from 'postgres'
import t from 'tap'
import type { SqlClient } from '../../../plugins/distributed-tenant/types.js'
import { stand } from '../stand.js'

/** The first value that the server accepts for a type is used. */
const candidates = [
  '1',
  'a',
  '2026-01-31 10:00:00+02',
  '10:00:00+02',
  '[1,5)',
  '{[1,5)}',
  '[2026-01-01,2026-02-01)',
  '{[2026-01-01,2026-02-01)}',
  '{"a": [1, null]}',
  '(1,2)',
  '(1,2),(3,4)',
  '((0,0),(1,1))',
  '<(1,2),3>',
  '{1,2,3}',
  '10.0.0.1/32',
  '08:00:2b:01:02:03',
  '08:00:2b:01:02:03:04:05',
  '6f3a1b52-9d3c-4d0f-8f0e-0a4b1f1e2d3c',
  '16/B374D848',
  '10:20:10,14,15',
  'pg_class',
  'now()',
  'lower(text)',
  '=(integer,integer)',
  'english',
  'simple',
  'public',
  'postgres',
  'calm',
  'YES',
  'postgres=r/postgres',
]

interface TypeRow {
  readonly name: string
  readonly kind: string
  readonly columns: number
}

t.test('every type of the catalogue', async t => {
  const { server, look, pool } = await stand(t)
  await look.unsafe(`
    create type mood as enum ('calm', 'a"b,c'); create type pair as (a int, b text);
    create domain positive as int check (value > 0); create domain words as text[];
    create type span as range (subtype = float8); create table things (id int, title text)`)
  const { host, port, user, password } = server
  const plain = postgres({ host, port, user, password, database: 'postgres', max: 1, onnotice() {} })
  t.teardown(() => plain.end({ timeout: 1 }))
  const ours = pool({ budget: 1, perKey: 1 }).client().sql

  const types = await look<TypeRow[]>`
    select format('%I.%I', nspname, typname) as name, typtype as kind,
      (select count(*)::int from pg_attribute where attrelid = typrelid and attnum > 0 and not attisdropped) as columns
    from pg_type join pg_namespace n on n.oid = typnamespace
    where typarray > 0 and typtype <> 'p' and nspname in ('pg_catalog', 'public', 'information_schema')
      and not (typtype = 'c' and nspname = 'information_schema') order by 1`

  async function literalOf({ name, kind, columns }: TypeRow): Promise<string | null> {
    if (kind === 'c') return `('(${','.repeat(Math.max(0, columns - 1))})'::${name})`
    for (const candidate of candidates) {
      const literal = `('${candidate}'::${name})`
      // Some types can be read and not written.
      if (
        await look.unsafe(`select array[${literal}]::text`).then(
          () => true,
          () => false,
        )
      )
        return literal
    }
    return null
  }

  /** The client's result: the rows, or the code of its failure. */
  const seen = (query: PromiseLike<Iterable<unknown>>): Promise<unknown> =>
    Promise.resolve(query).then(
      rows => [...rows],
      error => error.code ?? error.message,
    )

  const without: string[] = []
  const failed: string[] = []
  let compared = 0
  for (const type of types) {
    const v = await literalOf(type)
    if (v === null) {
      without.push(type.name)
      continue
    }
    const text = `select ${v} as zero, array[${v}, ${v}] as one, array[[${v}, ${v}], [${v}, ${v}]] as two,
      array[[[${v}], [${v}]], [[${v}], [${v}]]] as three, '{}'::${type.name}[] as none, array[null::${type.name}] as nulls,
      ('[5:6]=' || array[${v}, ${v}]::text)::${type.name}[] as shifted, array[${v}, ${v}] as unshifted`
    const [mine, theirs] = await Promise.all([
      seen(ours.unsafe(text)),
      seen(plain.unsafe(text.replace(/array\[null::.*?\] as nulls/, '1 as nulls'))),
    ])
    const row = (Array.isArray(mine) ? mine[0] : null) as Record<string, unknown> | null
    if (row === null) {
      failed.push(`${type.name}: ${mine}`)
      continue
    }
    // Plain `postgres` reads a null in an array by the element's parser: as NaN, the text NULL, or not at all.
    const expected = Array.isArray(theirs)
      ? theirs.map(one => ({ ...one, shifted: one.unshifted, nulls: [null] }))
      : theirs
    t.same(mine, expected, `${type.name} is read as by plain postgres, whatever its lower bounds`)
    // Sent in the text form that was read.
    for (const value of [row.zero, row.one, row.two, row.three]) {
      const write = (sql: SqlClient | postgres.Sql) =>
        seen(
          (sql as postgres.Sql).unsafe(`select ($1::${type.name}${Array.isArray(value) ? '[]' : ''})::text as text`, [
            value as string,
          ]),
        )
      const [sent, theirSent] = [await write(ours), await write(plain)]
      t.same(sent, theirSent, `${type.name} is written as by plain postgres`)
    }
    compared++
  }
  t.ok(compared > 200, `${compared} types`)
  t.same(failed, [], 'every type can be read')
  t.same(without, ['pg_catalog.gtsvector'], 'every type that has an input has a value')
})

t.test('bounds and spaces of arrays', async t => {
  const { pool } = await stand(t)
  const sql = pool().client().sql
  const [row] = await sql`select '[0:2]={1,2,3}'::int[] as zero, '[-3:-2][7:8]={{1,2},{3,NULL}}'::int[] as two,
    '[0:0]={"a=b{}"}'::text[] as text, '[2:2]={"[0:1]={1}"}'::text[] as inside,
    '[0:1]={(1,2);(3,4)}'::text as plain, '[1:2]={1,2}'::int[] as usual`
  t.same(row, {
    zero: [1, 2, 3],
    two: [
      [1, 2],
      [3, null],
    ],
    text: ['a=b{}'],
    inside: ['[0:1]={1}'],
    plain: '[0:1]={(1,2);(3,4)}',
    usual: [1, 2],
  })
  t.same(
    [...(await sql`select '[0:1]={(2,2),(1,1);(4,4),(3,3)}'::box[] as boxes`)],
    [{ boxes: ['(2,2),(1,1)', '(4,4),(3,3)'] }],
  )
})

t.test('types that are younger than the connection', async t => {
  const { pool: build, look } = await stand(t)
  const { client } = build({ budget: 1, perKey: 1 })
  const scope = client()
  const { sql } = scope
  let made = 0
  /** A new database type for each case, on a connection that was opened before. */
  async function fresh(): Promise<{ mood: string; pair: string; table: string; pid: number }> {
    const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
    const n = ++made
    const names = { mood: `mood_${n}`, pair: `pair_${n}`, table: `table_${n}` }
    await look.unsafe(`create type ${names.mood} as enum ('calm', 'busy'); create type ${names.pair} as (a int, b text);
      create table ${names.table} (id int, title text); insert into ${names.table} values (1, 'a'), (2, 'b,c')`)
    return { ...names, pid: (row as { pid: number }).pid }
  }
  const moods = ['calm', 'busy', null]
  const columns = ({ mood, pair, table }: { mood: string; pair: string; table: string }) =>
    `array['calm', 'busy', null]::${mood}[] as moods, array[(1, 'x')::${pair}, null] as pairs,
      (select array_agg(t order by id) from ${table} t) as rows, '[0:0]={calm}'::${mood}[] as shifted, 'calm'::${mood} as mood`
  const expected = {
    moods,
    pairs: ['(1,x)', null],
    rows: ['(1,a)', '(2,"b,c")'],
    shifted: ['calm'],
    mood: 'calm',
  }

  await t.test('are known to a statement', async t => {
    const types = await fresh()
    for (let n = 0; n < 3; n++) {
      const rows = await sql.unsafe(`select ${columns(types)}, pg_backend_pid() as pid`, [], { prepare: true })
      t.same([...rows], [{ ...expected, pid: types.pid }])
    }
  })
  await t.test('are known to many statements at a time', async t => {
    const { mood } = await fresh()
    const all = await Promise.all(
      Array.from({ length: 12 }, () => sql.unsafe(`select array['calm']::${mood}[] as moods`, [], { prepare: true })),
    )
    for (const rows of all) t.same([...rows], [{ moods: ['calm'] }])
  })
  await t.test('are known to rows as lists, and to a text of several statements', async t => {
    const types = await fresh()
    t.same([...(await sql.unsafe(`select ${columns(types)}`).values())], [Object.values(expected)])
    const next = await fresh()
    const several = await sql.unsafe(`select ${columns(next)}; select 1 as a; select ${columns(next)}`)
    t.same(
      several.map((rows: unknown) => [...(rows as unknown[])]),
      [[expected], [{ a: 1 }], [expected]],
    )
  })
  await t.test('are known to a cursor and to a function for each row', async t => {
    const types = await fresh()
    const read: unknown[] = []
    for await (const rows of sql.unsafe(`select ${columns(types)} from generate_series(1, 5)`).cursor(2))
      read.push(...rows)
    t.same(
      read,
      Array.from({ length: 5 }, () => expected),
    )
    const next = await fresh()
    const each: unknown[] = []
    await sql.unsafe(`select ${columns(next)} from generate_series(1, 3)`).forEach(row => {
      each.push(row)
    })
    t.same(
      each,
      Array.from({ length: 3 }, () => expected),
    )
  })
  await t.test('are known in a transaction that made them, and after it has failed and was rolled back', async t => {
    await sql.begin(async sql => {
      await sql`create type inner_mood as enum ('calm')`
      t.same([...(await sql`select array['calm']::inner_mood[] as moods`)], [{ moods: ['calm'] }])
      await sql.savepoint(sql => sql`select 1 / 0`).catch(() => {})
      await sql`create type other_mood as enum ('calm')`
      t.same([...(await sql`select array['calm']::other_mood[] as moods`)], [{ moods: ['calm'] }])
    })
  })
  await t.test('are written', async t => {
    const { mood } = await fresh()
    const [row] = await sql.unsafe(`select $1::${mood}[] as moods, ($1::${mood}[])::text as text`, [moods as string[]])
    t.same(row, { moods, text: '{calm,busy,NULL}' })
  })
  await t.test('on the existing connection', async t => {
    const [before] = await sql`select pg_backend_pid() as pid`
    t.equal((await fresh()).pid, before?.pid)
  })
  scope.release()
})
