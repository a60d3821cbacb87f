// `import-hybrid --online`, as an operator types it: an old application writes to its shared server all the while, until its server
// refuses it at the switch. Every write that was acknowledged there is here; whatever ends the command before the switch, the old application
// goes on; and nothing is left at either side.
import t from 'tap'
import { until } from '../until.js'
import { LIMITS, onlineImportStand, startWriter, type Writer } from './import-online-stand.js'

t.test('an import without a freeze', async t => {
  const stand = await onlineImportStand(t)
  const { old, target, exists, shared, words, run, killedAt, heldAt, last, left, make, goesOn, isHere } = stand

  await t.test('its plan names what cannot be brought so, and changes nothing', async t => {
    await make('plan')
    const planned = await run('--tenant', 'plan', '--online', '--dry-run')
    t.equal(planned.code, 0, planned.out + planned.err)
    const at = old.look('tenant_plan_core')
    await at`create unlogged table fleeting (id int)`
    await at.end()
    const stopped = await run('--tenant', 'plan', '--online')
    t.equal(stopped.code, 1)
    t.match(stopped.out, /tenant_plan_core +has the unlogged table public.fleeting.*true/)
    t.match(stopped.err, /Nothing was changed/)
    const without = await stand.command(words(['--tenant', 'plan', '--online', '--dry-run']))
    t.match(without.out, /administrator +has no login here: .*INIT_SUPERUSER/)
    t.ok(await old.isOpen('tenant_plan_core'))
    t.same(await left('plan'), ['core: fleeting d'])
    t.equal((await run('--tenant', 'plan', '--dry-run')).code, 0, 'by a freeze it can be')
    for (const service of ['core', 'employee']) await shared`drop database ${shared(`tenant_plan_${service}`)}`
  })

  await t.test('brings a tenant of two services while it is written to', async t => {
    await make('acme')
    const writers = [startWriter(t, old, 'tenant_acme_core'), startWriter(t, old, 'tenant_acme_employee')]
    await goesOn(writers, 'before')
    const { code, out, err } = await run('--tenant', 'acme', '--online', ...LIMITS)
    t.equal(code, 0, out + err)
    t.match(out, /acme +ready +[\d.]+ +[\d.]+/, 'with the time for which its sources were closed')
    for (const writer of writers) await writer.stop()
    for (const [at, service] of (['core', 'employee'] as const).entries()) {
      await isHere(t, 'acme', service, writers[at] as Writer)
      t.notOk(await old.isOpen(`tenant_acme_${service}`), 'it stays closed at the source')
      t.ok((writers[at]?.refused ?? 0) > 0, 'the old application is refused')
    }
    t.same(await left('acme'), [])
    t.notMatch((await stand.command(['doctor'])).out, /being imported|left by|stray/)
    t.equal((await stand.command(['verify', 'acme'])).code, 0)
    const thawed = await run('--thaw', await last())
    t.equal(thawed.code, 0, thawed.out + thawed.err)
    t.ok(await old.isOpen('tenant_acme_core'))
    const back = await run('--rollback', await last())
    t.equal(back.code, 1, 'what was written here since is kept')
    t.match(back.out, /acme has been written to in (core|employee)/)
  })

  await t.test('in doubt, or without time, the old application goes on', async t => {
    await make('doubt')
    const writers = [startWriter(t, old, 'tenant_doubt_core'), startWriter(t, old, 'tenant_doubt_employee')]
    await goesOn(writers, 'before')
    const late = await run('--tenant', 'doubt', '--online', '--hold-limit', '1', '--quiet-wait', '0')
    t.equal(late.code, 1, late.out + late.err)
    t.match(late.out, /doubt +failed .*The switch of doubt took longer than 1 ms/)
    t.match(late.err, /goes on with --resume/)
    t.ok(await old.isOpen('tenant_doubt_core'))
    await goesOn(writers, 'after a switch that took too long')
    t.same(await left('doubt'), [])
    t.notOk(await exists('core', 'tenant_doubt_core'))

    // The switch waits for this transaction, and meanwhile a definition is changed, which replication does not carry.
    const at = old.look('tenant_doubt_core')
    const other = old.look('tenant_doubt_core')
    let end = (): void => {}
    const ended = new Promise<void>(resolve => {
      end = resolve
    })
    let isOpen = false
    const open = at.begin(async tx => {
      await tx`select 1`
      isOpen = true
      await ended
    })
    await other`select 1`
    await until('it is open', () => isOpen)
    // It is older than the limit by then.
    const limits = ['--transaction-limit', '1', '--hold-limit', '30000', '--quiet-wait', '600']
    const moving = run('--tenant', 'doubt', '--online', ...limits)
    const central = target('core')
    await until('it waits for the transaction', async () => {
      const rows = await central`select from transfer_tenants where tenant_id = 'doubt' and step = 'caught_up'`
      return rows.length > 0
    })
    await other`create index on facts (n)`
    end()
    await open
    const changed = await moving
    t.equal(changed.code, 1, changed.out + changed.err)
    t.match(changed.out, /doubt +failed .*Definitions in tenant_doubt_core were changed/)
    await goesOn(writers, 'after a doubt')
    for (const sql of [at, other]) await sql.end()
    t.same(await left('doubt'), [])

    const again = await run('--resume', await last())
    t.equal(again.code, 0, again.out + again.err)
    for (const writer of writers) await writer.stop()
    await isHere(t, 'doubt', 'core', writers[0] as Writer)
    await isHere(t, 'doubt', 'employee', writers[1] as Writer)
    t.same(await left('doubt'), [])
  })

  await t.test('a row in the way at the target, one that is missing there, and slots that are lost', async t => {
    await make('doubted')
    const SERVICES = ['core', 'employee'] as const
    const names = SERVICES.map(service => `tenant_doubted_${service}`)
    const writers = names.map(name => startWriter(t, old, name))
    await goesOn(writers, 'before')
    const atSource = old.look('tenant_doubted_core')
    const inTarget = async (statement: string): Promise<void> => {
      const there = target('core', 'tenant_doubted_core')
      await there.unsafe(statement)
      await there.end()
    }
    /** Disturbed while it stands still, it ends with the reason; the old application goes on, and nothing is left. */
    const endsWith = async (reason: RegExp, step: string, disturb: () => Promise<void>): Promise<void> => {
      const held = await heldAt(step, '--tenant', 'doubted', '--online', ...LIMITS)
      await disturb()
      held.go()
      const { code, out, err } = await held.outcome
      t.equal(code, 1, out + err)
      t.match(out, reason)
      t.match(err, /goes on with --resume/)
      for (const [at, service] of SERVICES.entries()) {
        t.ok(await old.isOpen(names[at] as string))
        t.notOk(await exists(service, names[at] as string))
      }
      t.same(await left('doubted'), [])
      await goesOn(writers, `after ${step}`)
    }
    // Once both services follow, none of their sources is closed, and no change has been compared.
    await endsWith(
      /doubted +failed .*could not apply a change of \S+ to tenant_doubted_core in 3 attempts/,
      'following_up:2',
      async () => {
        await inTarget(`insert into facts (id, body) values (-1, 'planted')`)
        await atSource`insert into facts (id, body) values (-1, 'old -1')`
      },
    )
    await endsWith(
      /doubted +failed .*Not everything that was written .* 1 rows of public.facts/,
      'following_up:2',
      async () => {
        await inTarget('delete from facts where id = 7')
        await atSource`update facts set n = n + 1 where id = 7`
      },
    )
    await endsWith(/doubted +failed .*The replication slot fdt_move_\S+ is gone/, 'copying:2', async () => {
      const slots = await shared`
        select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = 'tenant_doubted_core'`
      t.equal(slots.length, 2)
    })
    await shared`alter system set max_slot_wal_keep_size = '16MB'`
    await shared`select pg_reload_conf()`
    await endsWith(
      /doubted +failed .*The replication slot fdt_move_\S+ is lost: raise max_slot_wal_keep_size/,
      'copying:2',
      async () => {
        await until('its slots are lost', async () => {
          for (let n = 0; n < 2; n++) {
            await shared`select pg_logical_emit_message(false, 'test', repeat('x', 16777216))`
            await shared`select pg_switch_wal()`
          }
          await shared`checkpoint`
          const kept = await shared`select from pg_replication_slots where wal_status <> 'lost'`
          return kept.length === 0
        })
      },
    )
    await shared`alter system reset max_slot_wal_keep_size`
    await shared`select pg_reload_conf()`
    const { code, out, err } = await run('--tenant', 'doubted', '--online', ...LIMITS)
    t.equal(code, 0, out + err)
    await atSource.end()
    for (const writer of writers) await writer.stop()
    for (const [at, service] of SERVICES.entries()) await isHere(t, 'doubted', service, writers[at] as Writer)
    t.same(await left('doubted'), [])
  })

  await t.test('killed at each step it goes on, and nothing is lost', async t => {
    await make('killed')
    const writers = [startWriter(t, old, 'tenant_killed_core'), startWriter(t, old, 'tenant_killed_employee')]
    await goesOn(writers, 'before')
    await killedAt(t, 'replicating', '--tenant', 'killed', '--online', ...LIMITS)
    const id = await last()
    await goesOn(writers, 'while no command runs')
    t.match(
      (await stand.command(['doctor'])).out,
      new RegExp(`being imported +killed +its source takes writes, and keeps its log .*--rollback ${id}`),
    )
    const without = await stand.command(words(['--resume', id]))
    t.equal(without.code, 2)
    t.match(without.err, /was begun with --online.*set INIT_SUPERUSER/)
    const back = await run('--rollback', id)
    t.equal(back.code, 0, back.out + back.err)
    t.same(await left('killed'), [], 'taken back')
    await goesOn(writers, 'after the rollback')

    await killedAt(t, 'publishing', '--tenant', 'killed', '--online', ...LIMITS)
    const second = await last()
    for (const step of ['caught_up', 'closed', 'marker_applied', 'verified']) {
      await killedAt(t, step, '--resume', second)
      if (step !== 'closed') continue
      const { out } = await stand.command(['doctor'])
      t.match(out, /being imported +killed +its source takes no writes/)
    }
    // From here on both are proven: it is handed over as it is.
    await killedAt(t, 'handed_over', '--resume', second)
    await killedAt(t, 'registered', '--resume', second)
    const { code, out, err } = await run('--resume', second)
    t.equal(code, 0, out + err)
    for (const writer of writers) await writer.stop()
    await isHere(t, 'killed', 'core', writers[0] as Writer)
    await isHere(t, 'killed', 'employee', writers[1] as Writer)
    t.same(await left('killed'), [])
    const doctor = await stand.command(['doctor'])
    t.equal(doctor.code, 0, doctor.out + doctor.err)
  })
})
