// The pool in the shape of `pg`, beside `pg` itself on the same database: what one gives, the other gives.
import pg from 'pg'


import t, { type Test } from 'tap'
import { Pool } from '../../orms/pg/index.js'
import type { SqlClient } from '../../plugins/distributed-tenant/index.js'
import { rig } from '../rig.js'

const stand = await rig(t, ['notes'])
const app = await stand.app('notes', { service: 'notes' })
await app.tenants.create({ id: 'acme', name: 'Acme' })
const { host, port, user, password } = stand.servers.postgres.notes as never as Record<string, string>
const theirs = new pg.Pool({ host, port: Number(port), user, password, database: 'tenant_acme_notes' } as pg.PoolConfig)
t.before(async () => {
  await theirs.query(`create type feeling as enum ('sad', 'glad')`)
  await theirs.query(
    `create table everything (id bigint generated always as identity, name text, small int, price numeric, at timestamptz,
     local timestamp, day date, doc json, docb jsonb, bytes bytea, yes boolean, tags text[], numbers int[], feels feeling,
     feelings feeling[], span interval, key uuid, real float8, address inet)`,
  )
  await theirs.query('grant all on everything to public')
})
t.teardown(() => theirs.end())

/** Runs with a pool of the tenant. */
const ours = <T>(fn: (pool: pg.Pool, sql: SqlClient) => Promise<T>): Promise<T> =>
  app.tenants.run('acme', ({ sql }) => fn(new Pool({ sql }), sql))

const shape = (result: pg.QueryResult | pg.QueryArrayResult | pg.QueryResult[]): unknown =>
  Array.isArray(result)
    ? result.map(shape)
    : {
        command: result.command,
        rowCount: result.rowCount,
        oid: result.oid,
        rows: result.rows,
        fields: result.fields.map(({ name, tableID, columnID, dataTypeID, format }) => ({
          name,
          tableID,
          columnID,
          dataTypeID,
          format,
        })),
      }

const failure = (error: unknown) => {
  const { name, message, code, severity, detail, hint, position, schema, table, column, dataType, constraint, routine } =
    error as pg.DatabaseError
  return { name, message, code, severity, detail, hint, position, schema, table, column, dataType, constraint, routine }
}

/** The same on both, by a pool and by a client of it. */
async function same(t: Test, what: string, run: (on: pg.Pool | pg.PoolClient) => Promise<unknown>): Promise<void> {
  const outcome = async (on: pg.Pool | pg.PoolClient): Promise<unknown> => {
    try {
      return shape((await run(on)) as pg.QueryResult)
    } catch (error) {
      return failure(error)
    }
  }
  const expected = await outcome(theirs)
  await ours(async pool => {
    t.strictSame(await outcome(pool), expected, `${what}: pool`)
    const client = await pool.connect()
    t.strictSame(await outcome(client), expected, `${what}: client`)
    client.release()
  })
}

t.test('results are as `pg` gives them', async t => {
  const at = new Date('2024-02-29T12:34:56.789Z')
  const values = [
    'Ann "O\'Hara" \\ é',
    7,
    '12345678901234567890.123',
    at,
    at,
    at,
    { a: [1, null, 'x'], b: 'q"' },
    JSON.stringify(['t', 1]),
    Buffer.from([0, 1, 255, 92]),
    true,
    ['a', 'b,c', '"d"', null],
    [1, 2, null],
    'glad',
    ['sad', 'glad'],
    '1 day 2 hours',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    1.5,
    '10.0.0.1/8',
  ]
  const insert = `insert into everything (name, small, price, at, local, day, doc, docb, bytes, yes, tags, numbers, feels,
    feelings, span, key, real, address) values (${values.map((_, at) => `$${at + 1}`)}) returning *`
  await same(t, 'insert', on => on.query(insert.replace('returning *', 'returning name, doc, docb, bytes'), values))
  await same(t, 'select', on => on.query('select * from everything where id = 1'))
  await same(t, 'with a string for a number', on => on.query('select * from everything where id = $1', ['1']))
  await same(t, 'rowMode', on => on.query({ text: 'select * from everything where id = 1', rowMode: 'array' } as never))
  await same(t, 'two columns of a name', on => on.query('select 1 as a, 2 as a'))
  await same(t, 'null', on => on.query('select $1::int as a, $2::text as b', [null, undefined]))
  await same(t, 'empty', on => on.query('select * from everything where false'))
  await same(t, 'no text', on => on.query(''))
  await same(t, 'update', on => on.query('update everything set small = 8 where id = $1', [1]))
  await same(t, 'delete', on => on.query('delete from everything where id = $1', [-1]))
  await same(t, 'json of a string', on => on.query('select $1::json as a, $2::jsonb as b', ['"s"', '{"a":1}']))
  await same(t, 'bool of text', on => on.query('select $1::boolean as a', ['t']))
  await same(t, 'bytes as text', on => on.query('select $1::text as a', [Buffer.from('é')]))
  await same(t, 'date of a session', on => on.query('select $1::date as a, $2::timestamp as b', [at, '2024-01-01 00:00']))
  await same(t, 'toPostgres', on => on.query('select $1::text as a', [{ toPostgres: () => 'made' }]))
  await same(t, 'a name', on => on.query({ name: 'one', text: 'select $1::int as a', values: [1] }))
  await same(t, 'a trailing semicolon', on => on.query('select 1 as a; '))
  await same(t, 'a row of a table', on => on.query('select everything from everything'))
  const types = { getTypeParser: () => (text: string) => `<${text}>` } as never
  await same(t, 'types of a query', on => on.query({ text: 'select 1 as a, now() is null as b', types }))
})

t.test('errors are as `pg` gives them', async t => {
  await same(t, 'syntax', on => on.query('selekt 1'))
  await same(t, 'no table', on => on.query('select * from nowhere where id = $1', [1]))
  await same(t, 'a value that is none', on => on.query('select $1::int', ['x']))
  await same(t, 'unique', on => on.query(`insert into notes (id, body) values (1, 'a'), (1, 'b')`))
  await same(t, 'not null', on => on.query('insert into notes (body) values (null)'))
  await same(t, 'two statements with values', on => on.query('select $1::int; select 2', [1]))
  await same(t, 'a value that cannot be made', on => on.query('select $1', [{ toPostgres: (p: never) => p, toJSON: 1n }]))
  await same(t, 'no text', on => on.query({ values: [] } as never))
  await same(t, 'values that are no list', on => on.query('select 1', {} as never))
})
