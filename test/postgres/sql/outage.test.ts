// A server that kills, freezes, restarts or turns read-only costs the requests that were using it one error each.
import t from 'tap'
import { until } from '../../until.js'
import { codeOf, gate, stand } from '../stand.js'

t.test('a server', async t => {
  const { server, look, pool: build, databases } = await stand(t, { max_connections: 60 })
  const [one, two] = (await databases(2)) as [string, string]
  const kill = (name: string) =>
    look`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name} and pid <> pg_backend_pid()`
  const running = (name: string, query: string) => async () =>
    (
      await look`select 1 from pg_stat_activity where application_name = ${name} and state = 'active' and query like ${query}`
    ).length > 0

  await t.test('that ended an idle connection costs no request anything', async t => {
    const { client, pool } = build({ target: { applicationName: 'idle' } })
    await client(one).sql`select 1`
    await kill('idle')
    await until(() => pool.info().open === 0)
    t.equal(await codeOf(client(one).sql`select 1`), 'no error')
  })

  await t.test('that ended a backend in a query costs that query a 503, once', async t => {
    const { client, pool } = build({ target: { applicationName: 'query' } })
    const cut = client(one).sql`select pg_sleep(20)`.catch((error: Error) => error)
    const other = client(two).sql`select 1`
    await other
    await until(running('query', '%pg_sleep%'))
    await look`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'query' and datname = ${one}`
    const error = (await cut) as Error & { headers: object }
    t.match(error, { code: 'TENANT_DATABASE_UNAVAILABLE', statusCode: 503 })
    t.same(error.headers, { 'retry-after': '2' })
    t.equal(await codeOf(client(one).sql`select 1`), 'no error', 'and no stale answer follows')
    await until(() => pool.info().inUse === 0)
    t.equal(pool.info().open, 2)
  })

  await t.test('that ended a transaction leaves nothing of it, and runs nothing of it elsewhere', async t => {
    const { client } = build({ target: { applicationName: 'tx' } })
    const { sql } = client(one)
    await sql`create table written (title text)`
    const cut = sql.begin(async sql => {
      await sql`insert into written values ('a')`
      await kill('tx')
      await sql`insert into written values ('b')`
      await sql`insert into written values ('c')`
    })
    t.equal(await codeOf(cut), 'TENANT_DATABASE_UNAVAILABLE')
    const waiting = sql.begin(async sql => {
      await sql`insert into written values ('a')`
      setTimeout(() => void kill('tx').execute(), 20)
      // Waits for something other than its database, and for ever.
      await new Promise(() => {})
    })
    t.equal(await codeOf(waiting), 'TENANT_DATABASE_UNAVAILABLE')
    t.same([...(await sql`select * from written`)], [])
  })

  await t.test('that is lost during COMMIT leaves the outcome unknown', async t => {
    const { client } = build({ target: { applicationName: 'commit' } })
    const { sql } = client(one)
    await sql.unsafe(`create table slow (a int); create function wait() returns trigger language plpgsql as
      $$ begin perform pg_sleep(20); return null; end $$;
      create constraint trigger wait after insert on slow deferrable initially deferred for each row execute function wait()`)
    const unknown = codeOf(sql.begin(sql => sql`insert into slow values (1)`))
    await until(running('commit', 'commit%'))
    await kill('commit')
    t.equal(await unknown, 'TENANT_COMMIT_UNKNOWN')
  })

  await t.test('that guards its statements reports a timeout and keeps the connection', async t => {
    const { client, pool, reports } = build({ queryTimeout: 300 })
    await client(one).sql`select 1`
    const started = performance.now()
    const error = await client(one).sql`select pg_sleep(20)`.catch((error: Error) => error)
    const took = performance.now() - started
    t.match(error, { code: 'TENANT_QUERY_TIMEOUT', statusCode: 504 })
    t.ok(took >= 295, `${Math.round(took)} ms`)
    await until(() => pool.info().inUse === 0)
    t.equal(pool.info().idle, 1)
    t.equal(reports.filter(({ type }) => type === 'closed').length, 0)
  })

  await t.test('that is frozen costs each query its deadline, in a transaction and in its COMMIT too', async t => {
    const { client, pool } = build({ queryTimeout: 1_000, connectTimeout: 1_000, acquireTimeout: 1_000 })
    for (const name of [one, two]) await until(async () => (await codeOf(client(name).sql`select 1`)) === 'no error')
    let inside = false
    const { passed, open } = gate()
    const committing = codeOf(
      client(one).sql.begin(async sql => {
        await sql`select 1`
        inside = true
        await passed
      }),
    )
    await until(() => inside)
    server.freeze()
    const started = performance.now()
    open()
    const outcomes = await Promise.all([codeOf(client(two).sql`select 1`), committing])
    const took = performance.now() - started
    t.same(outcomes, ['TENANT_QUERY_TIMEOUT', 'TENANT_COMMIT_UNKNOWN'])
    t.ok(took >= 995, `${Math.round(took)} ms`)
    const answers = await Promise.all([1, 2, 3].map(() => codeOf(client(one).sql`select 1`)))
    t.ok(
      answers.every(code =>
        ['TENANT_BUSY', 'TENANT_DATABASE_UNAVAILABLE', 'TENANT_QUERY_TIMEOUT'].includes(code as string),
      ),
      answers.join(),
    )
    server.thaw()
    await until(() => pool.info().inUse === 0)
    await until(async () => (await codeOf(client(one).sql`select 1`)) === 'no error')
  })

  await t.test('that no longer accepts writes is left, and used again when it does', async t => {
    const { client, pool } = build({ target: { applicationName: 'failover' } })
    const { sql } = client(two)
    await sql`create table rows (a int)`
    await look.unsafe(`alter database ${two} set default_transaction_read_only = on`)
    await pool.evict(two)
    t.equal(await codeOf(sql`select count(*) from rows`), 'no error')
    t.equal(await codeOf(sql`insert into rows values (1)`), 'TENANT_DATABASE_UNAVAILABLE')
    t.equal(await codeOf(sql.begin(sql => sql`insert into rows values (1)`)), 'TENANT_DATABASE_UNAVAILABLE')
    t.equal(
      await codeOf(sql.begin('read only', sql => sql`insert into rows values (1)`)),
      '25006',
      'but not when read only was asked for',
    )
    await look.unsafe(`alter database ${two} reset default_transaction_read_only`)
    t.equal(await codeOf(sql`insert into rows values (1)`), 'no error')
  })

  await t.test('that accepts writes again takes one that an older session refuses', async t => {
    const { client, pool } = build({ target: { applicationName: 'opened again' } })
    const { sql } = client(two)
    const readOnlySession = async () => {
      await look.unsafe(`alter database ${two} set default_transaction_read_only = on`)
      await pool.evict(two)
      t.equal(await codeOf(sql`select 1`), 'no error')
      await look.unsafe(`alter database ${two} reset default_transaction_read_only`)
    }
    await sql`create table opened (a int)`
    await sql.unsafe(
      'create procedure two() language plpgsql as $$ begin perform 1; commit; insert into opened values (9); end $$',
    )
    await readOnlySession()
    t.equal(await codeOf(sql`insert into opened values (1)`), 'no error')
    await readOnlySession()
    for (const text of ['call two()', 'do $$ begin insert into opened values (9); end $$']) {
      await readOnlySession()
      t.equal(await codeOf(sql.unsafe(text)), 'TENANT_DATABASE_UNAVAILABLE', `not sent again: ${text}`)
    }
    await readOnlySession()
    t.equal(await codeOf(sql`select 1; insert into opened values (9)`.simple()), 'TENANT_DATABASE_UNAVAILABLE')
    await readOnlySession()
    const several = sql.begin(sql => sql`insert into opened values (2)`)
    t.equal(await codeOf(several), 'TENANT_DATABASE_UNAVAILABLE', 'a transaction begins anew only by its caller')
    t.equal(await codeOf(sql.begin(sql => sql`insert into opened values (3)`)), 'no error')
    t.same(
      (await sql`select a from opened order by a`).map(({ a }) => a),
      [1, 3],
    )
  })

  await t.test('that is killed and restarted under load answers 503 only, and serves again', async t => {
    const { client, pool } = build({
      budget: 10,
      perKey: 4,
      acquireTimeout: 1_000,
      queryTimeout: 1_000,
      connectTimeout: 1_000,
    })
    const codes = new Map<unknown, number>()
    let good = false
    let backAt = Number.POSITIVE_INFINITY
    let stop = false
    t.teardown(() => {
      stop = true
    })
    const worker = async (at: number) => {
      for (let turn = at; !stop; turn++) {
        const scope = client(turn % 2 ? one : two)
        const started = performance.now()
        const code = await codeOf(
          turn % 3 ? scope.sql`select pg_sleep(0.005)` : scope.sql.begin(async sql => void (await sql`select 1`)),
        )
        scope.release()
        if (code === 'no error' && started > backAt) good = true
        codes.set(code, (codes.get(code) ?? 0) + 1)
        // As a client with retries would, and not in a busy loop.
        if (code !== 'no error') await new Promise(resolve => setTimeout(resolve, 5))
      }
    }
    const workers = Array.from({ length: 12 }, (_, at) => worker(at))
    await until(() => (codes.get('no error') ?? 0) > 100)
    await server.kill()
    await until(() => (codes.get('TENANT_DATABASE_UNAVAILABLE') ?? 0) > 20)
    await server.restart()
    backAt = performance.now()
    await until(() => good)
    stop = true
    await Promise.all(workers)
    codes.delete('no error')
    const known = ['TENANT_DATABASE_UNAVAILABLE', 'TENANT_BUSY', 'TENANT_COMMIT_UNKNOWN']
    t.same(
      [...codes.keys()].filter(code => !known.includes(code as string)),
      [],
      'nothing but 503',
    )
    await until(() => pool.info().inUse === 0 && pool.info().waiting === 0 && pool.info().opening === 0)
  })
})
