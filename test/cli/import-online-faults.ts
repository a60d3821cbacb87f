// `import-hybrid --online` under faults: killed and given once more, a group of tenants of which one fails, the network between the shared
// server and the targets cut and held still, and a disk that really runs full on either side. The old application goes on, no acknowledged
// write is lost, and nothing is left.
import t from 'tap'
import type { PostgresServer } from '../../stack/servers/postgres.js'
import { betweenServers } from '../operations/move/between-servers.js'
import { until } from '../until.js'
import { cuttable, heldCopy } from './disturbances.js'
import { administrator, LIMITS, onlineImportStand, startWriter, type Writer } from './import-online-stand.js'
import { noSmallDisk, smallDisk } from './small-disk.js'

const MIB = 2 ** 20
const SERVICES = ['core', 'employee'] as const

t.test('an import without a freeze, disturbed', async t => {
  // Asked for before the servers, as they end after them.
  const [full, fullTarget] = [smallDisk(t), smallDisk(t)]
  const stand = await onlineImportStand(t)
  const { old, stack, folder, target, exists, shared, words, run, killedAt, last, left, make, goesOn, isHere } = stand
  const central = target('core')
  const stepsOf = async (id: string): Promise<string[]> => {
    const rows = await central<{ step: string }[]>`
      select step from transfer_tenants where tenant_id = ${id} and transfer_id = (select id from transfers order by started_at desc limit 1)`
    return rows.map(({ step }) => step)
  }
  const reaches = (id: string, step: string) =>
    until(`${id} is at ${step}`, async () => (await stepsOf(id)).includes(step))
  const writersOf = (id: string): Writer[] => SERVICES.map(service => startWriter(t, old, `tenant_${id}_${service}`))
  const allIsHere = async (id: string, writers: readonly Writer[]): Promise<void> => {
    for (const writer of writers) await writer.stop()
    for (const [at, service] of SERVICES.entries()) await isHere(t, id, service, writers[at] as Writer)
    t.same(await left(id), [])
  }
  const at = (port: number): string => old.url.replace(`:${old.port}/`, `:${port}/`)

  await t.test('killed, the same command goes on', async t => {
    await make('again')
    const writers = writersOf('again')
    await goesOn(writers, 'before')
    await killedAt(t, 'replicating', '--tenant', 'again', '--online', '--hold-limit', '1')
    const begun = await last()
    const shown = await run('--tenant', 'again', '--online', '--dry-run')
    t.equal(shown.code, 0, shown.out + shown.err)
    t.match(shown.out, new RegExp(`Goes on with run ${begun}`))
    t.same(
      await stepsOf('again'),
      (await stepsOf('again')).filter(step => step !== 'ready'),
    )
    const other = await run('--tenant', 'again,nobody', '--online', '--dry-run')
    t.notMatch(other.out, /Goes on with/, 'other tenants are another command')
    const all = await run('--online', '--dry-run')
    t.notMatch(all.out, /Goes on with/, 'all tenants are another command too')
    const { code, out, err } = await run('--tenant', 'again', '--online', ...LIMITS)
    t.equal(code, 0, out + err)
    t.match(out, new RegExp(`Goes on with run ${begun}`))
    t.equal(await last(), begun)
    await allIsHere('again', writers)
    const over = await run('--tenant', 'again', '--online', '--dry-run')
    t.notMatch(over.out, /Goes on with/, 'a run that has ended is not begun again')
  })

  await t.test('a group is closed once all of it has caught up, or not at all', async t => {
    for (const id of ['first', 'second']) await make(id)
    const writers = { first: writersOf('first'), second: writersOf('second') }
    const all = [...writers.first, ...writers.second]
    await goesOn(all, 'before')
    t.equal((await run('--tenant', 'first,second', '--together')).code, 2, '--together is for --online')
    const group = ['--tenant', 'first,second', '--online', '--together']
    const late = await run(...group, '--hold-limit', '1', '--quiet-wait', '0')
    t.equal(late.code, 1, late.out + late.err)
    t.match(late.out, /first +failed .*took longer than 1 ms/)
    t.match(late.out, /second +failed .*took longer than 1 ms/)
    for (const id of ['first', 'second']) {
      t.same(await left(id), [])
      for (const service of SERVICES) {
        t.ok(await old.isOpen(`tenant_${id}_${service}`))
        t.notOk(await exists(service, `tenant_${id}_${service}`))
      }
    }
    await goesOn(all, 'after a group that failed')

    const copy = heldCopy(folder, 'tenant_second_employee')
    const running = run(...group, ...LIMITS, '--programs', copy.programs)
    for (const service of SERVICES)
      await until(`first follows in ${service}`, async () => {
        const sql = target(service)
        const rows = await sql`
        select from transfer_tenants where tenant_id = 'first' and step = 'following_up'`
        await sql.end()
        return rows.length > 0
      })
    await goesOn(all, 'while one of the group is copied')
    for (const service of SERVICES) t.ok(await old.isOpen(`tenant_first_${service}`), 'it waits for the other')
    copy.go()
    const { code, out, err } = await running
    t.equal(code, 0, out + err)
    for (const id of ['first', 'second'] as const) {
      t.match(out, new RegExp(`${id} +ready +[\\d.]+ +[\\d.]+`))
      await allIsHere(id, writers[id])
    }
  })

  await t.test('the network between the servers, cut while it follows and held still at the switch', async t => {
    await make('cut')
    const writers = writersOf('cut')
    await goesOn(writers, 'before')
    const proxy = await betweenServers(t, old)
    const copy = heldCopy(folder, 'tenant_cut_employee')
    const command = (...args: string[]) =>
      stand.command(
        words(['--tenant', 'cut', '--online', '--programs', copy.programs, ...args], at(proxy.port)),
        administrator,
      )
    const running = command('--quiet-wait', '0', '--hold-limit', '10000', '--transaction-limit', '10000')
    await reaches('cut', 'following_up')
    await until('core has its connection', () => proxy.seen() > 0)
    proxy.cut()
    await goesOn(writers, 'while the network is cut')
    proxy.heal()
    // The switch waits for this transaction.
    const inside = old.look('tenant_cut_core')
    let end = (): void => {}
    const ended = new Promise<void>(resolve => {
      end = resolve
    })
    const open = inside
      .begin(async tx => {
        await tx`select 1`
        await ended
      })
      .catch(() => {})
    await until('it is open', async () => {
      const rows =
        await shared`select from pg_stat_activity where datname = 'tenant_cut_core' and state = 'idle in transaction'`
      return rows.length > 0
    })
    copy.go()
    await reaches('cut', 'freezing')
    proxy.freeze()
    end()
    await open
    const failed = await running
    t.equal(failed.code, 1, failed.out + failed.err)
    t.match(failed.out, /cut +failed .*took longer than 10000 ms/)
    proxy.heal()
    for (const service of SERVICES) t.ok(await old.isOpen(`tenant_cut_${service}`))
    await goesOn(writers, 'after a network that was still at the switch')
    t.same(await left('cut'), [])
    const { code, out, err } = await command(...LIMITS)
    t.equal(code, 0, out + err)
    t.match(out, /Goes on with run/)
    await inside.end()
    await allIsHere('cut', writers)
  })

  await t.test('either server is killed while one service follows and the other is copied', async t => {
    const core = stack.servers?.postgres.core as PostgresServer
    for (const [id, server] of [
      ['target', core],
      ['source', old.server],
    ] as const) {
      await make(id)
      const writers = writersOf(id)
      await goesOn(writers, 'before')
      const copy = heldCopy(folder, `tenant_${id}_employee`)
      const again = () =>
        stand.command(words(['--tenant', id, '--online', '--programs', copy.programs, ...LIMITS]), administrator)
      const running = again()
      await reaches(id, 'following_up')
      await server.kill()
      copy.go()
      const { code, out, err } = await running
      t.equal(code, 1, `${id}: ${out}${err}`)
      await server.restart()
      await goesOn(writers, `after the ${id} was killed`)
      const resumed = await again()
      t.equal(resumed.code, 0, resumed.out + resumed.err)
      await allIsHere(id, writers)
    }
  })

  await t.test('a disk that runs full', async t => {
    if (!full || !fullTarget) return void t.pass(noSmallDisk, { skip: true })
    const core = stack.servers?.postgres.core as PostgresServer
    for (const [server, disk] of [
      [old.server, full],
      [core, fullTarget],
    ] as const) {
      await disk.carry(server)
    }
    for (const setting of ['max_wal_size', 'min_wal_size']) {
      await until('it is up', () =>
        shared.unsafe(`alter system set ${setting} = '32MB'`).then(
          () => true,
          () => false,
        ),
      )
    }
    await shared`select pg_reload_conf()`
    await make('full')
    const writers = writersOf('full')
    await goesOn(writers, 'before')
    const inside = () => old.look('tenant_full_core')
    const fill = async (mebibytes: number): Promise<boolean> => {
      const sql = inside()
      return sql`
        insert into facts (body) select string_agg(md5(random() || ' ' || part), '')
          from generate_series(1, ${mebibytes * 512}::int) n, generate_series(1, 64) part group by n`
        .then(
          () => true,
          () => false,
        )
        .finally(() => sql.end({ timeout: 1 }))
    }
    const copy = heldCopy(folder)
    const begin = async (from?: string) => {
      copy.hold()
      const all = words(['--tenant', 'full', '--online', '--programs', copy.programs, ...LIMITS], from)
      const running = stand.command(all, administrator)
      await reaches('full', 'copying')
      return { running }
    }
    const isAsBefore = async (when: string): Promise<void> => {
      for (const service of SERVICES) t.ok(await old.isOpen(`tenant_full_${service}`), when)
      await goesOn(writers, when)
      t.same(await left('full'), [], when)
      t.notOk(await exists('core', 'tenant_full_core'), when)
    }

    await t.test('the target’s', async t => {
      const { running } = await begin()
      fullTarget.leave(48 * MIB)
      const { code, out, err } = await running
      fullTarget.widen()
      t.equal(code, 1, out + err)
      t.match(out, /full +failed .*interrupted \(The disk of core has [\d.]+ MB left: give it more room\.\)/)
      await isAsBefore('after a full disk at the target')
    })

    await t.test('the source’s, by the log that it keeps', async t => {
      const { running } = await begin()
      full.leave(160 * MIB)
      let [over, refused] = [false, 0]
      void running.then(() => {
        over = true
      })
      await until('the import has ended', async () => {
        if (over) return true
        // With so little left the import ends, however late it looks.
        if (full.free() < 56 * MIB) return false
        if (!(await fill(2))) refused++
        return false
      })
      const { code, out, err } = await running
      t.equal(code, 1, out + err)
      t.match(
        out,
        /full +failed .*\(The disk of \S+ has [\d.]+ MB left, and its log takes [\d.]+ MB for this copy: give it/,
      )
      t.equal(refused, 0, 'no write was refused')
      await until('its log is let go', async () => {
        const [log] = await shared<{ bytes: number }[]>`select sum(size)::float8 as bytes from pg_ls_waldir()`
        return (log?.bytes ?? 0) <= 48 * MIB
      })
      full.widen()
      await isAsBefore('after a full disk at the source')
    })

    await t.test('the source’s, whose server ends over it', async t => {
      // Behind a proxy the command does not know how much room it has.
      const proxy = await cuttable(t, old)
      const { running } = await begin(at(proxy.port))
      full.leave(100 * MIB)
      // A file that cannot grow costs a statement; the log that finds no room ends the server.
      await until('its server has ended', async () => {
        await shared`select pg_logical_emit_message(false, 'test', repeat('x', 4194304))`.catch(() => {})
        return (await shared`select 1`.catch(() => [])).length === 0
      })
      copy.go()
      const { code, out, err } = await running
      t.equal(code, 1, out + err)
      t.match(out, /full +failed .*(pg_dump failed|cut off)/)
      const doctor = await stand.command(['doctor'])
      t.match(doctor.out, /being imported +full +its source takes writes, and keeps its log .*--rollback/)
      full.widen()
      await old.server.restart()
      const back = await stand.command(words(['--rollback', await last()], at(proxy.port)), administrator)
      t.equal(back.code, 0, back.out + back.err)
      await isAsBefore('after a server that has ended')
      for (const writer of writers) await writer.stop()
    })
  })

  await t.test('and nothing is left of all that', async t => {
    const { code, out, err } = await stand.command(['doctor'])
    t.equal(code, 0, out + err)
  })
})
