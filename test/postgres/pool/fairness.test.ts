// Order of waiting: tenants in turn, and statements of one tenant in order.
import t from 'tap'
import { until } from '../../until.js'
import { stand } from '../stand.js'

t.test('a wait', async t => {
  const { pool: build, databases } = await stand(t)
  const names = await databases(12)
  // The first connection to a database costs much more than the others.
  const { client, pool } = build()
  for (const name of names) await client(name).sql`select 1`
  await pool.close(1_000)

  await t.test('is in order within a tenant', async t => {
    const { client } = build({ budget: 1, perKey: 1 })
    const order: number[] = []
    await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        await client(names[0]).sql`select 1`
        order.push(at)
      }),
    )
    t.same(
      order,
      [...order].sort((a, b) => a - b),
    )
  })

  for (const [budget, perKey] of [
    [1, 1],
    [4, 4],
    [10, 2],
  ] as const) {
    await t.test(
      `does not starve behind a tenant with 200 slow queries (budget ${budget}, ${perKey} each)`,
      async t => {
        const { client, pool } = build({ budget, perKey, acquireTimeout: 3_600_000 })
        const slow = client(names[0])
        let finished = 0
        const statement = async () => {
          await slow.sql`select pg_sleep(0.2)`
          finished++
        }
        const hogging = Promise.allSettled(Array.from({ length: 200 }, statement))
        await until(() => pool.info().inUse === perKey)
        await Promise.all(names.slice(1).map(name => client(name).sql`select 1`))
        t.ok(finished < 150, `${finished} of the 200 were served before the others`)
        slow.release()
        await hogging
      },
    )
  }

  await t.test('is round-robin: no tenant is served twice before every tenant was served once', async t => {
    const { client, reports, pool } = build({ budget: 1, perKey: 1, acquireTimeout: 5_000 })
    const hold = client(names[11])
    const held = hold.sql`select pg_sleep(30)`.catch(() => {})
    await until(() => pool.info().inUse === 1)
    const all = names.slice(0, 3).flatMap(name => Array.from({ length: 2 }, () => client(name).sql`select 1`))
    hold.release()
    await Promise.all([...all, held])
    const served = reports.flatMap(report => (report.type === 'leased' && report.key !== names[11] ? [report.key] : []))
    t.same(served, [...names.slice(0, 3), ...names.slice(0, 3)])
  })
})
