// The command `move` without a freeze, as an operator types it: killed at each step and resumed, killed and ended by `doctor
// --fix`, beside a row that stands in the way at the target, and a migration. Whatever happens, the
// tenant is served, and nothing is left.
import t from 'tap'
import { moveStand } from './move-stand.js'

/** Before the switch, in the switch, after it. */
const STEPS = [
  'publishing',
  'published',
  'restored',
  'replicating',
  'verified',
  'caught_up',
  'accepted',
  'held',
  'marker_applied',
  'relocated',
]
const LIMITS = ['--hold-limit', '20000', '--quiet-wait', '0']

t.test('move without a freeze', async t => {
  const stand = await moveStand(t)
  const { look, command, killedAt, heldAt, last, place, write, count } = stand
  await stand.app.tenants.create({ id: 'acme', name: 'Acme' })
  for (const body of ['one', 'two', 'three']) await write('acme', body)
  let rows = 3
  const left = async () => {
    const found: string[] = []
    for (const at of ['employee', 'b']) {
      const names = await look(at)<{ name: string }[]>`
        select slot_name::text as name from pg_replication_slots union all select subname from pg_subscription
        union all select rolname from pg_roles where rolname ~ '^fdt_move'`
      found.push(...names.map(({ name }) => `${at}: ${name}`))
    }
    return found
  }
  const served = async (at: string, when: string): Promise<void> => {
    t.same(await place('acme'), { instance: at, moving: null }, when)
    t.equal(await write('acme', when), null, when)
    t.equal(await count('acme'), ++rows, when)
  }
  const move = (to: string, ...more: string[]) => command(['move', 'acme', '--to', to, '--yes', ...LIMITS, ...more])

  await t.test('prints its plan', async t => {
    const { code, out } = await command(['--json', 'move', 'acme', '--to', 'b', '--dry-run', '--room', '1TB'])
    t.equal(code, 0, out)
    t.match(JSON.parse(out), { plan: { way: 'online', obstacles: [], online: [] } })
    const inside = look('employee', 'tenant_acme_employee')
    await inside.unsafe('set role employee_service; create unlogged table fleeting (id int)')
    const stopped = await move('b')
    t.equal(stopped.code, 1)
    t.match(stopped.out, /has the unlogged table public.fleeting/)
    t.match(stopped.err, /With --frozen it can be moved: writers are then refused for roughly \d+ s/)
    await inside`drop table fleeting`
    await inside.end()
    t.same(await left(), [])
  })

  await t.test('killed at each step, it resumes', async t => {
    for (const [at, step] of STEPS.entries()) {
      await killedAt(step, ...(at === 0 ? ['acme', '--to', 'b', ...LIMITS] : ['--resume', await last()]))
      if (step === 'verified') {
        t.equal(await write('acme', 'while it lies there'), null, 'it takes writes while no command runs')
        rows++
        const { out } = await command(['doctor'])
        t.match(out, /move not ended +acme +.*the step verified: `move --service employee --rollback .*or doctor --fix/)
      }
    }
    t.equal((await place('acme'))?.instance, 'b')
    const { code, out, err } = await command(['--json', 'move', '--resume', await last(), '--yes'])
    t.equal(code, 0, out + err)
    t.match(JSON.parse(out), { state: 'moved', way: 'online', follows: true })
    t.match(err, /"type":"following"/, 'its events are lines of JSON')
    await served('b', 'after the last resume')
    t.match((await command(['move', '--list'])).out, /acme +main>b +online +done +following/)
  })

  await t.test('a way back that is killed leaves it where it is', async t => {
    // A lost connection does not end the following.
    await look('b')`select pg_terminate_backend(active_pid) from pg_replication_slots where active_pid is not null`
    await killedAt('held', 'acme', '--back')
    t.match(
      (await command(['doctor'])).out,
      /move not ended +acme .*the step returning: `move acme --service employee --back`/,
    )
    await command(['doctor', '--fix'])
    await served('b', 'after a kill in the switch back')
    t.match((await command(['move', '--list'])).out, /acme +main>b +online +done +following/)
    await killedAt('returning', 'acme', '--back')
    const resumed = await command(['--json', 'move', '--resume', await last(), '--yes'])
    t.match(JSON.parse(resumed.out), { state: 'moved', follows: true })
    await served('b', 'after a resume of the way back')
    await killedAt('returned', 'acme', '--back')
    const { code, out, err } = await command(['--json', 'move', '--resume', await last(), '--yes'])
    t.equal(code, 0, out + err)
    t.match(JSON.parse(out), { state: 'back' })
    await served('main', 'after a kill behind the switch back')
    t.same(await left(), [])
    t.equal((await command(['move', 'acme', '--to', 'b', '--yes', ...LIMITS])).code, 0)
  })

  await t.test('doctor names the log that a way back keeps', async t => {
    const at = look('b')
    await at`alter system set max_wal_size = '32MB'`
    await at`select pg_reload_conf()`
    for (let n = 0; n < 6; n++) {
      await at`select pg_logical_emit_message(false, 'test', 'a segment')`
      await at`select pg_switch_wal()`
    }
    t.match(
      (await command(['doctor'])).out,
      /way back keeps the log +acme .*MiB of its log.*move acme --service employee --finish/,
    )
    await at`alter system reset max_wal_size`
    await at`select pg_reload_conf()`
  })

  await t.test('and goes back', async t => {
    const { code, out, err } = await command(['move', 'acme', '--back', '--yes'])
    t.equal(code, 0, out + err)
    t.match(out, /acme is on main again; its copy on b is dropped. Statements were held for \d+ ms/)
    await served('main', 'after the way back')
    t.same(await left(), [])
  })

  await t.test('killed in the switch, `doctor --fix` takes it back; killed after it, it ends it', async t => {
    await killedAt('quiet', 'acme', '--to', 'b', ...LIMITS)
    const named = await command(['doctor'])
    t.equal(named.code, 3)
    t.match(named.out, /move not ended +acme .*the step closing/)
    await command(['doctor', '--fix'])
    await served('main', 'after a kill in the switch')
    t.same(await left(), [])
    await killedAt('relocated', 'acme', '--to', 'b', '--no-follow', ...LIMITS)
    await command(['doctor', '--fix'])
    await served('b', 'after a kill behind the switch')
    t.same(await left(), [])
    t.notMatch((await command(['doctor'])).out, /acme/)
    t.equal((await command(['move', 'acme', '--drop-source', '--yes'])).code, 0)
  })

  await t.test('a row in the way at the target, and a migration meanwhile', async t => {
    // The command stands still while the row is planted, so no step can pass before it is there.
    const held = await heldAt('verified', 'acme', '--to', 'main', ...LIMITS)
    const inside = look('employee', 'tenant_acme_employee')
    const [{ next } = { next: 0 }] = await look('b', 'tenant_acme_employee')<{ next: number }[]>`
      select (last_value + 1)::int as next from notes_id_seq`
    await inside`insert into notes (id, body) overriding system value values (${next}, 'planted')`
    await inside.end()
    const migrated = await command(['migrate', '--service', 'employee'])
    for (let n = 0; n < 3; n++) {
      t.equal(await write('acme', `beside ${n}`), null)
      rows++
    }
    held.go()
    const { code, out, err } = await held.outcome
    t.equal(code, 1, out + err)
    t.match(err, /could not apply a change|is not like it|Not everything/)
    t.match(err, /taken back: it is served where it was/)
    t.equal(migrated.code, 0, 'the migration leaves a tenant alone that is being moved')
    await served('b', 'after a row in the way')
    t.same(await left(), [])
  })
})
