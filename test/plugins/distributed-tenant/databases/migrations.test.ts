import { writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { migrate, readMigrations, revert } from '../../../../plugins/distributed-tenant/databases/migrations.js'
import { rig } from '../../../rig.js'

t.test('a folder of migrations', async t => {
  const read = (files: Record<string, string>) => readMigrations('tenant', t.testdir(files))

  await t.test('is read in order of its numbers', async t => {
    const set = read({
      '002.do.b.sql': 'select 2',
      '001.do.a.sql': 'select 1',
      '001.undo.a.sql': 'select 0',
      'x.md': '',
    })
    t.match(set, {
      version: 2,
      migrations: [
        { name: 'a', undo: 'select 0' },
        { name: 'b', undo: null },
      ],
    })
  })
  const wrong: [files: Record<string, string>, message: RegExp][] = [
    [{ 'users.sql': '' }, /users\.sql .* is no migration/],
    [{ '1.do.a.sql': '' }, /is no migration/],
    [{ '001.do.a.sql': '', '001.do.b.sql': '' }, /001 exists twice/],
    [{ '001.do.a.sql': '', '003.do.c.sql': '' }, /Migration 2 is missing/],
    [{ '001.undo.a.sql': '' }, /undo file but no do file/],
  ]
  for (const [files, message] of wrong) {
    await t.test(`with ${Object.keys(files).join(' and ')} is refused`, async t => {
      t.throws(() => read(files), { code: 'MIGRATION_INVALID', message })
    })
  }
  await t.test('that is not there is refused', async t => {
    t.throws(() => readMigrations('tenant', '/no/such/folder'), { message: /cannot be read \(ENOENT\)/ })
  })
})

t.test('running migrations', async t => {
  const { app: build } = await rig(t, ['employee'])
  const { central } = await build('employee')
  const dir = t.testdir({ '001.do.a.sql': 'create table made (x int); insert into made values (1)' })

  await t.test('by twenty runners at once applies each once', async t => {
    const set = readMigrations('twenty', dir)
    const runs = await Promise.all(Array.from({ length: 20 }, () => migrate(central, set)))
    t.same(runs.flat(), [1])
    t.same(await central`select x from made`, [{ x: 1 }])
  })

  await t.test('taking one back waits for it while it is being applied', async t => {
    const slow = t.testdir({
      '001.do.slow.sql': 'create table slow (x int); select pg_sleep(1)',
      '001.undo.slow.sql': 'drop table slow',
    })
    const set = readMigrations('slow', slow)
    const applied = migrate(central, set)
    const asleep = () =>
      central`select from pg_stat_activity where query like '%pg_sleep(1)%' and wait_event = 'PgSleep'`
    while ((await asleep()).count === 0) await setTimeout(10)
    t.same(await revert(central, set, 0), [1])
    t.same(await applied, [1])
    t.same(await central`select to_regclass('slow') as slow`, [{ slow: null }])
  })

  await t.test('a failing one leaves nothing of itself and names itself', async t => {
    writeFileSync(`${dir}/002.do.b.sql`, 'create table half (x int); select 1/0')
    const set = readMigrations('twenty', dir)
    await t.rejects(migrate(central, set), {
      code: 'MIGRATION_FAILED',
      message: /twenty migration 2 \(b\).*division by zero/,
    })
    t.same(await central`select to_regclass('half') as half`, [{ half: null }])
  })

  await t.test('a file changed after it was applied is refused by name', async t => {
    writeFileSync(`${dir}/001.do.a.sql`, 'create table made (x bigint)')
    await t.rejects(migrate(central, readMigrations('twenty', dir)), {
      code: 'MIGRATION_INVALID',
      message: /twenty migration 1 \(a\) was changed after it was applied/,
    })
  })

  await t.test('a database ahead of this release is refused', async t => {
    const older = readMigrations('registry', t.testdir({}))
    await t.rejects(migrate(central, older), { code: 'MIGRATION_INVALID', message: /this release ends at 0/ })
  })
})
