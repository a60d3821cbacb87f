// The choice of statements that may share one connection, made before they are sent: pure.
import t from 'tap'
import { written } from '../../../plugins/distributed-tenant/index.js'
import { type Codecs, createBuilder, type DriverQuery } from '../../../postgres/connections/driver.js'
import { createOwnCodecs } from '../../../postgres/connections/own-codecs.js'
import { createSharedConnection, type Shareable, shareableOf } from '../../../postgres/pool/statement-sharing.js'

const sql = createBuilder()
const claim = (query: unknown): Shareable | null => shareableOf(query as DriverQuery)
let clock = 0
const pass = (ms: number): void => {
  clock += ms
}
function withMoments(): Codecs {
  const codecs = createOwnCodecs()
  codecs.serializers[1184] = String
  return codecs
}
const turnsOfTheLoop = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise(resolve => setImmediate(resolve))
}

t.test('claims to share', async t => {
  await t.test('a read with plain values', async t => {
    t.ok(claim(sql`select a from b where c = ${1} and d = ${'x'} and e = ${true} and f = ${null}`))
    t.ok(claim(sql`select ${new Date()}::timestamptz, ${10n as never}::int8`))
  })
  await t.test('no statement that writes, locks a row, or leaves session state', async t => {
    for (const query of [
      sql`insert into a values (1)`,
      sql`update a set b = 1`,
      sql`delete from a`,
      sql`with b as (delete from a returning *) select * from b`,
      sql`select * from a for update`,
      sql`select * from a for  no key update`,
      sql`select * from a
        for share`,
      sql`select * from a for key share skip locked`,
      sql`select set_config('a.b', '1', false)`,
      sql`select pg_advisory_lock(1)`,
      sql`select 1 into temp a`,
      sql`set search_path = a`,
      sql.unsafe('select 1'),
    ]) {
      t.equal(claim(query), null, (query as unknown as DriverQuery).strings.join('?'))
    }
  })
  await t.test('no statement with a value whose serialization can fail, or that becomes text', async t => {
    t.equal(claim(sql`select ${undefined as never}`), null)
    t.equal(claim(sql`select ${new Date(Number.NaN)}::date`), null)
    t.equal(claim(sql`select ${sql.json({})}`), null)
    t.equal(claim(sql`select ${sql.array([1])}`), null)
    t.equal(claim(sql`select ${Buffer.from('a')}::bytea`), null)
    t.equal(claim(sql`select ${{} as never}`), null)
    t.equal(claim(sql`select * from ${sql('a')}`), null)
    t.equal(claim(sql`select 1 ${sql`where true`}`), null)
    t.equal(claim(sql`select ${'x'.repeat(10_000)}`), null)
  })
  await t.test('a read with values that a library has written, unless writing them may fail', async t => {
    t.ok(claim(sql`select ${written('1') as never}::int`))
    t.ok(claim(sql`select ${written(Buffer.from('a')) as never}::bytea`))
    t.equal(claim(sql`select ${written(() => '[]') as never}::json`), null)
    t.equal(claim(sql`select ${written('x'.repeat(10_000)) as never}`), null)
  })
  await t.test('a read in the way of its caller, which is another shape', async t => {
    const codecs = createOwnCodecs()
    const query = sql`select ${1}::int` as unknown as DriverQuery
    t.equal(shareableOf(query, codecs)?.shape, ':s')
    codecs.parsers[1700] = Number
    t.equal(shareableOf(query, codecs)?.shape, '1700:s')
    t.equal(claim(query)?.shape, 's')
  })
  await t.test('no statement that is read or run in another way', async t => {
    t.equal(claim(sql`select 1`.simple()), null)
    t.equal(claim((sql`select 1` as never as { describe(): unknown }).describe()), null)
  })
})

t.test('a company', async t => {
  const read = (value: unknown) =>
    ({ template, values: [value], shape: typeof value === 'boolean' ? 'b' : 's', codecs: null }) satisfies Shareable
  const template = ['select a from b where c = ', '']
  const taught = (types: readonly number[] = [23], times = 3) => {
    const company = createSharedConnection(2, () => clock)
    for (let time = 0; time < times; time++) {
      company.join(read('1'))
      company.settled(read('1'), types)
    }
    return company
  }

  await t.test('accepts only templates that it has answered fast three times', async t => {
    t.notOk(createSharedConnection(2, () => clock).canJoin(read('1'), false))
    t.notOk(taught([23], 2).canJoin(read('1'), false))
    t.ok(taught([23], 3).canJoin(read('1'), false))
  })
  await t.test('accepts eight, and is full', async t => {
    const company = taught()
    for (let place = 0; place < 8; place++) {
      t.ok(company.canJoin(read('1'), false))
      company.join(read('1'))
    }
    t.notOk(company.canJoin(read('1'), false))
    company.settled(read('1'), [23])
    t.ok(company.canJoin(read('1'), false))
  })
  await t.test('accepts no values of types that could fail there', async t => {
    t.ok(taught([1184]).canJoin(read('2026-01-01'), false))
    t.notOk(taught([1184]).canJoin(read('nonsense'), false))
    t.notOk(taught([17]).canJoin(read('a'), false))
    t.notOk(taught([3802]).canJoin(read('a'), false))
    t.notOk(taught([1007]).canJoin(read('a'), false), 'an array')
    t.notOk(taught([16_385]).canJoin(read('a'), false), 'a type of the user')
    t.notOk(taught([]).canJoin(read('a'), false), 'an unknown type')
    t.ok(taught([1184]).canJoin(read(null), false))
    t.notOk(taught([23]).canJoin(read(true), false), 'another shape, which the server may type in another way')
  })
  await t.test('accepts none behind one that is late, by the clock and by turns of the loop', async t => {
    const company = taught()
    company.join(read('1'))
    await turnsOfTheLoop(5)
    t.ok(company.canJoin(read('1'), false), 'many turns within two milliseconds')
    pass(4)
    t.notOk(company.canJoin(read('1'), false), 'both')
    company.settled(null)
    t.ok(company.canJoin(read('1'), false), 'none is in front any more')
  })
  await t.test('no value that its caller writes in its own way', async t => {
    const codecs = createOwnCodecs()
    codecs.serializers[1700] = String
    const own = (value: unknown): Shareable => ({ ...read(value), codecs })
    t.ok(taught([23]).canJoin(own('1'), false))
    t.notOk(taught([1700]).canJoin(own('1'), false))
    t.notOk(taught([1184]).canJoin({ ...own('1'), codecs: withMoments() }, false))
    t.ok(taught([1700]).canJoin(own(written('1')), false), 'written already')
    t.ok(taught([1700]).canJoin(own(null), false))
  })
  await t.test('does not count as late an answer that a busy loop has not read', async t => {
    const company = taught()
    company.join(read('1'))
    pass(20)
    t.ok(company.canJoin(read('1'), false))
    company.settled(read('1'), [23])
  })
  await t.test('measures the next in front from the time it is in front', async t => {
    const company = taught()
    company.join(read('1'))
    company.join(read('1'))
    await turnsOfTheLoop(5)
    pass(4)
    t.notOk(company.canJoin(read('1'), false))
    company.settled(null)
    t.ok(company.canJoin(read('1'), false))
  })
  await t.test('trusts a template no longer after one slow answer, for up to thirty-five', async t => {
    const company = taught()
    company.join(read('1'))
    await turnsOfTheLoop(5)
    pass(4)
    company.settled(read('1'), [23])
    for (let time = 0; time < 34; time++) {
      t.notOk(company.canJoin(read('1'), false))
      company.join(read('1'))
      company.settled(read('1'), [23])
    }
    company.join(read('1'))
    company.settled(read('1'), [23])
    t.ok(company.canJoin(read('1'), false))
  })
  await t.test('makes a template that has failed earn its trust again', async t => {
    const company = taught()
    company.join(read('1'))
    company.settled(read('1'))
    t.notOk(company.canJoin(read('1'), false))
  })
  await t.test('ends after five milliseconds while others wait for the budget', async t => {
    const company = taught()
    company.join(read('1'))
    t.ok(company.canJoin(read('1'), true))
    pass(6)
    t.ok(company.canJoin(read('1'), false))
    t.notOk(company.canJoin(read('1'), true))
  })
  await t.test('accepts none once sealed, until all have left', async t => {
    const company = taught()
    company.join(read('1'))
    company.closeToOthers()
    t.notOk(company.canJoin(read('1'), false))
    company.settled(read('1'), [23])
    t.ok(company.canJoin(read('1'), false))
  })
})
