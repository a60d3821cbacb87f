// Moves while a disk really runs full, on either side: a file system of the server's own. The move ends with the reason and the cure, the
// tenant is served where it was, and nothing is left; where a server has ended over it, what it has left is named and dropped once it runs
// again. A proxy in front of a server hides from the command how much room it has, as another machine does.
import t from 'tap'
import type { PostgresServer } from '../../stack/servers/postgres.js'
import { until } from '../until.js'
import { cuttable, heldCopy } from './disturbances.js'
import { type Addresses, moveStand } from './move-stand.js'
import { noSmallDisk, smallDisk } from './small-disk.js'

const MIB = 2 ** 20
const LIMITS = ['--hold-limit', '20000', '--quiet-wait', '0']

t.test('moves while a disk runs full', async t => {
  const [source, target] = [smallDisk(t), smallDisk(t)]
  if (!source || !target) return void t.pass(noSmallDisk, { skip: true })
  const stand = await moveStand(t)
  const { app, look, central, folder, instances, servers, command, place, write } = stand
  const isUp = async (at: string): Promise<boolean> => (await look(at)`select`.catch(() => [])).length > 0
  for (const [at, disk] of [
    ['employee', source],
    ['b', target],
  ] as const) {
    for (const setting of ['max_wal_size', 'min_wal_size'])
      await look(at).unsafe(`alter system set ${setting} = '32MB'`)
    await disk.carry(servers.postgres[at] as PostgresServer)
    await until(`${at} is up`, () => isUp(at))
  }
  const main = stand.database('employee')
  const farMain = await cuttable(t, { host: main.host, port: main.port })
  const farB = await cuttable(t, { host: instances.b?.host ?? '', port: instances.b?.port ?? 0 })
  await app.tenants.create({ id: 'acme', name: 'Acme' })

  const copy = heldCopy(folder)

  /** Rows that cannot be compressed, of 2 KiB each. @returns whether they were accepted */
  const fillOnce = (mebibytes: number): Promise<boolean> =>
    app.tenants
      .run('acme', async ({ sql }) => {
        await sql`insert into notes (body) select string_agg(md5(random() || ' ' || part), '')
          from generate_series(1, ${mebibytes * 512}::int) n, generate_series(1, 64) part group by n`
      })
      .then(
        () => true,
        () => false,
      )
  /** In portions, each of which a busy machine writes within the limit of a statement. */
  const fill = async (mebibytes: number): Promise<boolean> => {
    for (let left = mebibytes; left > 0; left -= 4) if (!(await fillOnce(Math.min(left, 4)))) return false
    return true
  }
  const empty = async (): Promise<void> => {
    await app.tenants.run('acme', async ({ sql }) => void (await sql`delete from notes`))
    const inside = look('employee', 'tenant_acme_employee')
    await inside`vacuum full notes`
    await inside.end()
    for (const at of ['employee', 'b']) await look(at)`checkpoint`
  }
  /** A move whose copy waits. */
  const begin = async (at: Addresses, ...more: string[]) => {
    copy.hold()
    const all = ['move', 'acme', '--to', 'b', '--yes', '--programs', copy.programs, ...LIMITS, ...more]
    const running = command(all, undefined, at)
    await until('it copies', async () => {
      const rows = await central`select from transfer_tenants where step = 'copying'`
      return rows.length > 0
    })
    return { running }
  }
  const left = async (): Promise<string[]> => {
    const found: string[] = []
    for (const at of ['employee', 'b']) {
      const names = await look(at)<{ name: string }[]>`
        select slot_name::text as name from pg_replication_slots union all select subname from pg_subscription
        union all select rolname from pg_roles where rolname ~ '^fdt_move'
        union all select datname from pg_database where datname ~ 'acme' and ${at} = 'b'`
      found.push(...names.map(({ name }) => `${at}: ${name}`))
    }
    const inside = look('employee', 'tenant_acme_employee')
    found.push(...(await inside`select pubname as name from pg_publication`).map(({ name }) => `publication ${name}`))
    await inside.end()
    return found
  }
  let notes = 0
  const isAsBefore = async (when: string): Promise<void> => {
    t.same(await place('acme'), { instance: 'main', moving: null }, when)
    t.equal(await write('acme', `note ${++notes}`), null, when)
    t.same(await left(), [], when)
    t.notMatch((await command(['doctor'])).out, /acme|left by/, when)
  }

  await t.test('one that is nearly full already is named by the plan', async t => {
    for (const disk of [source, target]) disk.leave(40 * MIB)
    const { code, out, err } = await command(['move', 'acme', '--to', 'b', '--dry-run'])
    for (const disk of [source, target]) disk.widen()
    t.equal(code, 1, out + err)
    for (const at of ['main', 'b']) {
      t.match(out, new RegExp(`${at} +has [\\d.]+ MB left on its disk, and with less than 64\\.0 MB the copy is ended`))
    }
  })

  await t.test('the target’s, in the copy', async t => {
    await fill(24)
    for (const how of [[], ['--frozen']]) {
      target.leave(20 * MIB)
      const { code, out, err } = await command(['move', 'acme', '--to', 'b', '--yes', ...LIMITS, ...how], undefined, {
        b: farB.port,
      })
      target.widen()
      t.equal(code, 1, out + err)
      t.match(err, /TRANSFER_FAILED: .*could not extend file.*free disk space.*taken back: it is served where it was/s)
      await isAsBefore(`the target’s disk, ${how}`)
    }
  })

  await t.test('the target’s, seen before it is full', async t => {
    for (const how of [[], ['--frozen']]) {
      const { running } = await begin({}, ...how)
      target.leave(48 * MIB)
      const { code, out, err } = await running
      target.widen()
      t.equal(code, 1, out + err)
      t.match(
        err,
        /TRANSFER_FAILED: .*interrupted \(The disk of b has \d+\.\d MB left: give it more room\.\).*taken back: it is served/s,
      )
      await isAsBefore(`the target’s disk, seen before, ${how}`)
    }
  })

  await t.test('a frozen move to one that is nearly full refuses no write', async t => {
    // The plan asks by the service's own role, which may not see it.
    target.leave(40 * MIB)
    const { code, out, err } = await command(['move', 'acme', '--to', 'b', '--frozen', '--yes'])
    target.widen()
    t.equal(code, 1, out + err)
    t.match(err, /TRANSFER_FAILED: The disk of b has \d+\.\d MB left: give it more room\. .*taken back: it is served/)
    t.notMatch(err, /interrupted/, 'before the freeze')
    await isAsBefore('a disk that is nearly full')
  })

  await t.test('the target’s, while it follows', async t => {
    await empty()
    const { running } = await begin({ b: farB.port })
    t.ok(await fill(64))
    target.leave(40 * MIB)
    copy.go()
    const { code, out, err } = await running
    target.widen()
    t.equal(code, 1, out + err)
    t.match(err, /TRANSFER_FAILED: .*(could not apply a change|cut off|cannot be reached|connection)/)
    t.match(err, /it is served where it was/i)
    if (!(await isUp('b'))) await servers.postgres.b?.restart()
    await until('b is up', () => isUp('b'))
    await command(['doctor', '--fix'])
    await isAsBefore('the target’s disk, while it follows')
  })

  await t.test('the source’s, by the log that it keeps for the copy: ended before it is full', async t => {
    await empty()
    const { running } = await begin({})
    source.leave(160 * MIB)
    let [over, accepted, refused] = [false, 0, 0]
    void running.then(() => {
      over = true
    })
    await until('the move has ended', async () => {
      if (over) return true
      // With so little left the move ends, however late it looks.
      if (source.free() < 56 * MIB) return false
      if (await fill(2)) accepted++
      else refused++
      return false
    })
    const { code, out, err } = await running
    t.equal(code, 1, out + err)
    t.match(
      err,
      /interrupted \(The disk of \S+ has [\d.]+ MB left, and its log takes [\d.]+ MB for this copy: give it more/,
    )
    t.match(err, /taken back: it is served where it was/)
    t.ok(accepted > 0)
    t.equal(refused, 0, 'no write was refused')
    await until('its log is let go', async () => {
      const [log] = await look('employee')<{ bytes: number }[]>`select sum(size)::float8 as bytes from pg_ls_waldir()`
      return (log?.bytes ?? 0) <= 48 * MIB
    })
    source.widen()
    await isAsBefore('the source’s disk, seen before')
  })

  await t.test('a slot that the source has given up, as max_slot_wal_keep_size says', async t => {
    await empty()
    const at = look('employee')
    await at`alter system set max_slot_wal_keep_size = '48MB'`
    await at`select pg_reload_conf()`
    const { running } = await begin({ main: farMain.port })
    let over = false
    void running.then(() => {
      over = true
    })
    await until('the move has ended', async () => {
      await at`select pg_logical_emit_message(false, 'test', repeat('x', 4194304))`
      // It is the checkpoint that gives a slot up.
      await at`checkpoint`
      return over
    })
    const { code, out, err } = await running
    await at`alter system reset max_slot_wal_keep_size`
    await at`select pg_reload_conf()`
    t.equal(code, 1, out + err)
    t.match(err, /The replication slot fdt_move_\S+ is lost: raise max_slot_wal_keep_size on main/)
    await isAsBefore('a lost slot')
  })

  await t.test('the source’s, whose server ends over it: named and dropped once it runs again', async t => {
    await empty()
    const { running } = await begin({ main: farMain.port })
    source.leave(100 * MIB)
    // A file that cannot grow costs a statement; the log that finds no room ends the server.
    await until('its server has ended', async () => {
      await look('employee')`select pg_logical_emit_message(false, 'test', repeat('x', 4194304))`.catch(() => {})
      return !(await isUp('employee'))
    })
    copy.go()
    const { code, out, err } = await running
    t.equal(code, 1, out + err)
    // The lock of the run is a session of that server as well, and may be missed first.
    t.match(
      err,
      /TRANSFER_FAILED: .*(cut off|pg_dump failed|\(the session that kept others out was lost\)).*(--rollback|try again)/s,
    )
    t.notMatch(err, /takes no writes/, 'it is copied, and not frozen')
    source.widen()
    await servers.postgres.employee?.restart()
    await until('it is up', () => isUp('employee'))
    t.equal(await until('it is served', async () => (await write('acme', 'served again')) === null), true)
    const { out: named } = await command(['doctor'])
    t.match(named, /move not ended +acme .*--rollback .*or doctor --fix/)
    await command(['doctor', '--fix'])
    await isAsBefore('a server that has ended')
  })
})
