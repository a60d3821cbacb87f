// Parsers and serializers of one client: those set by an ORM apply to its own queries alone.
import t from 'tap'
import type { QueryClient, SqlClient, TransactionClient } from '../../../plugins/distributed-tenant/types.js'
import { separateTypes } from '../../../postgres/sql/separate-types.js'
import { leaseSession } from '../../../postgres/sql/session-lease.js'
import { until } from '../../until.js'
import { codeOf, stand } from '../stand.js'

const MOMENT = '2024-07-01 12:00:00+00'
const NUMERIC = 1700
const TIMESTAMPTZ = 1184
const JSONB = 3802

const read = (sql: QueryClient) => sql`select ${MOMENT}::timestamptz as at, array[1.5]::numeric[] as list`
const plain = [{ at: new Date(MOMENT), list: ['1.5'] }]
const changed = [{ at: `read: ${MOMENT}`, list: [1.5] }]

function change(sql: SqlClient | TransactionClient): void {
  sql.options.parsers[TIMESTAMPTZ] = text => `read: ${text}`
  sql.options.parsers[NUMERIC] = Number
}

t.test('parsers and serializers of one client', async t => {
  const { pool } = await stand(t)
  const leases = pool({ budget: 1, perKey: 1 })
  const { client } = leases

  await t.test('are made when they are asked for', async t => {
    const { sql } = client()
    t.notOk(Object.hasOwn(sql, 'options'))
    t.equal(sql.options, sql.options)
    t.not(sql.options, client().sql.options)
    t.equal(typeof sql.options.parsers[TIMESTAMPTZ], 'function', 'with the entries of the driver')
  })

  await t.test('apply to all of its queries, and to no other client of its connection', async t => {
    const { sql } = client()
    const other = client().sql
    change(sql)
    // The same texts in turn: a session keeps a named statement with its parsers.
    for (let turn = 0; turn < 3; turn++) {
      t.same([...(await read(other))], plain)
      t.same([...(await read(sql))], changed)
      await sql.begin(async tx => {
        t.same([...(await read(tx))], changed)
        await tx.savepoint(async tx => t.same([...(await read(tx))], changed))
      })
      for await (const rows of read(sql).cursor(1)) t.same([...rows], changed)
      await read(sql).forEach(row => void t.same(row, changed[0]))
      t.same(await read(sql).values(), [[changed[0]?.at, [1.5]]])
      await other.begin(async tx => t.same([...(await read(tx))], plain))
      t.same([...(await other.unsafe(`select '${MOMENT}'::timestamptz as at`))], [{ at: new Date(MOMENT) }])
    }
    t.equal(leases.pool.info().open, 1, 'one connection served all of them')
  })

  await t.test('take effect at once when they change, in a prepared statement too', async t => {
    const { sql } = client()
    const at = async () => (await sql`select ${MOMENT}::timestamptz as at`)[0]?.at
    sql.options.parsers[TIMESTAMPTZ] = () => 'one'
    t.equal(await at(), 'one')
    sql.options.parsers[TIMESTAMPTZ] = () => 'two'
    t.equal(await at(), 'two')
  })

  await t.test('write values, and elements of arrays', async t => {
    const { sql } = client()
    const write = (sql: QueryClient) => sql`select ${'{"a": 1}'}::jsonb as one, ${['{"a": 1}']}::jsonb[] as list`
    sql.options.serializers[JSONB] = text => text
    t.same([...(await write(sql))], [{ one: { a: 1 }, list: [{ a: 1 }] }])
    t.same([...(await write(client().sql))], [{ one: '{"a": 1}', list: ['{"a": 1}'] }])
  })

  await t.test('stay apart in two ways through one client, also where one waits behind the other', async t => {
    const { sql } = client()
    const apart = separateTypes(sql)
    change(apart)
    t.same([...(await read(sql))], plain)
    t.same([...(await read(apart))], changed)
    await apart.begin(async tx => {
      t.same([...(await read(tx))], changed)
      await tx.savepoint('named', async tx => t.same([...(await read(tx))], changed))
    })
    await sql.begin(async tx => {
      const both = separateTypes(tx)
      change(both)
      // Prepared before, and then without parameters: sent in one message.
      for (let turn = 0; turn < 3; turn++) {
        const answers = await Promise.all(
          Array.from({ length: 30 }, (_, at) => (at % 3 === turn ? read(both) : read(tx)).then(rows => [...rows])),
        )
        for (const [at, rows] of answers.entries()) t.same(rows, at % 3 === turn ? changed : plain)
      }
    })
  })

  await t.test(
    'apply to a leased session of their client, which the plain client of the scope does not get',
    async t => {
      const { sql } = client()
      const apart = separateTypes(sql)
      change(apart)
      for (const [from, rows] of [
        [apart, changed],
        [sql, plain],
      ] as const) {
        const lease = await leaseSession(from)
        await lease.sql.unsafe('begin')
        t.same([...(await read(lease.sql))], rows)
        await lease.sql.unsafe('commit')
        lease.release()
      }
      await sql.begin(async tx =>
        t.equal(await codeOf(leaseSession(tx as unknown as SqlClient)), 'CONFIGURATION_INVALID'),
      )
    },
  )

  await t.test('work beside types that the session learns later', async t => {
    const { sql } = client()
    change(sql)
    await sql.unsafe(`create type late as enum ('one', 'two')`)
    t.same(
      [...(await sql`select ${MOMENT}::timestamptz as at, array['one']::late[] as list`)],
      [{ at: changed[0]?.at, list: ['one'] }],
    )
  })

  await t.test('that throw fail their query, and keep the connection usable for others', async t => {
    for (const place of ['parsers', 'serializers'] as const) {
      const { sql } = client()
      const failing = () => {
        throw Object.assign(new Error('a failure of the caller'), { code: 'OF_THE_CALLER' })
      }
      sql.options[place][TIMESTAMPTZ] = failing
      const moment = () => sql`select ${MOMENT}::timestamptz as at from generate_series(1, 3)`
      t.equal(await codeOf(moment()), 'OF_THE_CALLER', place)
      t.equal(await codeOf(moment().cursor(1, () => {})), 'OF_THE_CALLER', `${place}, by cursor`)
      t.equal(await codeOf(sql.begin(tx => tx`select ${MOMENT}::timestamptz`)), 'OF_THE_CALLER', `${place}, begin`)
      t.same([...(await read(client().sql))], plain)
    }
  })

  await t.test('end with the client', async t => {
    const scope = client()
    change(scope.sql)
    scope.release()
    t.equal(await codeOf(read(scope.sql)), 'TENANT_CLIENT_RELEASED')
    t.equal(await codeOf(read(separateTypes(scope.sql))), 'TENANT_CLIENT_RELEASED')
    t.equal(await codeOf(separateTypes(scope.sql).begin(tx => read(tx))), 'TENANT_CLIENT_RELEASED')
    await until(() => leases.pool.info().inUse === 0)
  })
})

t.test('a transaction that makes itself read only is no server that accepts no writes', async t => {
  const { pool } = await stand(t)
  const { client } = pool({ budget: 1, perKey: 1 })
  const { sql } = client()
  await sql`create table written (id int)`
  const session = async () => (await sql`select pg_backend_pid() as pid`)[0]?.pid
  const before = await session()
  for (const readOnly of ['set transaction read only', `select set_config('transaction_read_only', 'on', true)`]) {
    t.equal(await codeOf(sql.begin(tx => [tx.unsafe(readOnly), tx`insert into written values (1)`])), '25006', readOnly)
  }
  t.equal(await session(), before, 'the connection stays')
})
