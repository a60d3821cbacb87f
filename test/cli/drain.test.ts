// The commands `instances`, `drain` and `rebalance`, as an operator types them, on three instances while the tenants are written to:
// a tenant that cannot be moved keeps no other back, a kill and Ctrl-C are gone on from, and every acknowledged write is there.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { until } from '../until.js'
import { heldCopy } from './disturbances.js'
import { moveStand } from './move-stand.js'

const IDS = ['t1', 't2', 't3', 't4', 't5']
const LIMITS = ['--hold-limit', '20000', '--quiet-wait', '0']

t.test('many moves', async t => {
  const stand = await moveStand(t, undefined, ['b', 'c'])
  const { app, look, central, folder, command, begin, place } = stand
  const instances = ['employee', 'b', 'c']
  const at = async (instance: string): Promise<string[]> => {
    const rows = await central<{ id: string }[]>`select id from tenants where instance = ${instance} order by id`
    return rows.map(({ id }) => id)
  }
  const left = async () => {
    const found: string[] = []
    for (const one of instances) {
      const names = await look(one)<{ name: string }[]>`
        select slot_name::text as name from pg_replication_slots union all select subname from pg_subscription
        union all select rolname from pg_roles where rolname ~ '^fdt_move'`
      found.push(...names.map(({ name }) => `${one}: ${name}`))
    }
    return found
  }
  const accepted = new Map<string, string[]>()
  let writing = true
  t.teardown(() => {
    writing = false
  })
  const writer = async (id: string): Promise<void> => {
    const mine: string[] = []
    accepted.set(id, mine)
    for (let n = 0; writing; n++) {
      const body = `${id} ${n}`
      const done = await app.tenants
        .run(id, ({ sql }) => sql`insert into notes (body) values (${body})`)
        .then(
          () => true,
          () => false,
        )
      if (done) mine.push(body)
      await sleep(20)
    }
  }
  /** Accepted writes that are not there. */
  const missing = async (): Promise<string[]> => {
    const lost: string[] = []
    for (const [id, bodies] of accepted) {
      const rows = await app.tenants.run(id, ({ sql }) => sql<{ body: string }[]>`select body from notes`)
      const there = new Set(rows.map(({ body }) => body))
      lost.push(...bodies.filter(body => !there.has(body)))
    }
    return lost
  }
  const writers: Promise<void>[] = []

  await t.test('an instance is marked full, listed, and named by doctor as a note', async t => {
    t.match((await command(['instances', 'full', 'main'])).out, /main of employee is marked full\./)
    t.equal((await command(['instances', 'full', 'c'])).code, 0)
    const last = await command(['instances', 'full', 'b'])
    t.equal(last.code, 1)
    t.match(last.err, /b is the only instance of employee that takes new tenants/)
    for (const id of IDS) await app.tenants.create({ id, name: id })
    t.same(await at('b'), IDS)
    t.match((await command(['instances'])).out, /employee +b +\S+ +5 +\S+ MB +yes/)
    t.match((await command(['instances'])).out, /employee +c +\S+ +0 .*full since \S+, by /)
    const doctor = await command(['--json', 'doctor'])
    const { problems, notes } = JSON.parse(doctor.out)
    t.notMatch(JSON.stringify(problems), /full/)
    t.match(notes, [
      { what: 'marked full', instance: 'c' },
      { what: 'marked full', instance: 'main' },
    ])
    const refused = await command(['move', 't1', '--to', 'c', '--yes'])
    t.equal(refused.code, 1)
    t.match(refused.out, /c +is marked full by .*: `instances open c` lets tenants in again/)
    const none = await command(['drain', 'b', '--dry-run'])
    t.equal(none.code, 1)
    t.match(none.err, /No other instance of employee takes tenants/)
    for (const one of ['main', 'c']) t.equal((await command(['instances', 'open', one])).code, 0)
  })

  await t.test('a drain shows its plan, with what is in the way of each tenant', async t => {
    const inside = look('b', 'tenant_t3_employee')
    await inside.unsafe('set role employee_service; create unlogged table fleeting (id int)')
    await inside.end()
    const planned = await command(['--json', 'drain', 'b', '--dry-run'])
    t.equal(planned.code, 1)
    t.match(planned.err, /1 of 5 tenants cannot be moved/)
    const { plan } = JSON.parse(planned.out)
    t.equal(plan.length, 5)
    t.match(
      plan.find(({ id }: { id: string }) => id === 't3'),
      { inTheWay: [/unlogged table public.fleeting/], bytes: Number },
    )
    t.same(new Set(plan.map(({ to }: { to: string }) => to)), new Set(['main', 'c']), 'spread over the others')
    t.same(await central`select from full_instances`, [], 'nothing was marked')
    const unasked = await command(['drain', 'b'])
    t.equal(unasked.code, 2)
    t.match(unasked.err, /pass --yes/)
    t.equal((await command(['drain', 'd', '--yes'])).code, 1)
    t.equal((await command(['drain', 'b', '--room', 'much', '--yes'])).code, 2)
    const tight = await command(['--json', 'drain', 'b', '--dry-run', '--room', 'main=1MB,c=1MB'])
    t.match(JSON.parse(tight.out).plan[0], { to: null, inTheWay: [/has room at none of main, c/] })
  })

  await t.test('killed twice, it goes on; one that cannot be moved keeps no other back', async t => {
    writers.push(...IDS.map(writer))
    await until('they write', () => IDS.every(id => (accepted.get(id)?.length ?? 0) > 3))
    const killed = await command(['drain', 'b', '--yes', ...LIMITS], 'restored:2')
    t.equal(killed.code, 'SIGKILL', killed.out + killed.err)
    t.same(
      (await central`select name from full_instances`).map(({ name }) => name),
      ['b'],
    )
    t.match(await central`select kind, instance, state from move_batches`, [
      { kind: 'drain', instance: 'b', state: 'running' },
    ])
    const again = await command(['drain', 'b', '--yes', ...LIMITS], 'relocated:1')
    t.equal(again.code, 'SIGKILL', again.out + again.err)
    const { code, out, err } = await command(['--json', 'drain', 'b', '--yes', ...LIMITS])
    t.equal(code, 1, out + err)
    t.match(err, /1 tenants were not moved: see above/)
    const found = JSON.parse(out)
    t.match(found.notMoved, [{ tenant: 't3', why: /unlogged table public.fleeting/ }])
    t.same(found.left, ['t3'])
    t.same(await at('b'), ['t3'])
    t.ok((await at('main')).length >= 1 && (await at('c')).length >= 1, 'both got some')
    t.same(await left(), [])
    const batches = await central`select state, count(*)::int as n from move_batches group by state`
    t.match(batches, [{ state: 'done', n: 1 }], 'it was one batch all along')
    // The largest begin first, and all of them are written to meanwhile: any of them may be one that a kill interrupted.
    const begun = await central<{ id: string; n: number }[]>`
      select tenant_id as id, count(*)::int as n from audit_log
      where detail->>'command' = 'drain' and kind = 'admin' and tenant_id = any(${IDS}) group by tenant_id`
    t.same(begun.map(({ id }) => id).sort(), [...IDS].sort(), 'the audit log of each tenant has it')
    t.ok(
      begun.some(({ n }) => n >= 2),
      'and each time',
    )
    t.same(await missing(), [])
  })

  await t.test('what was in the way is removed, and the instance is left without tenants', async t => {
    await app.tenants.create({ id: 't6', name: 't6' })
    t.not((await place('t6'))?.instance, 'b', 'a new tenant does not go there')
    const inside = look('b', 'tenant_t3_employee')
    await inside`drop table fleeting`
    await inside.end()
    const { code, out, err } = await command(['drain', 'b', '--to', 'c', '--yes', '--drop-source', ...LIMITS])
    t.equal(code, 0, out + err)
    t.match(out, /t3: is on c, .* held for \d+ ms\. 1 of 1\./)
    t.match(out, /b of employee has no tenants, and gets none: `instances open b` lets them in again/)
    t.same(await look('b')`select from pg_database where datname = 'moved_t3_employee'`, [])
    t.equal((await look('b')`select from pg_database where datname ~ '^moved_'`).length, 4, 'the others’ are kept')
    t.match((await command(['doctor'])).out, /marked full +b .*0 tenants are there: `instances open b/)
    t.equal((await command(['drain', 'b', '--yes'])).code, 0, 'one that is empty is drained')
  })

  await t.test('Ctrl-C takes back what is being copied, and the same command goes on', async t => {
    for (const id of IDS) await command(['move', id, '--drop-source', '--yes'])
    t.equal((await command(['instances', 'open', 'b'])).code, 0)
    const before = await at('c')
    const copy = heldCopy(folder)
    const drain = ['drain', 'c', '--to', 'b', '--yes', ...LIMITS]
    const { child, outcome } = begin([...drain, '--programs', copy.programs])
    await until(
      'two are copied',
      async () => (await central`select from transfer_tenants where step = 'copying'`).length === 2,
    )
    child.kill('SIGINT')
    copy.go()
    const interrupted = await outcome
    t.equal(interrupted.code, 1, interrupted.out + interrupted.err)
    t.match(interrupted.out, /interrupted.*The move of t\d was taken back: it is served where it was/s)
    t.match(interrupted.err, /Interrupted: the same command goes on with drain \d{8}-[0-9a-f]{6}/)
    t.same(await at('c'), before)
    t.same(await left(), [])
    t.same(await central`select from tenants where moving is not null`, [])
    const { code, out, err } = await command(drain)
    t.equal(code, 0, out + err)
    t.match(out, /Goes on with drain/)
    t.same(await at('c'), [])
    t.same(await missing(), [])
  })

  await t.test('a rebalance moves few tenants, from where there is more', async t => {
    t.equal((await command(['instances', 'open', 'c'])).code, 0)
    const counts = async () => Promise.all(['main', 'b', 'c'].map(async one => (await at(one)).length))
    const before = await counts()
    const planned = await command(['--json', 'rebalance', '--dry-run', '--tolerance', '20'])
    t.equal(planned.code, 0, planned.out + planned.err)
    const { plan } = JSON.parse(planned.out)
    t.ok(plan.length > 0 && plan.every(({ to }: { to: string }) => to === 'c'), planned.out)
    t.same(await counts(), before)
    const active = await command(['--json', 'rebalance', '--dry-run', '--by', 'activity', '--sample', '2'])
    t.ok(
      JSON.parse(active.out).plan.every(({ activity }: { activity: number }) => activity > 0),
      active.out,
    )
    const { code, out, err } = await command(['rebalance', '--tolerance', '20', '--yes', '--frozen'])
    t.equal(code, 0, out + err)
    t.ok((await at('c')).length > 0)
    t.match((await command(['rebalance', '--tolerance', '20', '--yes'])).out, /No tenant is to be moved/)
  })

  await t.test('with --follow the old copies follow, and each tenant has its way back', async t => {
    for (const id of [...IDS, 't6']) await command(['move', id, '--drop-source', '--yes'])
    const places = await Promise.all(['main', 'b', 'c'].map(async one => ({ one, ids: await at(one) })))
    const [{ one: from, ids }] = places.sort((a, b) => b.ids.length - a.ids.length) as [(typeof places)[0]]
    const to = from === 'c' ? 'b' : 'c'
    t.equal((await command(['instances', 'open', to])).code, 0)
    const others = await at(to)
    const drain = ['drain', from, '--to', to, '--follow', '--yes', ...LIMITS]
    const killed = await command(drain, 'relocated:1')
    t.equal(killed.code, 'SIGKILL', killed.out + killed.err)
    const drained = await command(drain)
    t.equal(drained.code, 0, drained.out + drained.err)
    t.same(await at(from), [])
    const follows = async (): Promise<string[]> => {
      const rows = await central<{ id: string }[]>`
        select tenant_id as id from transfer_tenants where step = 'following' order by tenant_id`
      return rows.map(({ id }) => id)
    }
    t.same(await follows(), ids, 'each of them')
    t.notMatch((await command(['doctor'])).out, /move not ended|left by a move|way back broken/)

    const [first = '', ...rest] = ids
    const back = await command(['move', first, '--back', '--yes'])
    t.equal(back.code, 0, back.out + back.err)
    t.match(await place(first), { instance: from, moving: null }, 'also to an instance that is marked full')
    t.same(await missing(), [], 'with all that was written there')
    const again = await command(drain)
    t.equal(again.code, 0, again.out + again.err)
    t.same(await follows(), ids)

    t.equal((await command(['instances', 'open', from])).code, 0)
    const onward = await command(['--json', 'drain', to, '--to', from, '--dry-run'])
    t.equal(onward.code, 1, onward.out)
    const { plan } = JSON.parse(onward.out)
    for (const { id, inTheWay } of plan) {
      if (ids.includes(id)) t.match(inTheWay, [/has an old copy that follows it since run .*--finish/], id)
      else t.ok(others.includes(id))
    }
    const finished = await command(['move', first, '--finish', '--yes'])
    t.equal(finished.code, 0, finished.out + finished.err)
    t.same(await follows(), rest)
    for (const id of ids) {
      const dropped = await command(['move', id, '--drop-source', '--yes'])
      t.equal(dropped.code, 0, dropped.out + dropped.err)
    }
    t.same(await left(), [])
    t.same(await look(from === 'main' ? 'employee' : from)`select from pg_database where datname ~ '^moved_'`, [])
    t.same(await missing(), [])
  })

  writing = false
  await Promise.all(writers)
  t.same(await missing(), [])
})
