import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { readEnvironment } from '../../../../plugins/distributed-tenant/config/environment.js'
import { settle } from '../../../../plugins/distributed-tenant/config/settings.js'
import { revert } from '../../../../plugins/distributed-tenant/migration-runs/revert.js'
import { type After, migrateInVisit } from '../../../../plugins/distributed-tenant/migration-runs/visit.js'
import { createTenancy } from '../../../../plugins/distributed-tenant/tenancy.js'
import { type MigrationSet, readMigrations } from '../../../../postgres/migrations/migration-files.js'
import { appliedVersion, migrate } from '../../../../postgres/migrations/migrations.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

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
  await t.test('with a file that would end its transaction is refused, and nothing is run', async t => {
    t.throws(() => read({ '001.do.a.sql': 'create table a ();\ncommit;' }), {
      code: 'MIGRATION_INVALID',
      message: /001\.do\.a\.sql in .* has COMMIT in line 2: .*-- applied as: [0-9a-f]{32}/,
    })
    t.throws(() => read({ '001.do.a.sql': '', '001.undo.a.sql': 'rollback' }), {
      message: /001\.undo\.a\.sql .* ROLLBACK/,
    })
  })
  await t.test('with a file that is no UTF-8 is refused by its line', async t => {
    const latin1 = Buffer.from("create table a4 (id int, c text);\ninsert into a4 values (1, 'Zürich')", 'latin1')
    t.throws(() => readMigrations('tenant', t.testdir({ '001.do.a.sql': latin1 })), {
      code: 'MIGRATION_INVALID',
      message: /001\.do\.a\.sql in .* line 2 .* no UTF-8/,
    })
  })
  await t.test('is the same with other line ends and a byte order mark', async t => {
    const plain = read({ '001.do.a.sql': 'create table a ();\n-- b\n', '001.undo.a.sql': 'drop table a;\n' })
    const other = read({
      '001.do.a.sql': '\ufeffcreate table a ();\r\n-- b\r\n',
      '001.undo.a.sql': 'drop table a;\r\n',
    })
    t.equal(other.checksum, plain.checksum)
    t.match(other.migrations, [{ do: plain.migrations[0]?.do, undo: plain.migrations[0]?.undo }])
  })
  await t.test('that is not there is refused', async t => {
    t.throws(() => readMigrations('tenant', '/no/such/folder'), { message: /cannot be read \(ENOENT\)/ })
  })
})

t.test('running migrations', async t => {
  const { app: build, database, look } = await rig(t, ['employee'])
  const { central } = await build('employee')
  const settings = { service: 'employee', database: database('employee'), nats: null, redis: null }
  const tenancy = createTenancy(settle(settings, readEnvironment({})))
  t.teardown(() => tenancy.close())
  const visit = (set: MigrationSet, after?: After) =>
    tenancy.pools.withDirectConnection('employee_central', inside => migrateInVisit(inside, [set], after))
  const dir = t.testdir({ '001.do.a.sql': 'create table made (x int); insert into made values (1)' })

  await t.test('by twenty runners at once applies each once', async t => {
    const set = readMigrations('twenty', dir)
    const runs = await Promise.all(Array.from({ length: 20 }, () => migrate(central, set)))
    t.same(runs.flat(), [1])
    t.same(await central`select x from made`, [{ x: 1 }])
  })

  await t.test('taking one back waits until it has been applied', async t => {
    const slow = t.testdir({
      '001.do.slow.sql': 'create table slow (x int); select pg_advisory_xact_lock(7)',
      '001.undo.slow.sql': 'drop table slow',
    })
    const set = readMigrations('slow', slow)
    const holder = look('employee', 'employee_central')
    await holder`select pg_advisory_lock(7)`
    const waiting = (count: number) => async () =>
      (await holder`select from pg_locks where locktype = 'advisory' and not granted`).length === count
    const applied = migrate(central, set)
    await until('it is being applied', waiting(1))
    const reverted = revert(central, set, 0)
    await until('taking it back waits', waiting(2))
    await holder`select pg_advisory_unlock(7)`
    t.same(await applied, [1])
    t.same(await reverted, [1])
    t.same(await central`select to_regclass('slow') as slow`, [{ slow: null }])
  })

  await t.test('a failing one leaves no trace in the database and is named', async t => {
    writeFileSync(`${dir}/002.do.b.sql`, 'create table half (x int); select 1/0')
    const set = readMigrations('twenty', dir)
    await t.rejects(migrate(central, set), {
      code: 'MIGRATION_FAILED',
      message: /twenty migration 2 \(b\).*division by zero/,
    })
    t.same(await central`select to_regclass('half') as half`, [{ half: null }])
  })

  await t.test('a visit applies one file or several, and names the one that fails', async t => {
    const set = (files: Record<string, string>) => readMigrations('visited', t.testdir(files))
    const one = { '001.do.a.sql': 'create table visited (x int)' }
    await visit(set(one))
    await visit(set(one))
    const three = { ...one, '002.do.b.sql': 'alter table visited add y int', '003.do.c.sql': 'select 1/0' }
    await t.rejects(visit(set(three)), {
      message: /visited migration 3 \(c\) failed: division by zero/,
    })
    t.equal(await appliedVersion(central, 'visited'), 2)
    await t.rejects(visit(set(three)), {
      message: /visited migration 3 \(c\) failed: division by zero/,
    })
    const deferred = {
      ...{ ...one, '002.do.b.sql': 'alter table visited add y int' },
      '003.do.c.sql': `create table first (id int primary key);
        create table second (id int references first deferrable initially deferred); insert into second values (1)`,
    }
    await t.rejects(visit(set(deferred)), { code: '23503' }, 'only COMMIT shows it')
    t.equal(await appliedVersion(central, 'visited'), 2)
    const seen: unknown[] = []
    const right = { ...deferred, '003.do.c.sql': 'alter table visited add z int' }
    await visit(set(right), async inside => void seen.push(...(await inside`select x, y, z from visited`)))
    t.equal(await appliedVersion(central, 'visited'), 3)
    await t.rejects(visit(set(one)), { code: 'MIGRATION_INVALID', message: /ends at 1/ })
    await t.rejects(visit(set({ ...right, '001.do.a.sql': 'select 1' })), { message: /was changed/ })
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

  await t.test(
    'a file applied with other line ends, or by a former checksum that it names, is not changed',
    async t => {
      const before = 'create table ends ();\r\n-- b\r\n'
      const recorded = createHash('sha256').update(before).digest('hex').slice(0, 32)
      const set = (text: string) => readMigrations('ends', t.testdir({ '001.do.a.sql': text }))
      await migrate(central, set(before))
      await central`update distributed_tenant.schema_migrations set checksum = ${recorded} where set = 'ends'`
      t.same(await migrate(central, set(before)), [], 'unchanged')
      t.same(await migrate(central, set(before.replaceAll('\r', ''))), [], 'with line feeds')
      await t.rejects(migrate(central, set('select 1')), { message: /was changed/ })
      t.same(await migrate(central, set(`select 1;\n-- applied as: ${recorded}\n`)), [])
    },
  )

  // The check of the text does not find these, as it reads strings as the server does by default: where a database
  // has another setting, this string ends later, and the following text is no comment.
  const hidden = String.raw`select '\'; --'; `
  const escapes = (way: 'off' | 'on') =>
    central.unsafe(
      `do $$ begin execute format('alter database %I set standard_conforming_strings = ${way}', current_database()); end $$`,
    )
  const unseen = (name: string, text: string, undo: string | null = null): MigrationSet => {
    const migration = { version: 1, name: 'a', do: text, undo, checksum: name, formerChecksums: [] }
    return { name, migrations: [migration], version: 1, checksum: name }
  }
  const endings: Record<string, string> = {
    commit: 'create table t_NAME (); commit; create table u_NAME ()',
    rollback: 'create table t_NAME (); rollback; create table u_NAME ()',
    failing: 'create table t_NAME (); commit; select 1/0',
    'begun anew': 'create table t_NAME (); commit; begin; create table u_NAME ()',
    chained: 'create table t_NAME (); commit and chain; create table u_NAME ()',
    prepared: "create table t_NAME (); prepare transaction 'NAME'",
  }
  const ways: Record<string, (set: MigrationSet) => Promise<unknown>> = {
    '': set => migrate(central, set),
    ', in one visit': set => visit(set),
  }
  for (const [how, text] of Object.entries(endings)) {
    for (const [way, run] of Object.entries(ways)) {
      await t.test(`a file that ends its transaction is detected and does not count: ${how}${way}`, async t => {
        await escapes('off')
        const name = `ends_${how.replace(' ', '_')}${way.replace(/\W+/g, '_')}`
        const prepared = how === 'prepared'
        const ended = run(unseen(name, hidden + text.replaceAll('NAME', name))) as Promise<void>
        await t.rejects(ended, {
          code: 'MIGRATION_FAILED',
          // The server of the tests does not allow prepared transactions, and reports that.
          message: prepared ? /prepared transactions are disabled/ : /migration 1 \(a\) ended its transaction/,
        })
        t.equal(await appliedVersion(central, name), 0)
        if (!/begin|chain/.test(text)) return
        const [row] = await central`select to_regclass(${`u_${name}`}) as begun`
        t.same(row, { begun: null }, 'the transaction that it began is rolled back')
      })
    }
  }

  await t.test('an undo file that ends its transaction is detected, and the version stays', async t => {
    const set = unseen('undone', 'create table undone ()', `${hidden}drop table undone; commit; select 1`)
    await migrate(central, set)
    await t.rejects(revert(central, set, 0), {
      code: 'MIGRATION_FAILED',
      message: /undoing of .* ended its transaction/,
    })
    t.equal(await appliedVersion(central, 'undone'), 1)
    await escapes('on')
  })

  await t.test('a block that commits fails with the cure and leaves nothing', async t => {
    const set = readMigrations(
      'block',
      t.testdir({ '001.do.a.sql': 'create table block (); do $$ begin commit; end $$' }),
    )
    await t.rejects(migrate(central, set), {
      message: /invalid transaction termination: a migration runs in one transaction/,
    })
    t.same(await central`select to_regclass('block') as block`, [{ block: null }])
  })

  await t.test('each file begins with the settings of a new session in its database', async t => {
    const own = (setting: string) =>
      `do $$ begin execute format('alter database %I set ${setting}', current_database()); end $$;`
    const set = readMigrations(
      'settings',
      t.testdir({
        '001.do.a.sql': `create schema app; ${own('search_path = app, public')} ${own("timezone = ''Europe/Berlin''")}`,
        '002.do.b.sql': `create table things as select current_setting('timezone') as zone; set search_path = ''`,
        '003.do.c.sql': 'create table others ()',
      }),
    )
    t.same(await migrate(central, set), [1, 2, 3])
    const [row] =
      await central`select to_regclass('app.things') is not null as b, to_regclass('app.others') is not null as c`
    t.same(row, { b: true, c: true })
    t.same(await central`select zone from app.things`, [{ zone: 'Europe/Berlin' }])
    await central.unsafe(own('search_path = default').replace('set search_path = default', 'reset all'))
  })

  await t.test('a file that changes another database is refused, and changes nothing', async t => {
    await central`create database beside`
    for (const [at, text] of [
      "execute 'alter database beside set work_mem = 65'",
      "begin execute 'alter database beside set work_mem = 65'; exception when division_by_zero then null; end",
      "execute 'comment on database beside is ''mine'''; execute 'alter database beside connection limit 3'",
    ].entries()) {
      const set = unseen(`beside_${at}`, `do $$ begin ${text}; end $$`)
      await t.rejects(migrate(central, set), { code: 'MIGRATION_FAILED', message: /changes the database beside/ }, text)
    }
    const [row] = await central`
      select datconnlimit as limit, (select count(*)::int from pg_db_role_setting where setdatabase = d.oid) as settings
      from pg_database d where datname = 'beside'`
    t.same(row, { limit: -1, settings: 0 })
  })
})
