// The first statement of a connection is sent right behind the query for its array types, and still uses them.
import t, { type Test } from 'tap'
import { createArrayTypes } from '../../../postgres/connections/array-types.js'
import { createBuilder, type DriverQuery } from '../../../postgres/connections/driver.js'
import { openConnection } from '../../../postgres/connections/open-connection.js'
import { until } from '../../until.js'
import { codeOf, stand } from '../stand.js'
import { type RecordingProxy, recordingProxy } from './recording-proxy.js'

/** Holds back the server's answer once `holdAfter` was sent. */
async function holdingProxy(t: Test, server: { host: string; port: number }) {
  const state = { holdAfter: '', held: false, release: () => {} }
  const proxy: RecordingProxy = await recordingProxy(t, server, {
    onSent(upstream) {
      if (state.holdAfter === '' || state.held || !proxy.sent.join('').includes(state.holdAfter)) return
      state.held = true
      upstream.pause()
      state.release = () => upstream.resume()
    },
  })
  return Object.assign(state, proxy)
}

t.test('the first statement', async t => {
  const { pool: build, databases, server, look } = await stand(t)
  const [one] = (await databases(1)) as [string]
  const builder = createBuilder()
  const open = (more: object = {}) =>
    openConnection(
      {
        ...{ host: server.host, port: server.port, user: server.user, password: server.password, database: one },
        ...{ tls: false as const, applicationName: 'first', statementTimeout: 5_000, arrayTypes: createArrayTypes() },
        ...more,
      },
      5_000,
    )
  const on = (connection: ReturnType<typeof open>, build: (sql: typeof builder) => unknown): Promise<unknown> => {
    const query = build(builder) as DriverQuery
    query.handler = connection.execute
    return query.execute()
  }

  await t.test('does not wait for the answer to the query before it', async t => {
    const between = await holdingProxy(t, server)
    between.holdAfter = 'typarray'
    const { client } = build({ target: { host: between.host, port: between.port } })
    const answer = client(one).sql`select 'early' as title`.execute()
    await until(() => between.sent.join('').includes("select 'early'"))
    t.ok(between.held, 'the answer was held back')
    between.release()
    t.same([...(await answer)], [{ title: 'early' }])
  })

  await t.test('reads and writes arrays of a type that was just created', async t => {
    const { client, pool } = build()
    for (const type of ['mood', 'taste', 'smell']) {
      await client(one).sql.unsafe(`create type ${type} as enum ('good', 'b"d')`)
      await pool.evict(one)
      await until(() => pool.info().open === 0)
      const [row] = await client(one).sql.unsafe(`select $1::${type}[] as words, array['good']::${type}[] as mine`, [
        ['good', 'b"d'],
      ] as never)
      t.same(row, { words: ['good', 'b"d'], mine: ['good'] }, type)
    }
  })

  await t.test('is never sent to a server that refused the login', async t => {
    const { client, reports } = build({ target: { password: 'wrong' } })
    t.equal(await codeOf(client(one).sql`select 1`), 'TENANT_DATABASE_UNAVAILABLE')
    t.same(
      reports.map(({ type }) => type),
      ['opening', 'open_failed', 'closed'],
    )
  })

  await t.test('fails with the rest when the connection is lost before the query for types was answered', async t => {
    const between = await holdingProxy(t, server)
    between.holdAfter = 'typarray'
    const { client, pool } = build({ target: { host: between.host, port: between.port, applicationName: 'cut' } })
    const answers = [1, 2, 3].map(n => codeOf(client(one).sql`select ${n}::int as n`))
    await until(() => between.sent.join('').includes('as n'))
    await look`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cut'`
    between.release()
    // One was being served; the others only waited, and may have got the next connection.
    t.ok((await Promise.all(answers)).includes('TENANT_DATABASE_UNAVAILABLE'))
    await until(() => pool.info().inUse === 0)
  })

  await t.test('and the statements behind it keep their order and their rows', async t => {
    const connection = open()
    await connection.opened
    const order: number[] = []
    const answers = Array.from({ length: 20 }, async (_, at) => {
      const statement =
        at % 4 === 1
          ? on(connection, sql => sql`select 1 / (3 - n) as n from generate_series(1, 5) n`)
          : at % 4 === 2
            ? on(connection, sql => sql.unsafe('select n from generate_series(1, 3) n'))
            : on(connection, sql => sql`select n from generate_series(1, ${3}::int) n`)
      const rows = await statement.catch((error: { code: string }) => error.code)
      order.push(at)
      return JSON.stringify(rows)
    })
    const all = await Promise.all(answers)
    t.same(
      order,
      Array.from({ length: 20 }, (_, at) => at),
    )
    for (const [at, rows] of all.entries()) {
      t.equal(rows, at % 4 === 1 ? '"22012"' : '[{"n":1},{"n":2},{"n":3}]', `${at}`)
    }
    await connection.close()
  })

  await t.test('that cannot be built fails with the reason, and the next is served', async t => {
    const { client } = build()
    t.equal(await codeOf(client(one).sql`select ${undefined as never}`), 'UNDEFINED_VALUE')
    t.equal(await codeOf(client(one).sql`select 1`), 'no error')
  })
})
