// Arrays of every kind, and a connection cut in its first query.
// In a process of its own: it listens to errors of the process.
import fc from 'fast-check'
import t from 'tap'
import { readArray, writeArray } from '../../../postgres/connections/array-literal.js'
import { rig } from '../../rig.js'
import { until } from '../../until.js'

t.test('a value is read as it was written', async () => {
  const element = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constant(null),
    fc.constantFrom('NULL', '', '{}', '"', '\\', ','),
  )
  const flat = fc.array(element, { maxLength: 8 })
  const nested = fc.array(fc.array(element, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(fc.oneof(flat, nested), array => {
      const text = writeArray(array, ',') as string
      return JSON.stringify(readArray(text, ',')) === JSON.stringify(array)
    }),
    { numRuns: 5_000 },
  )
})

t.test('parsing of a text that is no array ends, in time proportional to its length', async t => {
  for (const text of ['', '{', '"', '"\\', '{{{{', ',,,', '}'.repeat(3), `"${'a'.repeat(100_000)}`]) {
    t.ok(Array.isArray(readArray(text, ',')), text.slice(0, 10))
  }
})

t.test('arrays come and go', async t => {
  const { app: build, look } = await rig(t, ['employee'])
  const app = await build('employee')
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  const run = <T>(fn: Parameters<typeof app.tenants.run<T>>[1]) => app.tenants.run('acme', fn)

  await t.test('of built-in types', async t => {
    const [row] = await run(
      ({ sql }) => sql`select
        ${['a', 'b"c', null]}::text[] as texts, ${[1, 2]}::int[] as ints, ${sql.array([1.5, 2])}::float8[] as floats,
        ${sql.array([true, false])} as bools, array[now(), null] is not null as dates,
        array['{"a":1}'::jsonb] as json, '{(1,2),(3,4);(5,6),(7,8)}'::box[] as boxes, '{{1,2},{3,4}}'::int[] as nested,
        '{}'::int[] as empty, array[null::int] as nulls`,
    )
    t.same(row, {
      texts: ['a', 'b"c', null],
      ints: [1, 2],
      floats: [1.5, 2],
      bools: [true, false],
      dates: true,
      json: [{ a: 1 }],
      boxes: ['(3,4),(1,2)', '(7,8),(5,6)'],
      nested: [
        [1, 2],
        [3, 4],
      ],
      empty: [],
      nulls: [null],
    })
  })

  await t.test('of types of the tenant’s own, on every connection', async t => {
    for (let n = 0; n < 3; n++) {
      const [row] = await run(({ sql }) => sql`select ${['calm', 'busy']}::mood[] as moods`)
      t.same(row?.moods, ['calm', 'busy'])
      // All of them: on a busy machine the tests before may have used two, one of them not listed yet.
      await until('the loss is noticed', async () => {
        await look('employee')`
          select pg_terminate_backend(pid) from pg_stat_activity where datname = 'tenant_acme_employee'`
        return app.tenants.connectionInfo().open === 0
      })
    }
  })

  await t.test(
    'and a backend that is killed as soon as it starts costs its requests an error and nothing else',
    async t => {
      const uncaught: unknown[] = []
      const record = (error: unknown) => uncaught.push(error)
      process.on('uncaughtException', record)
      t.teardown(() => process.off('uncaughtException', record))
      const fresh = await build('employee', { pooling: false, acquireTimeout: 5_000 })
      const killer = look('employee')
      let over = false
      const killing = (async () => {
        while (!over) {
          await killer`
          select pg_terminate_backend(pid) from pg_stat_activity where datname = 'tenant_acme_employee'`
        }
      })()
      const answers = await Promise.allSettled(
        Array.from({ length: 200 }, () => fresh.tenants.run('acme', ({ sql }) => sql`select 1`)),
      )
      over = true
      await killing
      const codes = new Set(answers.flatMap(answer => (answer.status === 'rejected' ? [answer.reason.code] : [])))
      for (const code of codes) t.match(code, /^TENANT_(DATABASE_UNAVAILABLE|BUSY)$/)
      t.ok(codes.size > 0, 'some requests failed')
      t.same(uncaught, [])
    },
  )
})
