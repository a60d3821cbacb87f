// Statements of several requests on one connection, on a real server: each gets its own answer, and a failure of one
// affects the others only where that cannot be avoided.
import t from 'tap'
import type { SqlClient } from '../../../plugins/distributed-tenant/types.js'
import type { ClientScope } from '../../../postgres/sql/client.js'
import { until } from '../../until.js'
import { codeOf, gate, type PoolTweaks, stand } from '../stand.js'

type Read = (sql: SqlClient, value: number) => PromiseLike<readonly Record<string, unknown>[]>

t.test('sharing a connection', async t => {
  const { pool, look, databases } = await stand(t)
  /** On a loaded machine every answer is slow: a test of another subject counts all of them as fast. */
  const build = (tweaks: PoolTweaks) => pool({ fastMs: 60_000, ...tweaks })
  const [name = ''] = await databases(1)

  /** Reads by each template on its own until its connection knows and trusts it. */
  const teach = async (client: (key?: string) => ClientScope, ...reads: Read[]) => {
    const { sql } = client(name)
    for (const read of reads) for (let time = 0; time < 3; time++) await read(sql, time + 1)
  }
  const backend: Read = (sql, value) => sql`select pg_backend_pid() as pid, ${value}::int as value`
  const pids = (all: readonly (readonly Record<string, unknown>[])[]) => new Set(all.map(([row]) => row?.pid))
  const together = (clients: readonly ClientScope[], read: Read) =>
    clients.map(({ sql }, at) => Promise.resolve(read(sql, at)))
  /**
   * The statements started before have been handed over, and no answer can have arrived: the event loop has not
   * polled.
   */
  const sent = () =>
    new Promise(resolve =>
      process.nextTick(() => Promise.resolve().then(() => queueMicrotask(() => process.nextTick(resolve)))),
    )
  const crowd = (client: (key?: string) => ClientScope, size: number) =>
    Array.from({ length: size }, () => client(name))

  await t.test('eight reads go on one, each with its own answer, and it is given back once', async t => {
    const { client, pool } = build({ perKey: 1 })
    await teach(client, backend)
    const reads = together(crowd(client, 8), backend)
    await sent()
    t.same([pool.info().inUse, pool.info().waiting], [1, 0], 'and none waits')
    const answers = await Promise.all(reads)
    t.same(
      answers.map(([row]) => row?.value),
      [0, 1, 2, 3, 4, 5, 6, 7],
    )
    t.equal(pids(answers).size, 1)
    t.same([pool.info().idle, pool.info().inUse], [1, 0])
  })

  await t.test('a ninth waits for its turn, and hundreds finish in order', async t => {
    const { client, pool } = build({ perKey: 1 })
    await teach(client, backend)
    const done: number[] = []
    const reads = together(crowd(client, 300), backend).map((read, at) => read.then(() => done.push(at)))
    await sent()
    t.equal(pool.info().waiting, 292)
    await Promise.all(reads)
    t.same(
      done,
      [...done].sort((a, b) => a - b),
    )
    t.same([pool.info().idle, pool.info().inUse, pool.info().waiting], [1, 0, 0])
  })

  await t.test('none joins while more are open than a lowered budget, and none stays that opens above it', async t => {
    const { client, pool } = build({ perKey: 1, acquireTimeout: 60_000 })
    await teach(client, backend)
    const first = together(crowd(client, 1), backend)
    await sent()
    pool.resize(0)
    const second = together(crowd(client, 1), backend)
    await sent()
    t.equal(pool.info().waiting, 1)
    await Promise.all(first)
    await until(() => pool.info().open === 0)
    pool.resize(1)
    await Promise.all(second)
    await pool.evict(name)
    const scope = client(name)
    const asked = codeOf(scope.sql`select 1`)
    await sent()
    t.equal(pool.info().opening, 1)
    scope.release()
    pool.resize(0)
    await asked
    await until(() => pool.info().open === 0)
  })

  await t.test(
    'a transaction among reads has a connection of its own, and is not overtaken by those behind it',
    async t => {
      const { client } = build({ perKey: 1 })
      await teach(client, backend)
      const done: string[] = []
      const some = (name: string) => together(crowd(client, 20), backend).map(read => read.then(() => done.push(name)))
      const before = some('before')
      await sent()
      const alone = client(name).sql.begin(async sql => {
        await sql`select 1`
        done.push('transaction')
      })
      await sent()
      const after = some('after')
      await Promise.all([...before, alone, ...after])
      t.same(done, [...Array(20).fill('before'), 'transaction', ...Array(20).fill('after')])
    },
  )

  await t.test('one that fails half way through its rows affects none beside it', async t => {
    const { client } = build({ perKey: 1 })
    const rows: Read = (sql, value) => sql`select 10 / (5 - n * ${value}::int) as a from generate_series(0, 9) n`
    await teach(client, (sql, value) => rows(sql, value + 100), backend)
    const clients = crowd(client, 8)
    const all = clients.map(({ sql }, at) =>
      at === 3 ? Promise.resolve(rows(sql, 1)) : Promise.resolve(at % 2 ? backend(sql, at) : rows(sql, 7)),
    )
    const ended = await Promise.allSettled(all)
    t.same(
      ended.map(({ status }) => status),
      clients.map((_, at) => (at === 3 ? 'rejected' : 'fulfilled')),
    )
    t.equal((ended[3] as PromiseRejectedResult).reason.code, '22012')
    for (const at of [0, 2, 4, 6]) {
      const { value } = ended[at] as PromiseFulfilledResult<readonly unknown[]>
      t.equal(value.length, 10)
      t.ok(0 in value, 'no hole where the failed one had rows')
    }
    t.equal(pids([1, 5, 7].map(at => (ended[at] as PromiseFulfilledResult<never>).value)).size, 1)
  })

  await t.test('a request that leaves does not cut a connection that others use; the last one does', async t => {
    const { client, reports } = build({ perKey: 1 })
    const slow: Read = (sql, value) => sql`select pg_backend_pid() as pid, pg_sleep(${value}::float8)`
    await teach(client, sql => slow(sql, 0), backend)
    const [leaver, stayer] = crowd(client, 2) as [ClientScope, ClientScope]
    const left = codeOf(slow(leaver.sql, 2))
    const stayed = backend(stayer.sql, 7)
    const answer = stayed.then(([row]) => row?.value)
    await until(async () => (await look`select 1 from pg_stat_activity where wait_event = 'PgSleep'`).length === 1)
    leaver.release()
    t.equal(await left, 'TENANT_CLIENT_RELEASED', 'rejected at once')
    t.equal(await answer, 7)
    t.notOk(reports.some(({ type }) => type === 'closed'))
    const both = crowd(client, 2) as [ClientScope, ClientScope]
    const gone = [codeOf(slow(both[0].sql, 5)), codeOf(backend(both[1].sql, 1))]
    await until(async () => (await look`select 1 from pg_stat_activity where wait_event = 'PgSleep'`).length === 1)
    for (const scope of both) scope.release()
    t.same(await Promise.all(gone), ['TENANT_CLIENT_RELEASED', 'TENANT_CLIENT_RELEASED'])
    await until(() => reports.some(({ type }) => type === 'closed'))
    await until(async () => (await look`select 1 from pg_stat_activity where wait_event = 'PgSleep'`).length === 0)
  })

  await t.test('a cancelled one leaves without stopping another', async t => {
    const { client, reports } = build({ perKey: 1 })
    const slow: Read = (sql, value) => sql`select pg_sleep(${value}::float8)`
    await teach(client, sql => slow(sql, 0), backend)
    const { sql } = client(name)
    const first = slow(sql, 2)
    const head = Promise.resolve(first)
    const cancelled = backend(sql, 1) as ReturnType<Read> & { cancel(): void }
    const outcome = codeOf(cancelled)
    const last = backend(sql, 2).then(([row]) => row?.value)
    await until(async () => (await look`select 1 from pg_stat_activity where wait_event = 'PgSleep'`).length === 1)
    cancelled.cancel()
    t.equal(await outcome, '57014')
    t.equal((await head).length, 1)
    t.equal(await last, 2)
    t.notOk(reports.some(({ type }) => type === 'closed'))
  })

  await t.test('a read that turns out slow is joined by no other, and its template is no longer trusted', async t => {
    const { client, pool } = build({ perKey: 2, fastMs: 20 })
    const slow: Read = (sql, value) => sql`select pg_sleep(${value}::float8)`
    await teach(client, sql => slow(sql, 0), backend)
    const head = Promise.resolve(slow(client(name).sql, 2))
    await until(async () => {
      const late = await look`
        select 1 from pg_stat_activity
        where wait_event = 'PgSleep' and clock_timestamp() - query_start > interval '100 ms'`
      return late.length === 1
    })
    let over = false
    void head.then(() => {
      over = true
    })
    await backend(client(name).sql, 1)
    t.notOk(over, 'the read used another connection')
    await head
    const two = [slow(client(name).sql, 0.5), slow(client(name).sql, 0.5)].map(one => Promise.resolve(one))
    await until(() => pool.info().inUse === 2)
    await Promise.all(two)
  })

  await t.test('a killed backend costs each of eight one clear error, and the next is served', async t => {
    const { client, pool } = build({ perKey: 1 })
    const slow: Read = (sql, value) => sql`select pg_sleep(${value}::float8)`
    await teach(client, sql => slow(sql, 0), backend)
    const [first, ...others] = crowd(client, 8) as [ClientScope, ...ClientScope[]]
    const all = [codeOf(slow(first.sql, 5)), ...others.map(({ sql }, at) => codeOf(backend(sql, at)))]
    await until(async () => (await look`select 1 from pg_stat_activity where wait_event = 'PgSleep'`).length === 1)
    t.same([pool.info().inUse, pool.info().waiting], [1, 0])
    await look`select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'`
    t.same(await Promise.all(all), Array(8).fill('TENANT_DATABASE_UNAVAILABLE'))
    await until(() => pool.info().inUse === 0)
    t.equal((await backend(client(name).sql, 5))[0]?.value, 5)
  })

  await t.test('a statement that cannot be built fails with the reason, alone', async t => {
    const { client } = build({ perKey: 1 })
    const day: Read = (sql, value) =>
      sql`select ${(value < 0 ? 'nonsense' : '2026-01-02') as string}::date::text as day`
    await teach(client, day, backend)
    const clients = crowd(client, 6)
    const ended = await Promise.all(
      clients.map(({ sql }, at) =>
        at === 2
          ? codeOf(day(sql, -1))
          : at === 4
            ? codeOf(sql`select ${undefined as never}::int`)
            : codeOf(day(sql, 1)),
      ),
    )
    t.equal(ended[4], 'UNDEFINED_VALUE')
    t.match(String(ended[2]), /Invalid time value/)
    t.same(
      [0, 1, 3, 5].map(at => ended[at]),
      Array(4).fill('no error'),
    )
  })

  await t.test('an error of a statement that could not be built contains nothing of another', async t => {
    const { client } = build({ perKey: 1 })
    const read: Read = (sql, value) => sql`select ${value}::int as secret`
    await teach(client, read, backend)
    const clients = crowd(client, 6)
    const errors = await Promise.all(
      clients.map(async ({ sql }, at) => {
        const query = at === 4 ? sql`select ${undefined as never}::int` : read(sql, 4711)
        return Promise.resolve(query).then(
          () => null,
          (error: Error) => error,
        )
      }),
    )
    const seen = errors[4] as Error & Record<string, unknown>
    t.equal(seen.code, 'UNDEFINED_VALUE')
    for (const key of ['query', 'parameters', 'args', 'stack', 'message']) {
      t.notMatch(String(seen[key]), /secret|4711/, key)
    }
    t.same(
      errors.filter((_, at) => at !== 4),
      Array(5).fill(null),
    )
  })

  await t.test(
    'a table that has changed under prepared statements: each is sent again and gets its own rows',
    async t => {
      const { client, reports } = build({ perKey: 1 })
      const { sql } = client(name)
      await sql`create table changing (id int primary key, on_ boolean)`
      await sql`insert into changing select n, n % 2 = 0 from generate_series(0, 9) n`
      const read: Read = (sql, value) => sql`select * from changing where id = ${value} and on_ = ${value % 2 === 0}`
      // One shape, and each gets its row: true and false both go through the driver's own serializer twice.
      await teach(client, read)
      await sql`alter table changing add column more text default 'new'`
      const answers = await Promise.all(together(crowd(client, 8), read))
      t.same(
        answers.map(([row]) => ({ ...row })),
        answers.map((_, id) => ({ id, on_: id % 2 === 0, more: 'new' })),
      )
      await sql`alter table changing add column again int default 1`
      t.same({ ...(await read(sql, 4))[0] }, { id: 4, on_: true, more: 'new', again: 1 }, 'a single one as well')
      t.notOk(reports.some(({ type }) => type === 'closed'))
    },
  )

  await t.test('texts of an ORM share, as soon as they have come again', async t => {
    const { client, pool, reports } = build({ perKey: 1 })
    const byText: Read = (sql, value) =>
      sql.unsafe('select pg_backend_pid() as pid, $1::int as value', [value] as never[])
    await teach(client, byText, byText)
    const reads = together(crowd(client, 8), byText)
    await sent()
    t.same([pool.info().inUse, pool.info().waiting], [1, 0], 'and none waits')
    t.same(
      (await Promise.all(reads)).map(([row]) => row?.value),
      [0, 1, 2, 3, 4, 5, 6, 7],
    )
    // A text for each value is not prepared, however many there are.
    const { sql } = client(name)
    for (let value = 0; value < 1_100; value++) await sql.unsafe(`select ${value} as value`)
    t.same(
      [...(await sql`select count(*)::int as n from pg_prepared_statements`)].map(({ n }) => n < 10),
      [true],
    )
    t.notOk(reports.some(({ type }) => type === 'closed'))
  })

  await t.test('each in the way of its caller, and a parser that throws fails its own statement alone', async t => {
    const { client, pool, reports } = build({ perKey: 1 })
    const MOMENT = '2024-07-01 12:00:00+00'
    const withParser = (parse?: (text: string) => unknown) => {
      const { sql } = client(name)
      if (parse) sql.options.parsers[1184] = parse
      return async () => (await sql.unsafe('select $1::timestamptz as at', [MOMENT]))[0]?.at as unknown
    }
    const ways = [
      withParser(),
      withParser(text => `read: ${text}`),
      withParser(() => {
        throw Object.assign(new Error('a failure of the caller'), { code: 'OF_THE_CALLER' })
      }),
    ]
    // The last way came last, so that the connection knows the statement by its shape.
    for (const way of [0, 1]) for (let time = 0; time < 6; time++) await ways[way]?.()
    const order = [1, 2, 1, 2, 1]
    const reads = order.map(way => ways[way]?.().catch(error => error.code))
    await sent()
    t.same([pool.info().inUse, pool.info().waiting], [1, 0], 'all on one connection')
    t.same(
      await Promise.all(reads),
      order.map(way => (way === 1 ? `read: ${MOMENT}` : 'OF_THE_CALLER')),
    )
    t.same(await Promise.all([ways[0]?.(), ways[1]?.(), ways[0]?.()]), [
      new Date(MOMENT),
      `read: ${MOMENT}`,
      new Date(MOMENT),
    ])
    t.notOk(reports.some(({ type }) => type === 'closed'))
  })

  await t.test('writes run alone: one that waits for a row lock blocks no read', async t => {
    const { client } = build({ perKey: 3, fastMs: 20 })
    const { sql } = client(name)
    await sql`create table held (id int primary key, n int)`
    await sql`insert into held values (1, 0)`
    await teach(client, backend)
    const write = () => client(name).sql`update held set n = n + 1 where id = ${1}`
    for (let time = 0; time < 5; time++) await write()
    const [held, end] = [gate(), gate()]
    const holder = sql.begin(async tx => {
      await tx`update held set n = n + 1 where id = ${1}`
      held.open()
      await end.passed
      // A read outside of the transaction: behind a write that waits for this transaction it would never end.
      await backend(sql, 1)
    })
    await held.passed
    const waiting = Promise.resolve(write())
    await until(async () => (await look`select 1 from pg_locks where not granted`).length === 1)
    t.equal((await Promise.all(together(crowd(client, 4), backend))).length, 4)
    end.open()
    await Promise.all([holder, waiting])
  })

  await t.test('a tenant whose statements all share still yields to another', async t => {
    const { client } = build({ budget: 1, perKey: 1, acquireTimeout: 2_000 })
    await teach(client, backend)
    let running = true
    const hot = Array.from({ length: 6 }, async () => {
      while (running) await backend(client(name).sql, 1)
    })
    const other = await codeOf(client('postgres').sql`select 1`)
    running = false
    await Promise.all(hot)
    t.equal(other, 'no error')
  })

  await t.test('a worn connection is shared no more and is replaced', async t => {
    const { client, reports } = build({ perKey: 1 })
    await teach(client, backend)
    const scope = client(name)
    for (let count = 0; count < 1_000; count++) await scope.sql.unsafe(`select ${count}`, [], { prepare: true })
    await Promise.all(together(crowd(client, 8), backend))
    await until(() => reports.some(report => report.type === 'closed' && report.reason === 'released'))
    t.equal((await backend(client(name).sql, 3))[0]?.value, 3)
  })
})
