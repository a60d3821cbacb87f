// Session state of one user of a tenant never reaches the next user of that tenant.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { RESET } from '../../../postgres/pool/session-reset.js'
import { until } from '../../until.js'
import { APPLICATION, codeOf, stand } from '../stand.js'

t.test('the next user of a connection', async t => {
  const { pool: build, look, server } = await stand(t)
  // One connection, so that the next user gets the same one, if it is lent again.
  const { client, pool } = build({ budget: 1, perKey: 1 })
  await look.unsafe('create role other; create table things (a int); grant all on things to other')
  const quiet = () => until(() => pool.info().inUse === 0)
  const left = async (work: (sql: ReturnType<typeof client>['sql']) => Promise<unknown>): Promise<void> => {
    const scope = client()
    await work(scope.sql).catch(() => {})
    scope.release()
    await quiet()
  }
  const next = client().sql

  await t.test('has no open transaction and sees nothing uncommitted', async t => {
    await left(sql => sql.unsafe('insert into things values (1); select 1 / 0'))
    t.same([...(await next`select count(*)::int as n from things`)], [{ n: 0 }])
    t.same([...(await next`select now() = statement_timestamp() as alone`.simple())], [{ alone: true }])
    t.same([...(await next`select 1 as a`)], [{ a: 1 }])
  })
  await t.test('is reset after a text without parameters only if that may have left something', async t => {
    const last = async () => (await look`select query from pg_stat_activity where application_name = ${APPLICATION}`)[0]
    const text = 'select count(*) from things -- by an ORM'
    await left(sql => sql.unsafe(text))
    t.same(await last(), { query: text })
    t.equal(await codeOf(next.unsafe('select 1; select 2').simple()), 'no error')
    await left(sql => sql.unsafe('set my.user = 1'))
    await until(async () => (await last())?.query === RESET)
  })
  await t.test('has no setting, no search path and no role of another', async t => {
    const seen =
      () => next`select current_setting('work_mem') as mem, current_setting('search_path') as path, current_user as who,
      current_setting('my.user', true) as mine, current_setting('statement_timeout') as timeout`
    const before = await seen()
    await left(sql =>
      sql.unsafe(
        `set work_mem = 4097; set search_path = pg_catalog; set my.user = 'ann'; set statement_timeout = 0; set role other`,
      ),
    )
    const [after] = await seen()
    t.same({ ...after, mine: after?.mine || null }, before[0])
    await left(sql => sql`select set_config('my.user', 'ben', false)`)
    t.notOk((await seen())[0]?.mine)
  })
  await t.test('has no setting that was written as a row of the catalogue', async t => {
    const seen = async () =>
      (
        await next`select current_setting('search_path') as path, current_setting('statement_timeout') as timeout,
          current_setting('default_transaction_read_only') as reads, current_user as who`
      )[0]
    const before = await seen()
    for (const [name, value] of [
      ['search_path', 'pg_catalog'],
      ['statement_timeout', '0'],
      ['default_transaction_read_only', 'on'],
      ['role', 'other'],
    ]) {
      await left(sql => sql`update pg_settings set setting = ${value as string} where name = ${name as string}`)
      t.same(await seen(), before, name ?? '')
    }
  })
  await t.test('has no temporary table, cursor, lock or channel of another', async t => {
    await left(sql =>
      sql.unsafe('create temp table things (secret text); declare c cursor with hold for select 1; listen news'),
    )
    await left(sql => sql`select pg_advisory_lock(7)`)
    t.same(
      [...(await next`select count(*)::int as n from information_schema.columns where column_name = 'secret'`)],
      [{ n: 0 }],
    )
    t.same([...(await next`select count(*)::int as n from pg_cursors where is_holdable`)], [{ n: 0 }])
    t.same([...(await next`select count(*)::int as n from pg_listening_channels()`)], [{ n: 0 }])
    t.same([...(await look`select pg_try_advisory_lock(7) as free`)], [{ free: true }])
    await look`select pg_advisory_unlock(7)`
  })
  await t.test('sees no prepared statement of another, and keeps the driver’s own', async t => {
    await left(sql => sql.unsafe('prepare mine as select 1'))
    t.equal(await codeOf(next.unsafe('prepare mine as select 2')), 'no error')
    await quiet()
    await left(sql => sql.unsafe('deallocate all'))
    const twice = () => next.begin(sql => sql`select ${1}::int as one`)
    await twice()
    t.same([...(await twice())], [{ one: 1 }])
  })
  await t.test('does not wait for a cursor left open', async t => {
    const scope = client()
    const rows = scope.sql`select n from generate_series(1, 1000) n`.cursor(10)[Symbol.asyncIterator]()
    await rows.next()
    scope.release()
    t.same([...(await next`select 1 as a`)], [{ a: 1 }])
  })
  await t.test('keeps the same connection after all state that can be reset', async t => {
    const pid = async () => (await next`select pg_backend_pid() as pid`)[0]?.pid
    const before = await pid()
    await left(sql => sql.unsafe('set role other; create temp table x (a int)'))
    t.equal(await pid(), before)
  })
  await t.test('gets a connection from a transaction of plain statements without a reset', async t => {
    const lastText = async () =>
      (await look`select query from pg_stat_activity where application_name = ${APPLICATION}`)[0]?.query
    const count = async () => (await look`select count(*)::int as n from things`)[0]?.n
    await left(sql => sql.begin(sql => sql`insert into things values (1)`))
    t.equal(await lastText(), 'commit')
    await left(sql =>
      sql.begin(async sql => {
        await sql.savepoint(sql => sql`insert into things values (2)`)
        await sql.savepoint(sql => sql`select 1 / 0`).catch(() => {})
      }),
    )
    t.equal(await lastText(), 'commit')
    await left(sql =>
      sql.begin(async sql => {
        await sql`insert into things values (3)`
        throw new Error('a failure of the user')
      }),
    )
    t.equal(await lastText(), 'rollback')
    await left(sql => sql.begin(sql => sql`select 1 / 0`))
    t.equal(await lastText(), 'rollback')
    t.same([...(await next`select now() = statement_timestamp() as alone`.simple())], [{ alone: true }])
    t.equal(await count(), 2)
    await look`truncate things`
  })
  await t.test('gets a connection that was reset when a transaction may have set something', async t => {
    const lastText = async () =>
      (await look`select query from pg_stat_activity where application_name = ${APPLICATION}`)[0]?.query
    await left(sql => sql.begin(sql => sql`select set_config('my.user', 'ann', false)`))
    t.equal(await lastText(), RESET)
    await left(sql => sql.begin(sql => sql.savepoint(sql => sql.unsafe(`set my.user = 'ben'`))))
    t.equal(await lastText(), RESET)
    t.notOk((await next`select current_setting('my.user', true) as mine`)[0]?.mine)
  })
  await t.test('is reset without a warning in the server’s log unless a transaction was open', async t => {
    const warnings = () => (readFileSync(server.log, 'utf8').match(/there is no transaction in progress/g) ?? []).length
    const before = warnings()
    await left(sql => sql.begin(sql => sql`select set_config('my.user', 'ann', false)`))
    await left(sql => sql`select set_config('my.user', 'ben', false)`)
    t.same([...(await next`select 1 as a`)], [{ a: 1 }])
    t.equal(warnings(), before)
  })
  await t.test('never gets the connection of a transaction that was cut short', async t => {
    const pid = async () => (await next`select pg_backend_pid() as pid`)[0]?.pid
    const before = await pid()
    const scope = client()
    const cut = scope.sql.begin(async sql => {
      await sql`insert into things values (1)`
      scope.release()
      await sql`insert into things values (2)`
    })
    t.equal(await codeOf(cut), 'TENANT_CLIENT_RELEASED')
    t.not(await pid(), before)
    t.same([...(await look`select a from things`)], [])
  })
  await t.test('gets a new connection when the old one has prepared a thousand statements', async t => {
    const pid = async () => (await next`select pg_backend_pid() as pid`)[0]?.pid
    const before = await pid()
    let most = 0
    for (let at = 0; at < 1_100; at++) {
      const [row] = await next.unsafe(`select count(*)::int as n, ${at} as at from pg_prepared_statements`, [], {
        prepare: true,
      })
      most = Math.max(most, row?.n)
    }
    t.ok(most <= 1_001, `${most} at most`)
    t.not(await pid(), before)
  })
})

t.test('session state that a function of the schema leaves', async t => {
  const { pool: build, look } = await stand(t)
  await look.unsafe(`
    create function sly(mark text) returns text language sql as $$ select set_config('my.mark', mark, false) $$;
    create table things (a int);
    create function marks() returns trigger language plpgsql as
      $$ begin perform set_config('my.mark', 'trigger', false); return new; end $$;
    create trigger marking before insert on things for each row execute function marks()`)
  const mark = (sql: ReturnType<ReturnType<typeof build>['client']>['sql']) =>
    sql`select nullif(current_setting('my.mark', true), '') as mark, pg_backend_pid() as pid`

  await t.test('is reset when a statement calls the function; a trigger’s stays by default', async t => {
    const { client } = build({ budget: 1, perKey: 1 })
    await client().sql`select sly('ann')`
    t.match(await mark(client().sql), [{ mark: null }])
    await client().sql`insert into things values (1)`
    t.match(await mark(client().sql), [{ mark: 'trigger' }])
  })
  await t.test('reaches no later user when every session is reset', async t => {
    const { client, pool } = build({ budget: 1, perKey: 1, alwaysReset: true })
    const [{ pid } = {}] = await mark(client().sql)
    await client().sql`select sly('ann')`
    t.match(await mark(client().sql), [{ mark: null, pid }])
    await client().sql`insert into things values (1)`
    t.match(await mark(client().sql), [{ mark: null, pid }])
    await client().sql.begin(sql => sql`select sly('ben')`)
    t.match(await mark(client().sql), [{ mark: null, pid }])
    // Nor a concurrent one: no statements share a connection.
    for (let at = 0; at < 5; at++) await mark(client().sql)
    const together = await Promise.all(
      Array.from({ length: 20 }, (_, at) => (at % 2 ? client().sql`select sly('sly') as mark` : mark(client().sql))),
    )
    t.ok(together.every(([row], at) => row?.mark === (at % 2 ? 'sly' : null)))
    await until(() => pool.info().inUse === 0)
  })
})

t.test('a pool of one piece of work resets a session when it is leased again, and not at the end', async t => {
  const { pool: build, look } = await stand(t)
  const { client, pool } = build({ budget: 1, perKey: 1, resetLate: true })
  const { sql } = client()
  const lastText = async () =>
    (await look`select query from pg_stat_activity where application_name = ${APPLICATION}`)[0]?.query
  const mine = async () => (await sql`select current_setting('my.user', true) as mine, pg_backend_pid() as pid`)[0]
  await sql.begin(sql => sql`select set_config('my.user', 'ann', false)`)
  t.equal(await lastText(), 'commit', 'not at its end')
  const { pid, ...seen } = (await mine()) ?? {}
  t.notOk(seen.mine, 'before its next statement')
  await sql.unsafe("select set_config('my.user', 'ben', false); select 1")
  t.notOk(await sql.begin(async sql => (await sql`select current_setting('my.user', true) as mine`)[0]?.mine))
  t.equal((await mine())?.pid, pid, 'in the same session')
  await sql.unsafe("select set_config('my.user', 'cyd', false); select 1")
  await pool.close(60_000)
  t.equal(pool.info().open, 0)
})
