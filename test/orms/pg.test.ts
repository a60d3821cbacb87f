// The pool in the shape of `pg`, compared with `pg` itself on the same database.
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'

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
  const {
    name,
    message,
    code,
    severity,
    detail,
    hint,
    position,
    schema,
    table,
    column,
    dataType,
    constraint,
    routine,
  } = error as pg.DatabaseError
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
  await same(t, 'date of a session', on =>
    on.query('select $1::date as a, $2::timestamp as b', [at, '2024-01-01 00:00']),
  )
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
  await same(t, 'not null', on =>
    on.query('insert into everything (id, name) overriding system value values (null, 1)'),
  )
  await same(t, 'two statements with values', on => on.query('select $1::int; select 2', [1]))
  await same(t, 'a value that cannot be made', on =>
    on.query('select $1', [{ toPostgres: (p: never) => p, toJSON: 1n }]),
  )
  await same(t, 'no text', on => on.query({ values: [] } as never))
  await same(t, 'values that are no list', on => on.query('select 1', {} as never))
})

t.test('every form of a call, of the pool and of a client', async t => {
  await ours(async pool => {
    t.type(pool, pg.Pool)
    for (const on of [pool, await pool.connect()]) {
      t.same((await on.query('select 1 as a')).rows, [{ a: 1 }])
      t.same((await on.query('select $1::int as a', [2])).rows, [{ a: 2 }])
      const called = (...args: unknown[]) =>
        new Promise((resolve, reject) => {
          const done = (error: Error | undefined, result: pg.QueryResult) =>
            error ? reject(error) : resolve(result.rows)
          t.equal((on.query as (...all: unknown[]) => unknown)(...args, done), undefined)
        })
      t.same(await called('select 1 as a'), [{ a: 1 }])
      t.same(await called('select $1::int as a', [2]), [{ a: 2 }])
      t.same(await called({ text: 'select $1::int as a', values: [3] }), [{ a: 3 }])
      await t.rejects(called('selekt'), { code: '42601' })
      if ('release' in on) on.release()
    }
    await new Promise<void>((resolve, reject) => {
      pool.connect((error, client, release) => {
        if (error || !client) return reject(error)
        client.query('select 1 as a', (failed, { rows }) => {
          t.same(rows, [{ a: 1 }])
          release()
          if (failed) reject(failed)
          else resolve()
        })
      })
    })
  })
})

t.test('several statements in one text', async t => {
  await same(t, 'read', on => on.query(`select 1 as a; select ';' as b, 2 as c; -- the end`))
  await same(t, 'write', on =>
    on.query(
      'create temp table few (a int); insert into few values (1), (2); select count(*)::int as n from few; drop table few',
    ),
  )
  await same(t, 'in a transaction of their own', on => on.query('begin; select 1 as a; commit'))
  await ours(async pool => {
    await t.rejects(pool.query(`insert into notes (body) values ('half'); select 1/0`), { code: '22012' })
    t.same((await pool.query(`select from notes where body = 'half'`)).rowCount, 0, 'all or none')
  })
})

t.test('a transaction by its statements', async t => {
  await ours(async (pool, sql) => {
    const client = await pool.connect()
    await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
    await client.query('SET LOCAL work_mem = 65536')
    await client.query('insert into notes (body) values ($1)', ['kept'])
    await client.query('SAVEPOINT one')
    await t.rejects(client.query('insert into notes (body) values ($1)', ['kept']), {
      code: '23505',
      constraint: 'notes_body_key',
      table: 'notes',
    })
    await client.query('ROLLBACK TO SAVEPOINT one')
    t.same((await sql`select from notes where body = 'kept'`).length, 0, 'no row is visible outside before the end')
    t.equal((await client.query('COMMIT')).command, 'COMMIT')
    client.release()
    t.same((await sql`select from notes where body = 'kept'`).length, 1)

    const failed = await pool.connect()
    await failed.query('begin')
    await t.rejects(failed.query('select 1/0'), { code: '22012' })
    await t.rejects(failed.query('select 1'), { code: '25P02' })
    t.equal((await failed.query('commit')).command, 'ROLLBACK', 'as in `pg`')
    failed.release()
  })
})

t.test('a cursor and a stream read in batches', async t => {
  await ours(async pool => {
    const client = await pool.connect()
    const cursor = client.query(new Cursor('select n from generate_series(1, $1::int) n', [5]))
    t.same(await cursor.read(2), [{ n: 1 }, { n: 2 }])
    t.same(await cursor.read(1), [{ n: 3 }])
    t.same(await cursor.read(10), [{ n: 4 }, { n: 5 }])
    t.same(await cursor.read(10), [])
    await cursor.close()
    const unread = client.query(new Cursor('select n from generate_series(1, 100000) n'))
    t.equal((await unread.read(3)).length, 3)
    await unread.close()
    const none = client.query(new Cursor('select 1 as n where false'))
    t.same(await none.read(3), [])
    const bad = client.query(new Cursor('select 1 / (3 - n) from generate_series(1, 5) n'))
    await t.rejects(bad.read(10), { code: '22012' })
    const numbers: number[] = []
    for await (const row of client.query(
      new QueryStream('select n from generate_series(1, 500) n', [], { batchSize: 7 }),
    )) {
      numbers.push((row as { n: number }).n)
    }
    t.equal(numbers.length, 500)
    t.same((await client.query('select 1 as a')).rows, [{ a: 1 }], 'the client keeps working')
    client.release()
  })
})

t.test('a session is as new for the next, and closed when it is released with an error', async t => {
  const state = `select current_user::text as user, current_setting('work_mem') as mem, coalesce(current_setting('app.tenant', true), '') as own,
    (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
    (select count(*)::int from pg_listening_channels()) as channels, to_regclass('pg_temp.left_behind') is not null as temp,
    pg_backend_pid() as pid, now() <> statement_timestamp() as "inTransaction"`
  const single = await stand.app('notes', { maxConnectionsPerTenant: 1 })
  await single.tenants.run('acme', async ({ sql }) => {
    const pool = new Pool({ sql })
    const before = (await pool.query(state)).rows[0]
    for (const dirt of [
      `set work_mem = '7MB'`,
      `select set_config('app.tenant', 'other', false)`,
      'select pg_advisory_lock(7)',
      'listen everything',
      'create temp table left_behind (a int)',
      'begin',
      `set session authorization default; begin; set work_mem = '8MB'`,
    ]) {
      const client = await pool.connect()
      await client.query(dirt)
      client.release()
      t.same((await pool.query(state)).rows[0], before, dirt)
    }
    const kept = await pool.connect()
    await kept.query('begin')
    await kept.query('select 1')
    await kept.query('commit')
    kept.release()
    t.equal((await pool.query(state)).rows[0].pid, before.pid, 'one without session state is used again')
    const spoilt = await pool.connect()
    spoilt.release(new Error('a failure of its user'))
    t.not((await pool.query(state)).rows[0].pid, before.pid)
    const pending = await pool.connect()
    const late = pending.query('select pg_sleep(10)')
    pending.release(true)
    await t.rejects(late)
  })
})

t.test('calls that a lease does not allow have the codes of `request.sql`', async t => {
  await ours(async pool => {
    await t.rejects(pool.query('begin'), { code: 'TENANT_STATEMENT_REFUSED' }, 'it would have a session for itself')
    await t.rejects(pool.query('set local work_mem = 64'), { code: 'TENANT_STATEMENT_REFUSED' })
    await t.rejects(pool.query('select lo_create(0)'), { code: 'TENANT_STATEMENT_REFUSED' })
    await t.rejects(pool.query({ text: 'select $1::int', values: [1], binary: true } as never), {
      code: 'TENANT_CLIENT_METHOD',
    })
    const client = await pool.connect()
    await t.rejects(client.query('select lo_create(0)'), { code: 'TENANT_STATEMENT_REFUSED' })
    await t.rejects(client.query('copy notes (body) from stdin'), { code: 'TENANT_CLIENT_METHOD' })
    await t.rejects(client.query('select 1'), { code: 'TENANT_CLIENT_METHOD' }, 'its connection was returned')
    client.release()
    t.same((await pool.query('select 1 as a')).rows, [{ a: 1 }])
  })
})

t.test('events, as in `pg`', async t => {
  await ours(async pool => {
    const events: string[] = []
    for (const event of ['connect', 'acquire', 'release', 'remove'] as const) {
      pool.on(event as 'connect', () => events.push(event))
    }
    await pool.query('select 1')
    const client = await pool.connect()
    t.throws(() => {
      client.release()
      client.release()
    }, /already been released/)
    await pool.end()
    t.same(events, ['connect', 'acquire', 'release', 'remove', 'connect', 'acquire', 'release', 'remove'])
    t.match([pool.totalCount, pool.idleCount, pool.waitingCount, pool.ended], [0, 0, 0, true])
    await t.rejects(pool.query('select 1'), /after calling end/)
    await t.rejects(pool.connect(), /after calling end/)
  })
  await ours(async (_, sql) => {
    const named: string[] = []
    const pool = new Pool({
      sql,
      onConnect: client => void named.push(typeof client.query),
      types: { getTypeParser: () => String },
    })
    t.same((await pool.query('select 1 as a')).rows, [{ a: '1' }], 'parsers of the pool')
    t.same(named, ['function'])
  })
})

t.test('a connection that is lost costs its statement an error, and never the process', async t => {
  await ours(async pool => {
    const client = await pool.connect()
    const { rows } = await client.query('select pg_backend_pid() as pid')
    const errors: Error[] = []
    client.on('error', error => errors.push(error))
    const lost = t.rejects(client.query('select pg_sleep(10)'), { code: 'TENANT_DATABASE_UNAVAILABLE' })
    await theirs.query('select pg_terminate_backend($1)', [rows[0].pid])
    await lost
    await t.rejects(client.query('select 1'), { code: 'TENANT_DATABASE_UNAVAILABLE' })
    t.match(errors, [{ code: 'TENANT_DATABASE_UNAVAILABLE' }])
    client.release()

    const idle = await pool.connect()
    const { rows: again } = await idle.query('select pg_backend_pid() as pid')
    await theirs.query('select pg_terminate_backend($1)', [again[0].pid])
    await t.rejects(idle.query('select 1'), { code: 'TENANT_DATABASE_UNAVAILABLE' }, 'without a listener for `error`')
    idle.release()
    t.same((await pool.query('select 1 as a')).rows, [{ a: 1 }])

    const careful = await pool.connect()
    const { rows: second } = await careful.query('select pg_backend_pid() as pid')
    const failed = new Promise(resolve => {
      careful.query('select pg_sleep(10)', error => {
        careful.release(error)
        resolve(error)
      })
    })
    await theirs.query('select pg_terminate_backend($1)', [second[0].pid])
    t.match(await failed, { code: 'TENANT_DATABASE_UNAVAILABLE' }, 'released as soon as it is known')

    const committing = await pool.connect()
    const { rows: third } = await committing.query('select pg_backend_pid() as pid')
    await committing.query('create temp table later (a int references everything_keys deferrable)').catch(() => {})
    await committing.query('begin')
    await committing.query(
      `create function pg_temp.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(10); return null; end $$`,
    )
    await committing.query('create temp table slow (a int)')
    await committing.query(
      'create constraint trigger slow after insert on slow deferrable initially deferred for each row execute function pg_temp.slow()',
    )
    await committing.query('insert into slow values (1)')
    // Its rejection may come before the answer about the termination.
    const unknown = t.rejects(committing.query('commit'), { code: 'TENANT_COMMIT_UNKNOWN' })
    await theirs.query('select pg_terminate_backend($1)', [third[0].pid])
    await unknown
    committing.release()
  })
})

t.test('after its scope a pool is dead, and so is a client of it', async t => {
  const held = await ours(async pool => {
    const client = await pool.connect()
    await client.query('begin')
    return { pool, client, connecting: pool.connect() }
  })
  await t.rejects(held.pool.query('select 1'), { code: 'TENANT_CLIENT_RELEASED' })
  await t.rejects(held.pool.connect(), { code: 'TENANT_CLIENT_RELEASED' })
  await t.rejects(held.client.query('commit'), { code: 'TENANT_CLIENT_RELEASED' })
  await t.rejects(held.connecting, { code: 'TENANT_CLIENT_RELEASED' })
  held.client.release()
  const { inUse } = app.tenants.connectionInfo()
  t.equal(inUse, 0)
})

t.test('connections count in the budget, and a wait for one ends in TENANT_BUSY', async t => {
  const small = await stand.app('notes', { maxConnections: 1, acquireTimeout: 1_000 })
  await small.tenants.run('acme', async ({ sql }) => {
    const pool = new Pool({ sql })
    const first = await pool.connect()
    await t.rejects(pool.connect(), { code: 'TENANT_BUSY' })
    await t.rejects(pool.query('select 1'), { code: 'TENANT_BUSY' })
    first.release()
    t.same((await pool.query('select 1 as a')).rows, [{ a: 1 }])
    const bounded = new Pool({ sql, max: 1 })
    const one = await bounded.connect()
    const two = bounded.connect()
    t.equal(bounded.waitingCount, 1)
    one.release()
    ;(await two).release()
  })
})

t.test('a pool of a process works where a tenant’s work runs, and nowhere else', async t => {
  let pool!: pg.Pool
  const other = await stand.app('notes', {}, app => {
    pool = new Pool({ tenants: app.tenants })
  })
  await t.rejects(pool.query('select 1'), { code: 'TENANT_CONTEXT_MISSING' })
  await t.rejects(pool.connect(), { code: 'TENANT_CONTEXT_MISSING' })
  const name = 'select current_database()::text as name'
  const names = await other.tenants.run('acme', async () => {
    const client = await pool.connect()
    const answers = [await client.query(name), await pool.query(name)]
    client.release()
    return answers.map(({ rows }) => rows[0].name)
  })
  t.same(names, ['tenant_acme_notes', 'tenant_acme_notes'])
  t.throws(() => app.tenants.follow(), { code: 'FST_ERR_INSTANCE_ALREADY_LISTENING' }, 'too late')
})

t.test('a value that cannot be written fails its query, once, and no other', async t => {
  await ours(async pool => {
    const unwritable = {
      toPostgres() {
        throw new Error('it cannot be written')
      },
    }
    const seen: (string | undefined)[] = []
    const failed = new Promise<void>(resolve => {
      pool.query('select $1::text as a', [unwritable], error => {
        seen.push(error?.message)
        resolve()
      })
    })
    await failed
    t.same((await pool.query('select 1 as a')).rows, [{ a: 1 }])
    t.same(seen, ['it cannot be written'])
    await t.rejects(pool.query('select $1::text as a', [unwritable]), { message: 'it cannot be written' })
  })
})

t.test('a pool of another client, or with an unknown option, is refused', async t => {
  t.throws(() => new Pool({} as never), { code: 'CONFIGURATION_INVALID' })
  t.throws(() => new Pool({ tenants: app.tenants, max: 3 } as never), { code: 'CONFIGURATION_INVALID' })
  t.throws(() => new Pool({ sql: theirs as never }), { code: 'CONFIGURATION_INVALID' })
  await t.rejects(new Pool({ sql: (() => {}) as never }).connect(), { code: 'CONFIGURATION_INVALID' })
})
