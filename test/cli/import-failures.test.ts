// Imports under faults while they copy: writers that do not stop, a source that is cut off, a target's disk that is
// full. No accepted write is lost, the source is as before, and the run continues when the cause is gone.
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { until } from '../until.js'
import { cuttable, limitFiles } from './disturbances.js'
import type { OldServer } from './import-source.js'
import { importStand } from './import-stand.js'

const MIB = 2 ** 20
const mebibytes = (count: number): string[] => [
  'create table filled (n int, text text)',
  // As large as its text: random, so that nothing is compressed.
  `insert into filled select n, string_agg(md5(n || ' ' || part), '') from generate_series(1, ${count * 256}) n,
    generate_series(1, 128) part group by n`,
  'alter table filled add primary key (n)',
]

t.test('imports that are disturbed', async t => {
  const stand = await importStand(t)
  const { old, stack, folder, target, exists } = stand

  await t.test('several tenants under load lose no confirmed write', async t => {
    const names = ['a', 'b', 'c', 'd'].map(id => `tenant_load-${id}_core`)
    names.push('tenant_load-a_employee')
    await Promise.all(
      names.map(name =>
        old.database(
          name,
          'create table log (n int primary key)',
          'insert into log select -g from generate_series(1, 5000) g',
        ),
      ),
    )
    const writers = names.map(name => startWriter(old, name))
    await until('each has written', () => writers.every(writer => writer.accepted() > 0))
    const run = await stand.begin(
      ['core', 'employee'],
      ['a', 'b', 'c', 'd'].map(id => `load-${id}`),
    )
    const outcomes = await stand.carryOut(run, ['core', 'employee'])
    t.same(
      outcomes.map(({ id, state, error }) => `${id} ${state} ${error}`).sort(),
      ['a', 'b', 'c', 'd'].map(id => `load-${id} ready null`),
    )
    await until('each is refused', () => writers.every(writer => writer.refused() > 0))
    for (const [at, name] of names.entries()) {
      const { accepted, refused } = await (writers[at] as Writer).stop()
      t.ok(accepted.length > 0 && refused > 0, `${name}: ${accepted.length} accepted, ${refused} refused`)
      const service = name.endsWith('core') ? 'core' : 'employee'
      const there = await target(service, name)<{ n: number }[]>`select n from log where n > 0 order by n`
      t.same(
        there.map(({ n }) => n),
        accepted,
      )
    }
  })

  await t.test('a large one is copied by way of a folder and several jobs, and leaves nothing there', async t => {
    await old.database(
      'tenant_large_core',
      ...mebibytes(4),
      'create index on filled (left(text, 20))',
      'create table many as select n from generate_series(1, 60000) n',
      'create table whole (n int) partition by range (n)',
      'create table part partition of whole for values from (0) to (10)',
      'insert into whole select generate_series(0, 9)',
    )
    const before = readdirSync(folder).sort()
    const run = await stand.begin(['core'], ['large'])
    const [outcome] = await stand.carryOut(run, ['core'], undefined, { largeBytes: MIB })
    t.match(outcome, { state: 'ready', error: null })
    t.match(await target('core', 'tenant_large_core')`select count(*)::int as count from filled`, [{ count: 1024 }])
    const measured = await target('core', 'tenant_large_core')`
      select distinct tablename::text from pg_stats where tablename in ('many', 'whole')`
    t.equal(measured.length, 2, 'with statistics at once')
    t.same(readdirSync(folder).sort(), before)
  })

  await t.test('a source that is cut in the middle of a copy is as before, and the run continues', async t => {
    const between = await cuttable(t, old)
    const source = stand.sourceAt('127.0.0.1', between.port)
    for (const [id, largeBytes] of [
      ['cut', undefined],
      ['cut-large', MIB],
    ] as const) {
      const name = `tenant_${id}_core`
      await old.database(name, ...mebibytes(8))
      const run = await stand.begin(['core'], [id], source)
      const carryOut = () => stand.carryOut(run, ['core'], undefined, largeBytes ? { largeBytes } : {})

      between.cutAfter(3 * MIB, 'once')
      t.match(await carryOut(), [{ state: 'failed', error: /pg_dump failed: .*(connection|server)/ }])
      t.equal(between.cuts(), 1)
      t.ok(await old.isOpen(name), 'it is open again')
      t.notOk(await exists('core', name))

      between.cutAfter(3 * MIB, 'and refuse')
      t.match(await carryOut(), [{ state: 'failed', error: /cannot be reached or was cut off/ }])
      t.notOk(await old.isOpen(name), 'it could not be opened')
      t.notOk(await exists('core', name))

      between.heal()
      t.match(await carryOut(), [{ state: 'ready', error: null }])
      t.match(await target('core', name)`select count(*)::int as count from filled`, [{ count: 2048 }])
    }
  })

  await t.test('a full disk at the target fails that tenant alone', async t => {
    await old.database('tenant_full_core', ...mebibytes(24))
    await old.database('tenant_small_core', 'create table facts (n int)')
    const before = readdirSync(folder).sort()
    const run = await stand.begin(['core'], ['full', 'small'])
    const limit = (bytes: number | null) => limitFiles(stack.servers?.postgres.core as { pid: number }, bytes)
    for (const how of [{}, { largeBytes: 10 * MIB }]) {
      limit(20 * MIB)
      const outcomes = await stand.carryOut(run, ['core'], undefined, how)
      limit(null)
      t.match(
        outcomes.find(({ id }) => id === 'full'),
        { state: 'failed', error: /could not extend file/ },
      )
      t.ok(await old.isOpen('tenant_full_core'), 'it is open again')
      t.notOk(await exists('core', 'tenant_full_core'), 'and its room at the target is free again')
      t.same(readdirSync(folder).sort(), before)
    }
    t.ok(await exists('core', 'tenant_small_core'))
    t.match(await stand.carryOut(run, ['core']), [{ id: 'full', state: 'ready', error: null }])
    t.match(await target('core', 'tenant_full_core')`select count(*)::int as count from filled`, [{ count: 6144 }])
  })
})

interface Writer {
  accepted(): number
  refused(): number
  stop(): Promise<{ accepted: number[]; refused: number }>
}

/** One row every 10 ms, for as long as the server accepts them. */
function startWriter(old: OldServer, name: string): Writer {
  let writing = true
  const accepted: number[] = []
  let refused = 0
  const ended = (async () => {
    let sql = old.look(name)
    for (let n = 1; writing; n++) {
      try {
        await sql`insert into log values (${n})`
        accepted.push(n)
      } catch {
        refused++
        void sql.end({ timeout: 0 })
        sql = old.look(name)
      }
      await sleep(10)
    }
  })()
  return {
    accepted: () => accepted.length,
    refused: () => refused,
    async stop() {
      writing = false
      await ended
      return { accepted, refused }
    },
  }
}
