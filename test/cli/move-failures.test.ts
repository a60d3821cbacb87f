// Moves under faults while they copy: a target whose disk is full, either side cut off in the middle, a target that
// is another service's or has that name already. The tenant is served where it was, nothing is left at the target,
// and the command reports the fault and the cure.
import t from 'tap'
import { bootstrap } from '../../operations/init/bootstrap.js'
import { parseServiceName } from '../../plugins/distributed-tenant/names.js'
import { startPostgres } from '../../stack/servers/postgres.js'
import { until } from '../until.js'
import { cuttable, heldCopy, limitFiles } from './disturbances.js'
import { type Addresses, moveStand } from './move-stand.js'

const MIB = 2 ** 20
const ROWS = 12_288

t.test('moves that are disturbed', async t => {
  const stand = await moveStand(t)
  const { app, look, central, folder, instances, servers, command, last, place, write, count } = stand
  const b = { host: instances.b?.host ?? '', port: instances.b?.port ?? 0 }
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  // 24 MiB that cannot be compressed.
  await app.tenants.run('acme', async ({ sql }) => {
    await sql`insert into notes (body) select string_agg(md5(n || ' ' || part), '')
      from generate_series(1, ${ROWS}::int) n, generate_series(1, 64) part group by n`
  })
  let rows = ROWS
  const move = (at?: Addresses) => command(['move', 'acme', '--to', 'b', '--frozen', '--yes'], undefined, at)
  const left = () => look('b')`select datname as name from pg_database where datname ~ 'acme'
    union all select rolname from pg_roles where rolname ~ 'acme'`
  const served = async (when: string): Promise<void> => {
    t.same(await place('acme'), { instance: 'main', moving: null }, when)
    t.equal(await write('acme', when), null, when)
    t.equal(await count('acme'), ++rows, when)
  }

  await t.test('a full disk at the target', async t => {
    limitFiles(servers.postgres.b as { pid: number }, 20 * MIB)
    const { code, out, err } = await move()
    limitFiles(servers.postgres.b as { pid: number }, null)
    t.equal(code, 1, out + err)
    t.match(err, /could not extend file.*The move of acme was taken back: it is served where it was/s)
    await served('after a full disk')
    t.same(await left(), [])
    t.notMatch((await command(['doctor'])).out, /acme/)
  })

  await t.test('a source that is cut in the middle of the copy', async t => {
    const between = await cuttable(t, stand.database('employee'))
    between.cutAfter(3 * MIB, 'once')
    const { code, out, err } = await move({ main: between.port })
    t.equal(code, 1, out + err)
    t.equal(between.cuts(), 1)
    t.match(err, /pg_dump failed: .*taken back: it is served where it was/s)
    await served('after a cut at the source')
    t.same(await left(), [])
  })

  await t.test('a target that is cut in the middle of the copy', async t => {
    const between = await cuttable(t, b)
    between.cutAfter(3 * MIB, 'once', 'in')
    const { code, out, err } = await move({ b: between.port })
    t.equal(code, 1, out + err)
    t.equal(between.cuts(), 1)
    t.match(err, /pg_restore failed: .*taken back: it is served where it was/s)
    await served('after a cut at the target')
    t.same(await left(), [])
  })

  await t.test(
    'a target that is cut and stays down: nothing is frozen, and its leftovers are removed by --rollback',
    async t => {
      const between = await cuttable(t, b)
      between.cutAfter(3 * MIB, 'and refuse', 'in')
      const { code, out, err } = await move({ b: between.port })
      t.equal(code, 1, out + err)
      const run = await last()
      t.match(
        err,
        new RegExp(`It is served where it was; what was begun at the other instance .*--rollback ${run}`, 's'),
      )
      await served('while the target is down')
      t.not((await left()).length, 0)
      const early = await command(['move', '--rollback', run, '--yes'], undefined, { b: between.port })
      t.equal(early.code, 1, early.out)
      t.match(
        early.err,
        /TRANSFER_FAILED: The instance b of employee \(127.0.0.1:\d+\) cannot be used .*check that it runs/,
      )
      const named = await command(['doctor'])
      t.match(named.out, new RegExp(`left by a move +tenant_acme_employee .*move --service employee --rollback ${run}`))
      between.heal()
      const back = await command(['move', '--rollback', run, '--yes'], undefined, { b: between.port })
      t.equal(back.code, 0, back.out + back.err)
      t.same(await left(), [])
      await served('after the rollback of the leftovers')
    },
  )

  await t.test('a source that is cut and stays down: it is named, and opened again once it is up', async t => {
    const between = await cuttable(t, stand.database('employee'))
    between.cutAfter(3 * MIB, 'and refuse')
    const { code, out, err } = await move({ main: between.port })
    t.equal(code, 1, out + err)
    const run = await last()
    t.match(
      err,
      new RegExp(
        `could not be taken back either .*--resume ${run}, or --rollback ${run}; until then acme may take no writes`,
        's',
      ),
    )
    t.equal(await count('acme'), rows, 'readers are served')
    t.equal(await write('acme', 'refused'), 'TENANT_MOVING')
    const doctor = await command(['doctor'])
    t.match(doctor.out, new RegExp(`being moved +acme .*--rollback ${run}`))
    between.heal()
    const back = await command(['move', '--rollback', run, '--yes'])
    t.equal(back.code, 0, back.out + back.err)
    await served('after the rollback')
    t.same(await left(), [])
  })

  await t.test('a lock that is lost in the middle: another may begin, so this one is undone', async t => {
    const copy = heldCopy(folder)
    const moving = command(['move', 'acme', '--to', 'b', '--frozen', '--yes', '--programs', copy.programs])
    await until('it copies', async () => (await central`select 1 from transfer_tenants where step = 'copying'`).length)
    await central`select pg_terminate_backend(pid) from pg_locks join pg_database on pg_database.oid = database
      where locktype = 'advisory' and granted and datname = 'employee_central'
        and (classid::bigint << 32 | objid::bigint) = hashtextextended('distributed_tenant.transfer', 0)`
    // The copy is never let go on: the command ends it.
    const { code, out, err } = await moving
    t.equal(code, 1, out + err)
    t.match(err, /was interrupted \(the session that kept others out was lost\)\. The move of acme was taken back/)
    await served('after a lost lock')
    t.same(await left(), [])
  })

  await t.test('a target that is not an instance of this service', async t => {
    const bare = await startPostgres({ name: 'bare' })
    t.teardown(() => bare.stop())
    const nobodys = await move({ b: bare.port })
    t.equal(nobodys.code, 1, nobodys.out)
    t.match(nobodys.err, /The instance b of employee .*distributed-tenant init --service employee/s)
    const { user, password } = bare
    await bootstrap({
      service: parseServiceName('core'),
      database: { ...stand.database('employee'), port: bare.port, user: 'core_service', database: 'core_central' },
      superuser: { user, password },
      onStep: () => {},
    })
    const others = await move({ b: bare.port })
    t.equal(others.code, 1, others.out)
    t.match(others.err, /The instance b of employee .*distributed-tenant init --service employee/s)
    await served('after a wrong target')
    t.same(await look('employee', 'employee_central')`select state from transfers where state = 'running'`, [])
  })

  await t.test('a target that holds a database of that name', async t => {
    const at = look('b')
    await at`create database tenant_acme_employee`
    const { code, out, err } = await move()
    t.equal(code, 1)
    t.match(out, /tenant_acme_employee +exists on b already/)
    t.match(err, /1 things are in the way: see above. Nothing was changed/)
    await served('after a name in use')
    t.equal((await look('b')`select 1 from pg_database where datname = 'tenant_acme_employee'`).length, 1)
    await at`drop database tenant_acme_employee`
  })

  await t.test('and without an obstacle it moves', async t => {
    const { code, out, err } = await move()
    t.equal(code, 0, out + err)
    t.same(await place('acme'), { instance: 'b', moving: null })
    t.equal(await count('acme'), rows)
    t.notMatch((await command(['doctor'])).out, /acme/)
  })
})
