// Moves without a freeze beside transactions that stay open, that lock what the move wants, and beside an administrator who drops its
// slot: what was acknowledged is there, what was ended is nowhere, and nothing is left.
import t from 'tap'
import type { SwitchLimits } from '../../../operations/move/online/link.js'
import { beginMove, carryOutMove, dropMoved } from '../../../operations/move/run.js'
import { subscribe } from '../../../plugins/distributed-tenant/diagnostics/channels.js'
import { codeOf } from '../../plugins/distributed-tenant/placement/several.js'
import { until } from '../../until.js'
import { compareLog, LIMITS, MANY_KINDS, onlineStand, startClients } from './online-stand.js'

t.test('a move without a freeze, beside others', async t => {
  const stand = await onlineStand(t)
  const { app: build, look, instances, tenancy, how, place, left, move, plan } = stand
  const options = { instances, maxConnections: 12, maxConnectionsPerTenant: 6, acquireTimeout: 20_000 }
  const app = await build('employee', options)
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await tenancy.pools.withDirectConnection('tenant_acme_employee', async sql => {
    await sql.unsafe(MANY_KINDS)
    await sql`insert into plain (body) select 'old ' || g from generate_series(1, 200) g`
  })
  const gate = () => {
    let open = (): void => {}
    const opened = new Promise<void>(resolve => {
      open = resolve
    })
    t.teardown(open)
    return { open, opened }
  }
  const bodies = async (at: string, body: string): Promise<number> => {
    const inside = look(at, 'tenant_acme_employee')
    const rows = await inside`select from plain where body = ${body}`
    await inside.end()
    return rows.length
  }
  /** A transaction of the tenant that has written a row, and stays open. */
  const begin = async (body: string) => {
    const { open, opened } = gate()
    let written = false
    const ended = codeOf(
      app.tenants.run('acme', ({ sql }) =>
        sql.begin(async tx => {
          await tx`insert into plain (body) values (${body})`
          written = true
          await opened
          await tx`select 1`
        }),
      ),
    )
    await until('it has written', () => written)
    return { open, ended }
  }
  async function dropOld(): Promise<void> {
    for (const { run } of await stand.central<{ run: string }[]>`
      select transfer_id as run from transfer_tenants where step = 'switched'`)
      await dropMoved(tenancy.move, run, how)
  }
  const onMove = (react: (event: { type: string; waitsFor?: string | null }) => void): (() => void) => {
    const silence = subscribe(
      ({ area, event }) => {
        if (area === 'transfer') react(event)
      },
      tenancy.origin,
      ['transfer'],
    )
    t.teardown(silence)
    return silence
  }

  /** A move during which such a transaction is begun, before the copy: the slots themselves wait for all that are open. */
  async function moveBeside(to: string, body: string, limits: Partial<SwitchLimits>) {
    const made = await plan(to, false)
    const run = await beginMove(how.journal, made, { limits: { ...LIMITS, ...limits }, follow: false })
    let begun: Awaited<ReturnType<typeof begin>> | undefined
    const programs: typeof how.programs = {
      ...how.programs,
      suiting: async () => programs,
      async pipe(...args) {
        begun ??= await begin(body)
        await how.programs.pipe(...args)
      },
    }
    const running = carryOutMove(tenancy.move, run, { ...how, programs })
    const failed = running.then(
      () => '',
      (error: Error) => error.message,
    )
    return { run, running, failed, transaction: async () => until('it is begun', () => begun) }
  }

  await t.test('a long transaction is waited for, and what it wrote is there', async t => {
    const waited: string[] = []
    let waits = (): void => {}
    const silence = onMove(({ type, waitsFor }) => {
      if (type !== 'progress' || !waitsFor?.startsWith('a transaction that has run')) return
      waited.push(waitsFor)
      waits()
    })
    // It is older than the limit by then.
    const beside = await moveBeside('b', 'patient', { transactionMs: 10, quietMs: 120_000 })
    const { open, ended } = await beside.transaction()
    waits = open
    await until('the switch says what it waits for', () => waited.length > 0)
    open()
    t.match(await beside.running, { state: 'moved', to: 'b' })
    silence()
    t.equal(await ended, null, 'it was committed')
    t.equal(await bodies('b', 'patient'), 1)
  })

  await t.test('one that is longer than the switch waits is ended, and nothing of it is anywhere', async t => {
    await dropOld()
    const beside = await moveBeside('main', 'endless', { transactionMs: 10, quietMs: 0 })
    const { open, ended } = await beside.transaction()
    t.match(await beside.running, { state: 'moved' })
    open()
    t.ok(await ended, 'its client gets an error')
    t.equal(await bodies('employee', 'endless'), 0)
    t.equal(await bodies('employee', 'patient'), 1)
    await dropOld()
  })

  await t.test('a deadlock with the publication, and deadlocks of the clients: it is moved all the same', async t => {
    const clients = startClients(t, [app])
    await until('they write', () => clients.accepted() > 30)
    // The publication takes a lock on each table in turn. Another session has one that it wants, and wants all that it may have by then.
    const inside = look('employee', 'tenant_acme_employee')
    const { open: unlock, opened: unlocked } = gate()
    let locked = false
    let tries = 0
    const other = codeOf(
      inside.begin(async tx => {
        await tx`set local deadlock_timeout = '20s'`
        await tx`lock table parted_2 in share row exclusive mode`
        locked = true
        await unlocked
        await tx`lock table "Two Keys", child, notes, parted_1, plain in share update exclusive mode`
      }),
    )
    await until('it is locked', () => locked)
    const running = move('b', { follow: false })
    await until('the publication waits', async () => {
      const [row] = await look('employee')<{ waits: number }[]>`
        select count(*)::int as waits from pg_stat_activity where datname = 'tenant_acme_employee' and wait_event_type = 'Lock'
          and query ~ '^create publication'`
      return (row?.waits ?? 0) > 0
    })
    unlock()
    // Meanwhile two clients of the tenant wait for each other's row.
    const cross = (a: string, b: string) =>
      codeOf(
        app.tenants.run('acme', ({ sql }) =>
          sql.begin(async tx => {
            await tx`update plain set n = n + 1 where body = ${a}`
            tries++
            await until('both have one', () => tries >= 2)
            await tx`update plain set n = n + 1 where body = ${b}`
          }),
        ),
      )
    const codes = await Promise.all([cross('old 11', 'old 12'), cross('old 12', 'old 11')])
    t.same(codes.filter(code => code !== null).length, 1, `one of two gives way: ${codes}`)
    t.match(await running, { state: 'moved', to: 'b' })
    await other
    await inside.end()
    await clients.stop()
    const there = look('b', 'tenant_acme_employee')
    t.same(await compareLog(there, clients.log), { missing: [], revived: [] })
    await there.end()
    t.same(await left(), [])
    await dropOld()
  })

  await t.test('a slot that is dropped while the target follows: the move is taken back', async t => {
    // The switch waits for this transaction, which is older than the limit, so the target follows until the slot is gone.
    const { run, failed, transaction } = await moveBeside('main', 'beside a lost slot', {
      quietMs: 600_000,
      transactionMs: 1,
    })
    const { open, ended } = await transaction()
    await until('it follows', async () => {
      const [row] = await how.journal.tenants(run)
      return row?.step === 'following_up' || row?.step === 'closing'
    })
    const slot = `fdt_move_${run.replace('-', '_')}`
    const b = look('b')
    await until('its slot is dropped', async () => {
      await b`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = ${slot}`
      return b`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${slot}`.then(
        ({ length }) => length > 0,
        () => false,
      )
    })
    const why = await failed
    open()
    t.equal(await ended, null)
    t.match(why, new RegExp(`The replication slot ${slot} is gone, and with it changes.*taken back`))
    t.same(await place(), { instance: 'b', moving: null })
    t.equal(await bodies('b', 'beside a lost slot'), 1)
    t.same(await left(), [])
  })
})
