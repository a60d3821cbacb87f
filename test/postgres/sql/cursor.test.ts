// Reading by cursor, in both forms, to the end, to a break and to a cut.
// In a process of its own: it sets flags of V8.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { until } from '../../until.js'
import { codeOf, stand } from '../stand.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

t.test('a cursor', async t => {
  const { pool: build, look } = await stand(t)
  const { client, pool } = build({ budget: 1, perKey: 1 })
  const { sql } = client()
  const numbers = (to: number) => sql<{ n: number }[]>`select n from generate_series(1, ${to}::int) n`
  const free = () => until(() => pool.info().inUse === 0)

  for (const to of [0, 1, 9, 10, 11]) {
    await t.test(`gives all of ${to} rows to for await, in batches`, async t => {
      const seen: number[] = []
      for await (const rows of numbers(to).cursor(5)) seen.push(...rows.map(({ n }) => n))
      t.same(
        seen,
        Array.from({ length: to }, (_, at) => at + 1),
      )
      await free()
    })
  }

  await t.test('keeps no batch that was read', async t => {
    const batches: WeakRef<object>[] = []
    let kept = 0
    for await (const rows of numbers(200).cursor(10)) {
      batches.push(new WeakRef(rows))
      await new Promise(resolve => setImmediate(resolve))
      collect()
      kept = Math.max(kept, batches.filter(batch => batch.deref() !== undefined).length)
    }
    t.equal(batches.length, 20)
    t.ok(kept < 5, `${kept} at once`)
    await free()
  })

  await t.test('gives batches to a function, and waits for the last one', async t => {
    const seen: number[] = []
    await numbers(7).cursor(3, async rows => {
      await new Promise(resolve => setTimeout(resolve, 5))
      seen.push(rows.length)
    })
    t.same(seen, [3, 3, 1])
    await free()
  })

  await t.test('ends where its function returns the end mark', async t => {
    const seen: unknown[] = []
    await numbers(100).cursor(2, rows => {
      seen.push(...rows)
      return sql.CLOSE
    })
    t.equal(seen.length, 2)
    await free()
    t.same([...(await sql`select 1 as a`)], [{ a: 1 }])
  })

  await t.test('ends at a break, and the connection serves the next', async t => {
    for await (const rows of numbers(1_000).cursor(10)) {
      t.equal(rows.length, 10)
      break
    }
    await free()
    t.same([...(await sql`select ${'next'}::text as a`)], [{ a: 'next' }])
  })

  for (const at of [2, 6]) {
    await t.test(`fails with what its function throws at row ${at} of 6, now or later`, async t => {
      const thrown = new Error('a failure of the reader')
      let rows = 0
      const count = ([_row]: unknown[]) => {
        if (++rows === at) throw thrown
      }
      t.equal(
        await numbers(6)
          .cursor(count)
          .catch(error => error),
        thrown,
      )
      rows = 0
      t.equal(
        await numbers(6)
          .cursor(async row => count(row))
          .catch(error => error),
        thrown,
      )
      await free()
      t.same([...(await sql`select ${'next'}::text as a`)], [{ a: 'next' }])
    })
  }

  await t.test('fails with the error of its function at the last batch, which the driver drops', async t => {
    const thrown = new Error('a failure of the reader')
    const fail = async (rows: unknown[]) => {
      if (rows.length < 4) throw thrown
    }
    t.equal(
      await numbers(6)
        .cursor(4, fail)
        .catch(error => error),
      thrown,
    )
    await free()
    t.same([...(await sql`select ${'next'}::text as a`)], [{ a: 'next' }])
  })

  await t.test('fails in for await with the server’s error', async t => {
    const read = async () => {
      for await (const _ of sql`select 1 / (4 - n) from generate_series(1, 9) n`.cursor(2));
    }
    t.equal(await codeOf(read()), '22012')
    await free()
  })

  await t.test('throws when its connection is cut between two batches, and never just ends', async t => {
    let rows = 0
    const read = async () => {
      for await (const batch of numbers(100).cursor(10)) {
        rows += batch.length
        if (rows === 20)
          await look`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'stand'`
      }
    }
    t.equal(await codeOf(read()), 'TENANT_DATABASE_UNAVAILABLE')
    t.ok(rows >= 20 && rows < 100)
    await free()
  })

  await t.test('throws when its scope ends under it', async t => {
    const scope = client()
    const read = async () => {
      for await (const _ of scope.sql`select n from generate_series(1, 100) n`.cursor(10)) scope.release()
    }
    t.equal(await codeOf(read()), 'TENANT_CLIENT_RELEASED')
    await free()
  })

  await t.test('takes at most the query timeout from its first to its last row', async t => {
    const { client, pool } = build({ budget: 1, perKey: 1, queryTimeout: 1_000 })
    const rows = client().sql`select n from generate_series(1, 3) n`
    const read = async () => {
      for await (const _ of rows.cursor(1)) await new Promise(resolve => setTimeout(resolve, 600))
    }
    t.equal(await codeOf(read()), 'TENANT_QUERY_TIMEOUT')
    await until(() => pool.info().inUse === 0)
  })
})
