// A tenant from one instance to another while two replicas read and write it, one of them without notifications:
// reads are served, writes are refused by name or present afterwards, never lost. A switch that must not happen is
// undone.
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { APPLICATION } from '../../../operations/copying/external-instance.js'
import { createJournal } from '../../../operations/copying/journal.js'
import { createPrograms } from '../../../operations/copying/pg-programs.js'
import { type MovePlanOptions, planMove } from '../../../operations/move/plan.js'
import { beginMove, carryOutMove, dropMoved } from '../../../operations/move/run.js'
import { parseTenantId } from '../../../plugins/distributed-tenant/names.js'
import { severalInstances } from '../../plugins/distributed-tenant/placement/several.js'
import { until } from '../../until.js'
import { pauseAfter } from './pause-after.js'

const headers = { 'HRMS-Client-ID': 'acme' }

function routes(app: FastifyInstance): void {
  app.post<{ Body: { body: string } }>('/notes', async request => {
    await request.sql`insert into notes (body) values (${request.body.body})`
    return { done: true }
  })
  app.get('/notes', async request => {
    const [row] = await request.sql<{ count: number }[]>`select count(*)::int as count from notes`
    return row
  })
}

t.test('move', async t => {
  const { app: build, tenancy: parts, look, instances } = await severalInstances(t)
  // A request during the switch waits as long as the switch takes on a busy machine.
  const options = { instances, maxConnections: 10, maxConnectionsPerTenant: 4, acquireTimeout: 20_000 }
  const replica = await build('employee', options, routes)
  const deaf = await build('employee', options, routes)
  const tenancy = await parts('employee', { instances })
  const central = look('employee', 'employee_central')
  await replica.tenants.create({ id: 'acme', name: 'Acme' })
  const journal = createJournal(tenancy.move.central)
  const how = { journal, programs: createPrograms({ environment: process.env }), folder: tmpdir(), jobs: 2 }
  const acme = parseTenantId('acme')
  const move = async (to: string, journalOf = () => journal) => {
    const id = acme
    const plan = await planMove(tenancy.move, { ...how, id, to, room: 2 ** 40 })
    t.same(
      plan.obstacles.filter(({ blocks }) => blocks),
      [],
    )
    return carryOutMove(tenancy.move, await beginMove(journal, plan), { ...how, journal: journalOf() })
  }
  /** The databases that moves have left. */
  const dropLeft = async () => {
    const runs = await central<{ run: string }[]>`
      select transfer_id as run from transfer_tenants where step = 'switched'`
    const outcomes = []
    for (const { run } of runs) outcomes.push(await dropMoved(tenancy.move, run, how))
    return outcomes
  }
  const write = (app: FastifyInstance, body: string) =>
    app.inject({ method: 'POST', url: '/notes', headers, payload: { body } })
  const place = async () =>
    (
      await central<{ instance: string; moving: string | null }[]>`
    select instance, moving from tenants where id = 'acme'`
    )[0]

  await t.test('loses nothing, refuses writers by name, serves readers, restarts nothing', async t => {
    await replica.tenants.run(
      'acme',
      ({ sql }) => sql`insert into notes (body) select 'old ' || g from generate_series(1, 5000) g`,
    )
    t.equal((await deaf.inject({ url: '/notes', headers })).statusCode, 200)
    await (deaf.notifications as unknown as { close(): Promise<void> }).close()

    let going = true
    const accepted: string[] = []
    const refused = new Map<string, number>()
    const retryAfter = new Set<unknown>()
    const writer = async (app: FastifyInstance, name: string): Promise<void> => {
      for (let n = 0; going; n++) {
        const body = `${name} ${n}`
        const response = await write(app, body)
        if (response.statusCode === 200) accepted.push(body)
        else {
          const { code } = response.json()
          refused.set(code, (refused.get(code) ?? 0) + 1)
          if (code === 'TENANT_MOVING') retryAfter.add(response.headers['retry-after'])
        }
        await sleep(10)
      }
    }
    const read: Record<string, Record<number, number>> = { notified: {}, deaf: {} }
    const reader = async (app: FastifyInstance, name: string): Promise<void> => {
      while (going) {
        const { statusCode } = await app.inject({ url: '/notes', headers })
        const counts = read[name] as Record<number, number>
        counts[statusCode] = (counts[statusCode] ?? 0) + 1
        await sleep(5)
      }
    }
    const work = [writer(replica, 'a'), writer(deaf, 'b'), reader(replica, 'notified'), reader(deaf, 'deaf')]
    const wrote = (name: string) => accepted.filter(body => body.startsWith(name)).length
    await until('both write', () => wrote('a') > 20 && wrote('b') > 20)
    // It stays frozen until writers have been refused.
    const outcome = await move('b', () =>
      pauseAfter(journal, 'frozen', () => until('they are refused', () => (refused.get('TENANT_MOVING') ?? 0) > 5)),
    )
    const before = [wrote('a'), wrote('b')] as const
    await until('both write there', () => wrote('a') > before[0] + 5 && wrote('b') > before[1] + 5)
    going = false
    await Promise.all(work)

    t.match(outcome, { state: 'moved', from: 'main', to: 'b' })
    t.ok((outcome.frozenMs ?? 0) > 0, `writers were refused for ${outcome.frozenMs} ms`)
    t.same(await place(), { instance: 'b', moving: null })
    const inside = look('b', 'tenant_acme_employee')
    const there = new Set((await inside<{ body: string }[]>`select body from notes`).map(({ body }) => body))
    await inside.end()
    t.same(
      accepted.filter(body => !there.has(body)),
      [],
      'nothing that was answered with 200 is missing',
    )
    t.ok(accepted.length > 40 && (refused.get('TENANT_MOVING') ?? 0) > 5, JSON.stringify([...refused]))
    t.same([...retryAfter], ['5'])
    // A request whose connection was cut gets an error: a statement of the replica without notifications may run
    // during the switch.
    const known = new Set(['TENANT_MOVING', 'TENANT_DATABASE_UNAVAILABLE', 'TENANT_COMMIT_UNKNOWN'])
    t.same(
      [...refused.keys()].filter(code => !known.has(code)),
      [],
    )
    t.same(Object.keys(read.notified ?? {}), ['200'], JSON.stringify(read))
    t.same(
      Object.keys(read.deaf ?? {}).filter(status => status !== '200' && status !== '503'),
      [],
      JSON.stringify(read),
    )
    for (const app of [replica, deaf]) t.equal((await write(app, `after ${app === deaf}`)).statusCode, 200)
    t.match(replica.tenants.connectionInfo().instances, { main: { open: 0 } })
    const inventory = await tenancy.inspectFleet()
    t.same([inventory.tenants[0]?.findings, inventory.strayDatabases, inventory.strayRoles], [[], [], []])
  })

  await t.test('keeps the database it came from, closed, until it is dropped', async t => {
    const server = look('employee')
    const kept = () => server`select datallowconn as open from pg_database where datname = 'moved_acme_employee'`
    t.match(await kept(), [{ open: false }])
    t.same(await server`select 1 from pg_database where datname = 'tenant_acme_employee'`, [])
    t.match(await dropLeft(), [{ state: 'source_dropped' }])
    t.same(await kept(), [])
    t.same(await server`select 1 from pg_roles where rolname = 'tenant_acme_employee'`, [])
  })

  await t.test('copies the rights of its tables, and gives the role none of its own', async t => {
    await tenancy.pools.withDirectConnection(
      'tenant_acme_employee',
      sql => sql`revoke delete on notes from employee_tenant`,
    )
    await move('main')
    const inside = look('employee', 'tenant_acme_employee')
    const [row] = await inside<
      { rights: string }[]
    >`select relacl::text as rights from pg_class where relname = 'notes'`
    t.match(row?.rights, /employee_tenant=arw\//)
    t.notMatch(row?.rights, /tenant_acme_employee/)
    await inside.end()
    t.equal((await write(replica, 'back home')).statusCode, 200)
  })

  await t.test('is undone when a role writes despite the withdrawn rights', async t => {
    await tenancy.pools.withDirectConnection('tenant_acme_employee', async sql => {
      await sql.unsafe(`create function sneak() returns void language sql security definer set search_path = public
        as $$ insert into notes (body) values ('sneaked') $$`)
    })
    const sneaking = () =>
      pauseAfter(journal, 'verified', () =>
        replica.tenants.run('acme', ({ sql }) =>
          sql.begin(async tx => {
            await tx.unsafe('set transaction read write')
            await tx`select sneak()`
          }),
        ),
      )
    // The database of an earlier move at b has another name, and blocks nothing there.
    const blocked = await planMove(tenancy.move, { ...how, id: acme, to: 'b', room: 2 ** 40 })
    t.same(
      blocked.obstacles.filter(({ blocks }) => blocks),
      [],
    )
    await t.rejects(move('b', sneaking), {
      code: 'TRANSFER_FAILED',
      message: /past the rights of its role.*taken back/,
    })
    t.same(await place(), { instance: 'main', moving: null })
    t.equal((await write(replica, 'after the refusal')).statusCode, 200)
    const [row] = await replica.tenants.run(
      'acme',
      ({ sql }) => sql<{ n: number }[]>`
      select count(*)::int as n from notes where body in ('sneaked', 'after the refusal')`,
    )
    t.equal(row?.n, 2)
    t.same(await look('b')`select 1 from pg_database where datname = 'tenant_acme_employee'`, [])
    t.same((await tenancy.inspectFleet()).tenants[0]?.findings, [])
  })

  await t.test('is undone when a large object is made, which needs no right on a table', async t => {
    const making = () =>
      pauseAfter(journal, 'verified', async () => {
        // Refused in `request.sql`; a function of the database may make one.
        const sql = look('employee', 'tenant_acme_employee')
        await sql.unsafe(`begin; set transaction read write; select lo_from_bytea(7, 'kept'); commit`)
        await sql.end()
      })
    await t.rejects(move('b', making), { code: 'TRANSFER_FAILED', message: /large objects.*made since the plan/ })
    t.same(await place(), { instance: 'main', moving: null })
    const at = look('employee', 'tenant_acme_employee')
    const [row] = await at`select convert_from(lo_get(7), 'UTF8') as body, lo_unlink(7)`
    await at.end()
    t.equal(row?.body, 'kept')
  })

  await t.test('a replica that missed the notification of the switch looks again by itself', async t => {
    await dropLeft()
    await central`alter table tenants disable trigger tenants_changed`
    const read = () => replica.inject({ url: '/notes', headers })
    let seen: Awaited<ReturnType<typeof read>> | undefined
    await move('b', () =>
      pauseAfter(journal, 'copied', async () => {
        seen = await read()
      }),
    )
    await central`alter table tenants enable trigger tenants_changed`
    t.equal(seen?.statusCode, 200, 'it remembers the old place since the freeze')
    t.equal((await read()).statusCode, 200)
    t.equal((await write(replica, 'after a lost notification')).statusCode, 200)
    t.match(replica.tenants.connectionInfo().instances, { main: { open: 0 }, b: { open: 1 } })
    await dropLeft()
    await move('main')
  })

  await t.test('is refused for every obstacle, and changes nothing', async t => {
    const plan = (changed: Partial<MovePlanOptions> = {}) =>
      planMove(tenancy.move, { ...how, id: acme, to: 'b', room: 2 ** 40, ...changed })
    await t.rejects(plan({ id: parseTenantId('unknown') }), { code: 'TRANSFER_REFUSED' })
    await t.rejects(plan({ to: 'c' }), { message: /no instance c: it has main, b/ })
    await t.rejects(plan({ to: 'main' }), { message: /on the instance main already/ })
    t.match((await plan({ room: 2 ** 20 })).obstacles, [
      { about: 'b', what: /has 1.0 MB free \(--room\), and 1\d.\d MB come, .* another instance/, blocks: true },
    ])
    // Otherwise the next plan would count its reset as another transaction.
    const sessions = await look('employee')`
      select state from pg_stat_activity where datname = 'tenant_acme_employee' and application_name = ${APPLICATION}`
    t.same(sessions, [], 'a plan leaves no session behind')
    t.match((await plan({ room: undefined })).obstacles, [
      { about: 'b', what: /does not report how much room .* --room <size>/, blocks: false },
    ])
    await look('b').unsafe('create database tenant_acme_employee')
    const { obstacles } = await plan()
    t.match(obstacles, [{ about: 'tenant_acme_employee', what: 'exists on b already', blocks: true }])
    await look('b').unsafe('drop database tenant_acme_employee')
    const none = createPrograms({ folder: '/nowhere', environment: process.env })
    t.match((await plan({ programs: none })).obstacles, [{ about: 'pg_dump', what: /install PostgreSQL/ }])
    t.same(await place(), { instance: 'main', moving: null })
  })

  await t.test('a purged tenant loses the databases that its moves left too', async t => {
    await move('b')
    await central`update tenants set lifecycle = 'deleted', purge_after = now() - interval '1 day' where id = 'acme'`
    await tenancy.transfer.removeNow(acme)
    for (const service of ['employee', 'b']) {
      const left = await look(service)`
        select datname from pg_database where datname ~ 'acme' union all select rolname from pg_roles where rolname ~ 'acme'`
      t.same(left, [], service)
    }
  })
})
