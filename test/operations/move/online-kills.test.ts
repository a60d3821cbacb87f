// Moves without a freeze under faults, while a tenant is written to: SIGKILL of either PostgreSQL in the copy, while it is followed, in
// the switch and behind it; the network between the two cut and held still; a service killed while it is held; suspension and
// deletion. Each ends in an outcome with a name, every acknowledged write is there, and nothing is left.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { isRelocated } from '../../../operations/move/online/state.js'
import { beginMove, carryOutMove, dropMoved, type MoveOutcome, rollBackMove } from '../../../operations/move/run.js'
import { subscribe } from '../../../plugins/distributed-tenant/diagnostics/channels.js'
import { startChild } from '../../child.js'
import { until } from '../../until.js'
import { betweenServers } from './between-servers.js'
import { compareLog, LIMITS, MANY_KINDS, onlineStand, openTransaction, startClients } from './online-stand.js'

const writerProgram = fileURLToPath(new URL('./writer.js', import.meta.url))

interface Fault {
  begin(): Promise<void>
  end(): Promise<void>
}

t.test('faults of a move without a freeze', async t => {
  const stand = await onlineStand(t)
  const { app: build, look, instances, central, servers, tenancy, how, place, left, plan } = stand
  const options = { instances, maxConnections: 12, maxConnectionsPerTenant: 6, acquireTimeout: 20_000 }
  const app = await build('employee', options)
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await tenancy.pools.withDirectConnection('tenant_acme_employee', async sql => {
    await sql.unsafe(MANY_KINDS)
    await sql`insert into plain (body) select 'old ' || g from generate_series(1, 2000) g`
  })
  const server = (at: string) =>
    servers.postgres[at === 'main' ? 'employee' : at] as NonNullable<typeof servers.postgres.b>
  const lookAt = (at: string) => (at === 'main' ? 'employee' : at)

  /** Does `work` at the first such step of a move. */
  const atStep = (step: string, work: () => Promise<unknown>) => {
    let done: Promise<unknown> | null = null
    const silence = subscribe(
      ({ area, event }) => {
        if (area === 'transfer' && event.type === step) done ??= work()
      },
      tenancy.origin,
      ['transfer'],
    )
    t.teardown(silence)
    return {
      async end() {
        silence()
        t.ok(done, `the step ${step} was there`)
        await done
      },
    }
  }
  /** It stays down until the command has ended, and then comes back. */
  const crash = (at: string): Fault => ({ begin: () => server(at).kill(), end: () => server(at).restart() })

  const begin = async (to: string, limits = LIMITS) => {
    const made = await plan(to, false)
    const blocked = [...made.obstacles, ...(made.online ?? [])].filter(({ blocks }) => blocks)
    if (blocked.length > 0) throw new Error(JSON.stringify(blocked))
    return beginMove(how.journal, made, { limits, follow: false })
  }

  /** As an operator would by the last line of the command. */
  async function afterwards(run: string): Promise<MoveOutcome | null> {
    const [row] = await how.journal.tenants(run)
    const { state } = await how.journal.find(run)
    if (state === 'rolled_back') return null
    if (row && isRelocated(row)) return carryOutMove(tenancy.move, run, how)
    await rollBackMove(tenancy.move, run, how)
    return null
  }

  /** One move with a fault; the error of the command, and that nothing is lost or left. */
  async function withFault(to: string, step: string, fault: Fault, ends: 'moved' | 'stays') {
    const from = (await place())?.instance ?? ''
    const clients = startClients(t, [app])
    await until('they write', () => clients.accepted() > 30)
    const run = await begin(to)
    const watch = atStep(step, fault.begin)
    const error = await carryOutMove(tenancy.move, run, how).then(
      () => null,
      (failed: Error) => failed,
    )
    await watch.end()
    await fault.end()
    // A server that has just been started may refuse for a moment.
    const outcome = await until('its end', () =>
      afterwards(run).then(
        one => ({ one }),
        () => null,
      ),
    )
    t.equal(outcome.one?.state ?? 'stays', ends, `${step}: ${error?.message}`)
    const where = ends === 'moved' ? to : from
    t.same(await place(), { instance: where, moving: null }, step)
    const before = clients.accepted()
    await until('they write again', () => clients.accepted() > before + 30)
    await clients.stop()
    const inside = look(lookAt(where), 'tenant_acme_employee')
    t.same(await compareLog(inside, clients.log), { missing: [], revived: [] }, step)
    await inside.end()
    t.same(await left(), [], step)
    return error
  }

  async function dropOld(): Promise<void> {
    for (const { run } of await central<{ run: string }[]>`
      select transfer_id as run from transfer_tenants where step = 'switched'`)
      await dropMoved(tenancy.move, run, how)
  }

  for (const step of ['copying', 'caught_up', 'held', 'quiet']) {
    await t.test(`the target is killed: ${step}`, async t => {
      const error = await withFault('b', step, crash('b'), 'stays')
      t.ok(error, 'it says so')
    })
  }

  for (const step of ['copying', 'caught_up', 'held', 'marker_applied']) {
    await t.test(`the source, which has the registry, is killed: ${step}`, async t => {
      const error = await withFault('b', step, crash('main'), 'stays')
      t.ok(error, 'it says so')
    })
  }

  await t.test('the target is killed when the switch is committed', async t => {
    await withFault('b', 'relocated', crash('b'), 'moved')
    await dropOld()
    t.same((await place())?.instance, 'b')
  })

  await t.test('a source without the registry is killed in the switch', async () => {
    await withFault('main', 'held', crash('b'), 'stays')
  })

  await t.test('a service that is killed while it is held loses nothing it has acknowledged', async t => {
    const config = { instances, database: stand.database('employee') }
    const child = startChild(t, [writerProgram], { ...process.env, WRITER: JSON.stringify(config) })
    await child.waitFor(/accepted 20\n/)
    const run = await begin('main')
    const watch = atStep('held', () => child.stop('SIGKILL'))
    t.match(await carryOutMove(tenancy.move, run, how), { state: 'moved', to: 'main' })
    await watch.end()
    const { out } = await child.ended
    const acknowledged = [...out.matchAll(/^accepted (\d+)$/gm)].map(([, n]) => `child ${n}`)
    const inside = look('employee', 'tenant_acme_employee')
    const rows = await inside<{ body: string }[]>`select body from plain where body like 'child %'`
    await inside.end()
    const there = new Set(rows.map(({ body }) => body))
    t.ok(acknowledged.length >= 20)
    t.same(
      acknowledged.filter(body => !there.has(body)),
      [],
    )
    t.same(await left(), [])
    await dropOld()
  })

  await t.test('the network between the servers', async t => {
    const proxy = await betweenServers(t, stand.database('employee'))
    const proxied = await stand.proxied(proxy.port)
    t.teardown(() => proxied.admin.close())
    const throughProxy = async (to: string, more: { holdMs?: number } = {}) => {
      const made = await proxied.plan(to)
      const limits = { ...LIMITS, ...more }
      return beginMove(proxied.how.journal, made, { limits, follow: false })
    }
    for (const [step, fault] of [
      ['following_up', proxy.cut],
      ['held', proxy.cut],
      ['held', proxy.freeze],
    ] as const) {
      const clients = startClients(t, [app])
      await until('they write', () => clients.accepted() > 30)
      const run = await throughProxy('b', step === 'held' ? { holdMs: 2_000 } : {})
      let faults = 0
      const silence = subscribe(
        ({ area, event }) => {
          if (area === 'transfer' && event.type === step && faults++ === 0) fault()
        },
        proxied.tenancy.origin,
        ['transfer'],
      )
      const moving = carryOutMove(proxied.tenancy.move, run, proxied.how)
      await until('the fault', () => faults > 0)
      const before = clients.accepted()
      // In the switch the hold ends first.
      await until('the tenant is written to at the source', () => clients.accepted() > before + 30)
      t.equal((await place())?.instance, 'main')
      t.ok(proxy.seen() > 0, 'the target has its connection to the source by it')
      proxy.heal()
      t.match(await moving, { state: 'moved', to: 'b' }, `${step}: it goes on once the network is there`)
      silence()
      await clients.stop()
      const inside = look('b', 'tenant_acme_employee')
      t.same(await compareLog(inside, clients.log), { missing: [], revived: [] }, step)
      await inside.end()
      t.same(await left(), [])
      await dropOld()
      t.match(await stand.move('main', { follow: false }), { state: 'moved' })
      await dropOld()
    }
  })

  await t.test('suspended while it is copied, and in the switch: it is moved, and suspended', async t => {
    for (const [to, step] of [
      ['b', 'copied'],
      ['main', 'held'],
    ] as const) {
      const run = await begin(to)
      const watch = atStep(step, () => app.tenants.suspend('acme'))
      t.match(await carryOutMove(tenancy.move, run, how), { state: 'moved', to })
      await watch.end()
      t.match(await central`select lifecycle, moving, instance from tenants where id = 'acme'`, [
        { lifecycle: 'suspended', moving: null, instance: to },
      ])
      await app.tenants.activate('acme')
      await app.tenants.run('acme', ({ sql }) => sql`insert into plain (body) values ('active again')`)
      t.same(await left(), [])
      await dropOld()
    }
  })

  await t.test('deleted while it is copied, and in the switch: the move is taken back', async t => {
    for (const step of ['copied', 'held']) {
      // The switch waits for this transaction, so the deletion is there before it.
      const transaction = await openTransaction(app)
      const run = await begin('b', { ...LIMITS, transactionMs: 15_000 })
      const watch = atStep(step, () => app.tenants.remove('acme').finally(() => transaction.end()))
      await t.rejects(carryOutMove(tenancy.move, run, how), { message: /taken back: it is served where it was/ }, step)
      await watch.end()
      t.match(await central`select lifecycle, moving, instance from tenants where id = 'acme'`, [
        { lifecycle: 'deleted', moving: null, instance: 'main' },
      ])
      t.same(await left(), [])
      t.same(await look('b')`select datname from pg_database where datname ~ 'acme'`, [])
      await central`update tenants set lifecycle = 'active' where id = 'acme'`
    }
    await app.tenants.remove('acme')
    await tenancy.transfer.removeNow(stand.acme)
    for (const at of ['employee', 'b']) {
      t.same(await look(at)`select datname from pg_database where datname ~ 'acme'`, [], `purged at ${at}`)
    }
  })
})
