// In a process of its own: it sets the clock.
import { type AddressInfo, connect } from 'node:net'
import { mock } from 'node:test'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { verify } from '../../../operations/audit/verify-log.js'
import audit, { type AuditOptions, isGenuine, type Seal, sign } from '../../../plugins/audit/index.js'
import { createChain } from '../../../plugins/audit/rows.js'
import { dropExpired, ensurePartitions, monthOf, sealMonths, writeRows } from '../../../plugins/audit/store.js'
import { fromClaim, fromHeader, separateTypes } from '../../../plugins/distributed-tenant/index.js'
import metrics from '../../../plugins/metrics/index.js'
import { rig } from '../../rig.js'
import { until } from '../../until.js'
import { scrape, value } from '../metrics/scrape.js'

t.test('the audit log', async t => {
  const { app: build, look, servers } = await rig(t, ['employee'])
  const withAudit =
    (options: AuditOptions = {}) =>
    (app: FastifyInstance) => {
      app.register(audit, options)
      app.get('/read', { config: { tenant: 'required' } }, async request => request.sql`select 1 as one`)
      app.get('/idle', { config: { tenant: 'required' } }, async request => request.tenant.id)
      app.get('/administered', { config: { tenant: false, audit: 'admin' } }, async () => 'done')
    }
  const app = await build('employee', {}, withAudit({ actor: () => 'ada' }))
  const central = look('employee', 'employee_central')
  const count = async (kind: string) =>
    Number((await central`select count(*) from audit_log where kind = ${kind}`)[0]?.count)
  const written = (app: FastifyInstance) => until('written', () => app.audit.status().waiting === 0)
  /** As the owner of the database could. */
  const tamper = async (change: () => Promise<unknown>) => {
    await central`alter table audit_log disable trigger all`
    await change()
    await central`alter table audit_log enable trigger all`
  }

  await t.test('keeps a row of every change of a tenant, by any route', async t => {
    await app.tenants.create({ id: 'acme', name: 'Acme' })
    await central`update tenants set lifecycle = 'suspended' where id = 'acme'`
    await app.tenants.activate('acme')
    await until('in the log', async () => (await central`select 1 from audit_inbox`).length === 0)
    const rows = await central`
      select actor, detail->>'lifecycle' as lifecycle, detail->>'provisioned' as provisioned
      from audit_log where kind = 'tenant' and tenant_id = 'acme' order by seq`
    t.same(
      rows.map(({ actor, lifecycle, provisioned }) => [actor, lifecycle, provisioned]),
      [
        ['employee_service', 'active', 'pending'],
        ['employee_service', 'active', 'ready'],
        ['postgres', 'suspended', 'ready'],
        ['employee_service', 'active', 'ready'],
      ],
    )
  })

  await t.test('keeps a row of every request that had a connection, and of every refused one', async t => {
    const as = (tenant: string, url: string) => app.inject({ url, headers: { 'hrms-client-id': tenant } })
    await central`insert into tenants (id, name, lifecycle) values ('halted', 'Halted', 'suspended')`
    t.equal((await as('acme', '/read')).statusCode, 200)
    t.equal((await as('acme', '/idle')).statusCode, 200)
    t.equal((await as('unknown', '/read')).statusCode, 404)
    t.equal((await as('halted', '/read')).statusCode, 403)
    t.equal((await as('NOT AN ID', '/read')).statusCode, 400)
    await app.tenants.run('acme', ({ sql }) => sql`select 1`)
    await written(app)
    const rows = await central`
      select kind, result, tenant_id, actor, request_id is not null as requested, detail->>'leases' as leases
      from audit_log where kind in ('access', 'refused') order by seq`
    t.same(
      rows.map(({ kind, result, tenant_id, actor, requested, leases }) => [
        kind,
        result,
        tenant_id,
        actor,
        requested,
        leases,
      ]),
      [
        ['access', 'ok', 'acme', 'ada', true, '1'],
        ['refused', 'TENANT_NOT_FOUND', 'unknown', 'ada', true, null],
        ['refused', 'TENANT_SUSPENDED', 'halted', 'ada', true, null],
        ['refused', 'TENANT_ID_INVALID', null, 'ada', true, null],
        ['access', 'ok', 'acme', null, false, '1'],
      ],
    )
  })

  await t.test('keeps a row of every call of an administered route', async t => {
    const before = await count('admin')
    t.equal((await app.inject('/administered')).statusCode, 200)
    await written(app)
    t.equal((await count('admin')) - before, 1)
    const [row] = await central`select * from audit_log where kind = 'admin' order by at desc limit 1`
    t.match(row, { actor: 'ada', result: 'ok', request_id: /./, detail: { method: 'GET', route: '/administered' } })
  })

  await t.test('keeps a row of an administered call whose client leaves before its answer', async t => {
    let go = (): void => {}
    const gate = new Promise<void>(resolve => {
      go = resolve
    })
    let inside = 0
    const slow = await build('employee', {}, app => {
      withAudit({ actor: () => 'ada' })(app)
      app.post('/slow', { config: { tenant: false, audit: 'admin' } }, async () => {
        inside++
        await gate
        return 'done'
      })
    })
    await slow.listen({ port: 0, host: '127.0.0.1' })
    const { port } = slow.server.address() as AddressInfo
    const body = '{"a":1}'
    const head = `POST /slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
    const before = await count('admin')
    // One alone, and three in a pipeline: two of them have no socket yet when it closes.
    for (const requests of [1, 3]) {
      const wanted = inside + requests
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {}).write(`${head}${body}`.repeat(requests))
      await until('the calls are under way', () => inside === wanted)
      socket.destroy()
    }
    await until('all have a row', async () => (await count('admin')) - before === 4)
    go()
    const [row] = await central`select * from audit_log where kind = 'admin' order by at desc limit 1`
    t.match(row, { actor: 'ada', result: 'UNANSWERED', detail: { method: 'POST', route: '/slow', status: null } })
    await slow.close()
    t.equal((await count('admin')) - before, 4, 'each once')
  })

  await t.test(
    'names the actor and the tenant of a refused attempt, and no actor for an unauthenticated call',
    async t => {
      const crossed = await build(
        'employee',
        { identifyBy: [fromHeader('HRMS-Client-ID'), fromClaim()] },
        app => {
          withAudit({ actor: ({ user }) => (user as { sub?: string } | undefined)?.sub ?? 'admin' })(app)
          app.get('/closed', { config: { tenant: false, audit: 'admin' } }, async (_request, reply) =>
            reply.code(401).send(),
          )
        },
        async app => {
          app.decorateRequest('user', null)
          app.addHook('onRequest', async request => {
            request.user = { sub: 'eve', tenant: 'acme' } as never
          })
        },
      )
      const answer = await crossed.inject({ url: '/read', headers: { 'hrms-client-id': 'globex' } })
      t.match(answer.json(), { statusCode: 403, code: 'TENANT_FORBIDDEN' })
      t.equal((await crossed.inject('/closed')).statusCode, 401)
      await written(crossed)
      const rows = await central`
      select kind, result, tenant_id, actor, detail->>'holds' as holds from audit_log
      where result in ('TENANT_FORBIDDEN', '401') order by seq`
      t.same(
        [...rows],
        [
          { kind: 'refused', result: 'TENANT_FORBIDDEN', tenant_id: 'globex', actor: 'eve', holds: 'acme' },
          { kind: 'admin', result: '401', tenant_id: null, actor: null, holds: null },
        ],
      )
      await crossed.close()
    },
  )

  await t.test('a flood of anonymous requests is a few rows, with their count', async t => {
    const flooded = await build('employee', {}, app => {
      withAudit({ actor: ({ headers }) => (headers['x-known'] as string) ?? null })(app)
      app.get('/sign-in', { config: { tenant: 'required', token: false } }, async ({ sql }) => sql`select 1 as one`)
      app.get('/closed', { config: { tenant: false, audit: 'admin' } }, async (_request, reply) =>
        reply.code(429).send(),
      )
    })
    const from = (remoteAddress: string, url: string, tenant: string, known?: string) =>
      flooded.inject({ url, remoteAddress, headers: { 'hrms-client-id': tenant, ...(known && { 'x-known': known }) } })
    const [start] = (await central`select count(*)::int as n from audit_log`) as [{ n: number }]
    for (let n = 0; n < 40; n++) {
      await from('192.0.2.1', '/read', `flood-${n}`)
      await from(`2001:db8::${n + 1}`, '/read', 'flood')
      await from('192.0.2.1', '/closed', '')
      await from('192.0.2.1', '/sign-in', 'acme')
      flooded.audit.record({ kind: 'refused', result: 'LOGIN_FAILED', tenantId: 'acme', detail: { address: '::1' } })
    }
    for (let n = 0; n < 3; n++) {
      t.equal((await from('192.0.2.1', '/administered', '')).statusCode, 200)
      await from('192.0.2.1', '/read', 'flood-known', 'eve')
    }
    await flooded.close()
    const rows = await central`
      select kind, result, tenant_id as tenant, actor, detail from audit_log
      where kind <> 'process' and chain = (select chain from audit_log where result = 'ended' order by at desc limit 1)
      order by seq`
    t.equal(rows.length, 10 + 6, `one and its count for each of five, ${start.n} before`)
    const counted = rows.filter(({ detail }) => detail.count !== undefined)
    t.same(
      counted.map(({ kind, result, tenant, detail }) => [kind, result, tenant, detail.address, detail.count]),
      [
        ['refused', 'TENANT_NOT_FOUND', null, '192.0.2.1', 39],
        ['refused', 'TENANT_NOT_FOUND', 'flood', '2001:db8::', 39],
        ['admin', '429', null, '192.0.2.1', 39],
        ['access', 'ok', 'acme', '192.0.2.1', 39],
        ['refused', 'LOGIN_FAILED', 'acme', '::', 39],
      ],
    )
    t.equal(counted[0]?.detail.tenants.length, 10, 'some of the tenants are named')
    t.match(counted[0]?.detail, { from: /^\d{4}-/, to: /^\d{4}-/ })
    t.equal(rows.filter(({ actor }) => actor === 'eve').length, 3, 'each of a verified actor has its row')
    t.equal(rows.filter(({ kind, result }) => kind === 'admin' && result === 'ok').length, 3, 'and each served call')
  })

  await t.test('is written through a role that may insert and nothing else', async t => {
    await app.central.begin(async sql => {
      await sql.unsafe('set local role employee_service_audit')
      const may = async (statement: string) =>
        sql
          .savepoint(tx => tx.unsafe(statement))
          .then(
            () => 'yes',
            error => error.code,
          )
      t.equal(await may('select * from audit_log'), '42501')
      t.equal(await may("update audit_log set actor = 'eve'"), '42501')
      t.equal(await may('delete from audit_log'), '42501')
      t.equal(await may('truncate audit_log'), '42501')
      t.equal(await may('select * from tenants'), '42501')
      t.equal(await may('drop table audit_log'), '42501')
    })
    t.equal(
      await app.central`delete from audit_log`.then(
        () => 'yes',
        error => error.code,
      ),
      '42501',
      'nor does the service itself by mistake',
    )
  })

  await t.test('holds each value as it was hashed', async t => {
    const [one, other] = [createChain(), createChain()]
    const rows = [
      ...one.place([
        { kind: 'admin', result: '', tenantId: '', actor: '', requestId: '' },
        { kind: 'admin', result: 'ok', tenantId: null, actor: '\\N', requestId: '\u0001', detail: { a: '\\ "{},\n' } },
        { kind: 'admin', result: 'a\tb\nc', actor: 'é {null,"}', detail: { nested: [{ b: null }] } },
        // Values of rows before, in another order: each is sent once.
        { kind: 'access', result: '', tenantId: 'acme', actor: '\\N', detail: { nested: [{ b: null }] } },
        { kind: 'admin', result: 'ok', tenantId: '', actor: null, requestId: '', at: new Date(Date.now() - 1) },
        { kind: 'access', result: 'ok', tenantId: 'acme', actor: '', requestId: null },
      ]),
      ...other.place([{ kind: 'admin', result: '' }]),
    ]
    const writer = separateTypes(app.central)
    await writeRows(writer, rows, 30_000)
    // As after an answer that was lost.
    await writeRows(writer, rows, 30_000)
    const stored = await central`
      select chain, seq::int, kind, result, tenant_id as "tenantId", actor, request_id as "requestId",
        detail::text as detail, hash from audit_log where chain in (${one.id}, ${other.id})`
    const byPlace = (a: { hash: string }, b: { hash: string }) => (a.hash < b.hash ? -1 : 1)
    const expected = rows.map(({ at: _, ...row }) => row).sort(byPlace)
    t.same([...stored].map(row => ({ ...row })).sort(byPlace as never), expected)
    t.same((await verify(writer)).flaws, [])
    await tamper(() => central`delete from audit_log where chain in (${one.id}, ${other.id})`)
  })

  await t.test('writes no row by another role than that one', async t => {
    const chain = createChain()
    const rows = chain.place([{ kind: 'admin', result: 'ok' }])
    const tried = () =>
      writeRows(separateTypes(app.central), rows, 30_000).then(
        () => 'written',
        error => error.code,
      )
    await central`revoke insert on audit_log from employee_service_audit`
    t.equal(await tried(), '42501', 'which may not insert')
    await central`grant insert on audit_log to employee_service_audit`
    await central`revoke employee_service_audit from employee_service`
    t.equal(await tried(), '42501', 'which it may not take')
    await central`grant employee_service_audit to employee_service`
    t.same([...(await central`select 1 from audit_log where chain = ${chain.id}`)], [])
  })

  await t.test('verifies, and names the first row of each kind of tampering', async t => {
    for (let n = 0; n < 20; n++) app.audit.record({ kind: 'access', result: 'ok', tenantId: 'acme', detail: { n } })
    await written(app)
    t.match(await verify(app.central), { flaws: [], chains: 4, open: [/./] })
    const [last] = await central`
      select chain, max(seq)::int as seq from audit_log group by chain order by bool_or(result = 'ended') limit 1`
    const { chain, seq } = last as { chain: string; seq: number }
    const middle = seq - 10
    const heads = [{ month: monthOf(new Date()).toISOString().slice(0, 10), chain, seq, hash: '' }]
    const [head] = await central`select hash from audit_log where chain = ${chain} and seq = ${seq}`
    if (heads[0]) heads[0].hash = head?.hash
    await central`create table saved as select * from audit_log`
    const restore = () =>
      tamper(async () => {
        await central`delete from audit_log`
        await central`insert into audit_log select * from saved`
      })
    const cases: [what: string, at: number, change: () => Promise<unknown>][] = [
      ['changed', middle, () => central`update audit_log set actor = 'eve' where seq = ${middle}`],
      ['changed', middle, () => central`update audit_log set detail = '{"n":99}' where seq = ${middle}`],
      ['missing', middle + 1, () => central`delete from audit_log where seq = ${middle}`],
      ['cut', seq, () => central`delete from audit_log where seq = ${seq}`],
      [
        'repeated',
        middle,
        () => central`
        insert into audit_log select chain, seq, at + interval '1 second', kind, result, tenant_id, actor, request_id, detail, hash
        from audit_log where seq = ${middle}`,
      ],
    ]
    for (const [what, at, change] of cases) {
      await tamper(change)
      t.match((await verify(app.central, heads)).flaws, [{ chain, seq: at, what }], `${what} at ${at}`)
      await restore()
    }
    t.same((await verify(app.central, heads)).flaws, [], 'unchanged')
    t.match((await verify(app.central, [{ ...heads[0], hash: 'f'.repeat(64) } as never])).flaws, [
      { what: 'rewritten' },
    ])
  })

  await t.test('with the table locked serves on, refuses to administer unseen, and writes the gap down', async t => {
    const small = await build('employee', {}, app => {
      withAudit()(app)
      app.register(metrics)
    })
    await written(small)
    const seen = async () => {
      const samples = await scrape(small)
      return ['accepting', 'waiting', 'missed'].map(name => value(samples, `fdt_audit_${name}`))
    }
    t.same(await seen(), [1, 0, 0])
    const lock = central.begin(async sql => {
      await sql`lock table audit_log in access exclusive mode`
      for (let n = 0; n < 10_500; n++) small.audit.record({ kind: 'access', result: 'ok', tenantId: 'acme' })
      t.match(small.audit.status(), { accepting: true, waiting: 9_000 }, 'room is kept for calls of operators')
      t.equal((await small.inject('/administered')).statusCode, 200)
      for (let n = 0; n < 1_000; n++) small.audit.record({ kind: 'admin', result: 'ok', actor: 'ada' })
      t.match(small.audit.status(), { accepting: false, waiting: 10_000 })
      t.match(await small.inject('/administered'), { statusCode: 503 })
      t.match((await small.inject('/administered')).json(), { code: 'AUDIT_UNAVAILABLE' })
      t.same(await seen(), [0, 10_000, small.audit.status().missed], 'the metrics show the gap, as the alerts need it')
      return small.audit.status().missed
    })
    const missed = await lock
    t.ok(missed >= 500, `${missed} were left out`)
    await until('written', () => small.audit.status().waiting === 0)
    t.same(await seen(), [1, 0, missed], 'and keep showing it')
    t.equal((await small.inject('/administered')).statusCode, 200)
    await until('the gap is a row', async () => (await count('gap')) > 0)
    const gaps = await central`select detail from audit_log where kind = 'gap'`
    t.equal(
      gaps.reduce((sum, { detail }) => sum + detail.count, 0),
      small.audit.status().missed,
    )
    await small.close()
    t.match(await verify(app.central), { flaws: [] })
  })

  await t.test('outlives its database, and ends its chain with its process', async t => {
    const short = await build('employee', {}, withAudit())
    await written(short)
    const before = await count('access')
    await servers.postgres.employee?.kill()
    for (let n = 0; n < 1_200; n++) short.audit.record({ kind: 'access', result: 'ok', tenantId: 'acme' })
    await until('an attempt has failed', () => short.audit.status().lastError !== null)
    await servers.postgres.employee?.restart()
    await until('written', () => short.audit.status().waiting === 0)
    t.equal((await count('access')) - before, 1_200, 'each once')
    await short.close()
    const { open, flaws } = await verify(app.central)
    t.same(flaws, [])
    t.equal(open.length, 1, 'only the process that still runs has an open chain')
  })

  await t.test('seals a month that is over, keeps it for its retention, and is verified from the seal', async t => {
    const now = new Date()
    const ago = (months: number) => new Date(monthOf(now, -months).getTime() + 86_400_000)
    const past = await build('employee', {}, withAudit({ retentionMonths: 24 }))
    await written(past)
    // The clock of this process is months behind, and advances to the right one month by month.
    for (const months of [14, 13])
      past.audit.record({ kind: 'access', result: 'ok', tenantId: 'acme', at: ago(months) })
    await written(past)
    await past.close()
    const heads = await sealMonths(app.central, now)
    t.equal(heads.length, 2, 'a head for each month of that chain')
    t.same(await sealMonths(app.central, now), [], 'once')
    const seal = JSON.parse(JSON.stringify(sign('employee', heads, 'a secret of 32 characters or more'))) as Seal
    t.ok(isGenuine(seal, 'a secret of 32 characters or more'))
    t.notOk(isGenuine(seal, 'another'))
    t.notOk(isGenuine({ ...seal, heads: seal.heads.slice(1) }, 'a secret of 32 characters or more'))

    t.match(await verify(app.central, heads), { flaws: [] })
    t.same(await dropExpired(app.central, now, 14), [])
    t.same(await dropExpired(app.central, now, 13), [partitionOf(ago(14))])
    t.match(await verify(app.central, heads), { flaws: [] }, 'with one of its months gone')
    t.same(await dropExpired(app.central, now, 12), [partitionOf(ago(13))])
    t.match(await verify(app.central, heads), { flaws: [] }, 'with both gone')
  })
})

const partitionOf = (date: Date) => `audit_log_${date.toISOString().slice(0, 7).replace('-', '_')}`

t.test('a clock that jumps', async t => {
  const { app: build, look } = await rig(t, ['employee'])
  const audited = (app: FastifyInstance) => {
    app.register(audit)
    app.get('/administered', { config: { tenant: false, audit: 'admin' } }, async () => 'done')
  }
  const app = await build('employee', {}, audited)
  const central = look('employee', 'employee_central')
  const written = () => until('written', () => app.audit.status().waiting === 0)
  const partitions = async () =>
    (
      await central`
        select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
        where inhparent = 'audit_log'::regclass`
    ).map(({ name }) => name as string)
  await written()

  await t.test('leaves no partition that refuses operators, whatever its jump', async t => {
    for (const years of [3, -50, 200]) {
      const there = new Date(Date.UTC(new Date().getUTCFullYear() + years, 4, 7))
      mock.timers.enable({ apis: ['Date'], now: there })
      try {
        t.equal((await app.inject('/administered')).statusCode, 200)
      } finally {
        mock.timers.reset()
      }
      t.equal((await app.inject('/administered')).statusCode, 200)
      await written()
      t.match(app.audit.status(), { accepting: true, lastError: null })
      t.ok((await partitions()).includes(partitionOf(there)))
      const open = await central`
        select relname from pg_inherits join pg_class on pg_class.oid = inhrelid
        where inhparent = 'audit_log'::regclass and not exists (
          select from pg_trigger where tgrelid = pg_class.oid and tgname = 'audit_log_no_truncate')`
      t.same([...open], [], 'no partition can be emptied')
    }
    const [row] = await central`select count(*)::int from audit_log where kind = 'admin'`
    t.equal(row?.count, 6, 'each call has its row')
    t.match(await verify(app.central), { flaws: [] })
  })

  await t.test(
    'of the database dates a change of a tenant where there is no partition, and the row is moved',
    async t => {
      const there = new Date(Date.UTC(new Date().getUTCFullYear() + 7, 2, 3))
      await central`
      insert into audit_inbox (at, kind, tenant_id, detail) values (${there.toISOString()}, 'tenant', 'acme', '{}')`
      await app.tenants.create({ id: 'globex', name: 'Globex' })
      await until('moved', async () => (await central`select 1 from audit_inbox`).length === 0)
      await written()
      const [row] = await central`select count(*)::int from audit_log where kind = 'tenant' and tenant_id = 'acme'`
      t.equal(row?.count, 1, 'once')
      t.ok((await partitions()).includes(partitionOf(there)))
      t.match(await verify(app.central), { flaws: [] })
    },
  )

  await t.test('and a row of another month beside right ones is written with them', async t => {
    const rows = async () => Number((await central`select count(*) from audit_log where kind = 'access'`)[0]?.count)
    const years = [0, 11, 0, 12, -20, 0]
    for (const year of years) {
      const at = new Date()
      at.setUTCFullYear(at.getUTCFullYear() + year)
      app.audit.record({ kind: 'access', result: 'ok', tenantId: 'acme', at })
    }
    await written()
    t.equal(await rows(), years.length)
    t.match(await verify(app.central), { flaws: [] })
    const expired = await dropExpired(app.central, new Date(), 13)
    t.same(expired.length, 2, 'of the rows dated before the retention')
    await sealMonths(app.central, new Date())
    t.match(await verify(app.central), { flaws: [] })
  })

  await t.test('forward drops no month and seals none before its end', async t => {
    const before = await partitions()
    const ahead = new Date(Date.UTC(new Date().getUTCFullYear() + 4, 0, 15))
    t.same(await dropExpired(app.central, ahead, 13), [])
    t.same(await sealMonths(app.central, ahead), [])
    await ensurePartitions(app.central, ahead)
    t.same(
      (await partitions()).filter(name => before.includes(name)),
      before,
    )
    t.ok((await partitions()).includes(partitionOf(new Date())))
  })

  await t.test('back at the start of a process keeps its partitions of this month', async t => {
    await central`drop table ${central(partitionOf(monthOf(new Date(), 1)))}`
    await ensurePartitions(app.central, new Date(0))
    t.ok((await partitions()).includes(partitionOf(monthOf(new Date(), 1))), 'by the clock of the database')
  })
})
