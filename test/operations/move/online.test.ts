// A tenant that moves while two processes write and read it: every accepted write is at the target, no refused one is; the way
// back, the end of it, and a move that meets a doubt.
import t from 'tap'
import { dropMoved, finishMove, goBack, rollBackMove, runThatFollows } from '../../../operations/move/run.js'
import { subscribe } from '../../../plugins/distributed-tenant/diagnostics/channels.js'
import { until } from '../../until.js'
import { ADMINISTRATOR, compareLog, MANY_KINDS, onlineStand, openTransaction, startClients } from './online-stand.js'
import { pauseAfter } from './pause-after.js'

t.test('a move without a freeze', async t => {
  const stand = await onlineStand(t)
  const { app: build, look, instances, central, tenancy, how, acme, place, left, move, plan } = stand
  const options = { instances, maxConnections: 12, maxConnectionsPerTenant: 6, acquireTimeout: 20_000 }
  const apps = [await build('employee', options), await build('employee', options)]
  const [app] = apps as [(typeof apps)[0]]
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await tenancy.pools.withDirectConnection('tenant_acme_employee', async sql => {
    await sql.unsafe(MANY_KINDS)
    await sql`insert into plain (body) select 'old ' || g from generate_series(1, 3000) g`
  })
  const inside = async <T>(at: string, fn: (sql: ReturnType<typeof look>) => Promise<T>): Promise<T> => {
    const sql = look(at, 'tenant_acme_employee')
    return fn(sql).finally(() => sql.end())
  }
  /** Rows of a materialized view. */
  const bodies = (at: string) =>
    inside(at, async sql => (await sql<{ n: number }[]>`select count(*)::int as n from bodies`)[0]?.n)
  const others = async () => {
    const inventory = await tenancy.inspectFleet()
    return [
      inventory.tenants[0]?.findings,
      inventory.strayDatabases,
      inventory.strayRoles,
      ...inventory.otherInstances.map(one => one.strayDatabases),
    ]
  }

  await t.test('loses nothing and refuses nothing', async t => {
    const clients = startClients(t, apps as never)
    await until('they write', () => clients.accepted() > 60)
    const outcome = await move('b')
    const before = clients.accepted()
    await until('they write there', () => clients.accepted() > before + 60)
    await clients.stop()
    t.match(outcome, { state: 'moved', way: 'online', follows: true, from: 'main', to: 'b' })
    t.ok((outcome.frozenMs ?? 0) > 0, `held for ${outcome.frozenMs} ms; the longest write took ${clients.longest()} ms`)
    t.comment(
      `held for ${outcome.frozenMs} ms; the longest write took ${clients.longest()} ms; ${clients.log.length} writes`,
    )
    t.same(await place(), { instance: 'b', moving: null })
    t.same([...clients.codes], [], 'no statement failed')
    t.same(await inside('b', sql => compareLog(sql, clients.log)), { missing: [], revived: [] })
    const [ticket] = await inside('b', async sql => sql<{ last: string }[]>`select nextval('tickets') as last`)
    const tickets = await inside(
      'b',
      async sql => sql<{ body: string }[]>`select body from keyless where body like '% ticket %'`,
    )
    const numbers = tickets.map(({ body }) => Number(body.split(' ticket ')[1]))
    t.equal(new Set(numbers).size, numbers.length, 'no number of the sequence was given twice')
    t.ok(Number(ticket?.last) > Math.max(...numbers))
    const identities = await inside(
      'b',
      async sql =>
        sql`select relname, relreplident as i from pg_class where relname in ('keyless', 'silent', 'by_index') order by 1`,
    )
    t.same(
      identities.map(one => one.i),
      ['i', 'f', 'd'],
      'as long as the old copy follows',
    )
    t.ok(await bodies('b'), 'a materialized view has rows')
    // A service repairs such a finding within a minute, and the copy could never connect again.
    t.same((await others())[0], [], 'the login of the copy that follows is no finding')
    t.match((await plan('main')).obstacles, [{ blocks: true, what: /has an old copy that follows it since run/ }])
  })

  await t.test('goes back, with everything that was written there', async t => {
    const clients = startClients(t, apps as never)
    await until('they write', () => clients.accepted() > 60)
    const outcome = await goBack(tenancy.move, await runThatFollows(tenancy.move, acme), how)
    const before = clients.accepted()
    await until('they write at the old place', () => clients.accepted() > before + 60)
    await clients.stop()
    t.match(outcome, { state: 'back', from: 'main', to: 'b' })
    t.same(await place(), { instance: 'main', moving: null })
    t.same([...clients.codes], [], 'no statement failed')
    t.same(await inside('employee', sql => compareLog(sql, clients.log)), { missing: [], revived: [] })
    t.ok(Number(await bodies('employee')) > 3000, 'a materialized view, made when there were none, has them all')
    t.same(await left(), [])
    t.same(await look('b')`select datname from pg_database where datname ~ 'acme'`, [])
    const identities = await inside(
      'employee',
      async sql =>
        sql`select relname, relreplident as i from pg_class where relname in ('keyless', 'silent', 'by_index') order by 1`,
    )
    t.same(
      identities.map(one => one.i),
      ['d', 'd', 'n'],
      'set back',
    )
    t.same(await inside('employee', async sql => sql`select pubname from pg_publication`), [])
    t.same(await others(), [[], [], [], []])
  })

  await t.test('ends the way back, and drops the old copy', async t => {
    t.match(await move('b'), { state: 'moved', follows: true })
    const run = await runThatFollows(tenancy.move, acme)
    t.match(await finishMove(tenancy.move, run, how), { state: 'finished', follows: false })
    t.same(await left(), [])
    t.match(
      await look('employee')`select datallowconn as open from pg_database where datname = 'moved_acme_employee'`,
      [{ open: false }],
    )
    await t.rejects(goBack(tenancy.move, run, how), { code: 'TRANSFER_REFUSED' })
    await dropMoved(tenancy.move, run, how)
    t.same(await others(), [[], [], [], []])
    t.match(await move('main', { follow: false }), { state: 'moved', follows: false })
    t.same(await left(), [])
    for (const { run } of await central<
      { run: string }[]
    >`select transfer_id as run from transfer_tenants where step = 'switched'`)
      await dropMoved(tenancy.move, run, how)
  })

  await t.test('a target that stops answering within the switch: the tenant goes on at the source', async t => {
    // The switch waits for this transaction, until the process to be stopped is known.
    const transaction = await openTransaction(app)
    let pid = 0
    const silence = subscribe(
      ({ area, event }) => {
        if (area !== 'transfer') return
        if (event.type === 'held') {
          void look('b')<{ pid: number }[]>`
          select pid from pg_stat_activity where datname = 'tenant_acme_employee' and usename = ${ADMINISTRATOR.user}
            and backend_type = 'client backend'`.then(([found]) => {
            pid = found?.pid ?? 0
            void transaction.end()
          })
        }
        if (event.type === 'quiet' && pid > 0) process.kill(pid, 'SIGSTOP')
      },
      tenancy.origin,
      ['transfer'],
    )
    t.teardown(() => {
      silence()
      void transaction.end()
      if (pid > 0) process.kill(pid, 'SIGCONT')
    })
    const moving = move('b', { limits: { transactionMs: 15_000, holdMs: 15_000 } }).then(
      () => null,
      (error: Error) => error,
    )
    await until('the target is stopped', () => pid > 0)
    await transaction.end()
    await until('it writes at the source', () =>
      app.tenants
        .run('acme', async ({ sql }) => void (await sql`insert into plain (body) values ('meanwhile')`))
        .then(
          () => true,
          () => false,
        ),
    )
    t.equal((await place())?.instance, 'main')
    const error = await moving
    t.match(error?.message, /has not answered since/)
    process.kill(pid, 'SIGCONT')
    pid = 0
    const [last] = await central<{ id: string }[]>`select id from transfers order by started_at desc limit 1`
    await rollBackMove(tenancy.move, last?.id ?? '', how)
    t.same(await place(), { instance: 'main', moving: null })
    t.same(await left(), [])
  })

  await t.test('a large object that is made after the plan ends the move, and is kept', async t => {
    // Refused in `request.sql`; a function of the database may make one.
    const journal = pauseAfter(how.journal, 'copied', () =>
      inside('employee', async sql => sql`select lo_from_bytea(7, 'kept')`),
    )
    await t.rejects(move('b', { journal }), {
      code: 'TRANSFER_FAILED',
      message: /1 large objects.*made since the plan\. Copy each/,
    })
    t.same(await place(), { instance: 'main', moving: null })
    t.same(await left(), [])
    const [row] = await inside(
      'employee',
      async sql => sql`select convert_from(lo_get(7), 'UTF8') as body, lo_unlink(7)`,
    )
    t.equal(row?.body, 'kept')
  })

  await t.test('names what it does not carry, before anything is touched', async t => {
    await tenancy.pools.withDirectConnection('tenant_acme_employee', async sql =>
      sql.unsafe(`
      create unlogged table fleeting (id bigint primary key);
      create domain drawn as jsonpath; create type pair as (a int, b json);
      create table odd (j json, js json[], d drawn, p pair, b box, fine jsonb, also text[], v varchar(3), r int4range);
      create trigger always before insert on plain for each row execute function touch();
      alter table plain enable always trigger always`),
    )
    const { online } = await plan('b')
    const blocking = (online ?? [])
      .filter(({ blocks }) => blocks)
      .map(({ what }) => what)
      .join('\n')
    t.match(blocking, /unlogged table public.fleeting/)
    t.match(blocking, /public.odd without a primary key and with columns that cannot be compared \(j, js, d, p, b\)/)
    t.match(blocking, /trigger always of public.plain/)
    t.same(await left(), [])
    await tenancy.pools.withDirectConnection('tenant_acme_employee', async sql =>
      sql.unsafe(
        `drop table fleeting; drop table odd; drop type pair; drop domain drawn; drop trigger always on plain`,
      ),
    )
    t.same(
      (await plan('b')).online?.filter(({ blocks }) => blocks),
      [],
    )
  })
})
