// A provisioning that fails: recorded, acknowledged, tried again by any replica, and never given up. An instance
// that is short of resources is left alone for a while.
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { connectEvents, STREAM, type StatusEvent } from '../../../../events/index.js'
import { type PublishedStep, subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { claimDue, retryDelayMs } from '../../../../plugins/distributed-tenant/registry/attempts.js'
import { lockNames } from '../../../../postgres/advisory-locks.js'
import { barePublish, rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('the delay doubles from one second to five minutes, with a fifth at random', async t => {
  for (const [attempts, base] of [
    [1, 1_000],
    [2, 2_000],
    [5, 16_000],
    [9, 256_000],
    [10, 300_000],
    [1e6, 300_000],
  ] as const) {
    const delays = Array.from({ length: 50 }, () => retryDelayMs(attempts))
    t.ok(
      delays.every(ms => ms >= base * 0.8 && ms <= base * 1.2),
      `${attempts}: ${Math.min(...delays)} to ${Math.max(...delays)}`,
    )
    t.ok(new Set(delays).size > 1, 'replicas do not retry at the same time')
  }
})

t.test('provisioning that fails', async t => {
  const { app: build, look, servers } = await rig(t, ['employee'])
  const { nats } = servers
  const server = look('employee')
  const central = look('employee', 'employee_central')
  const steps: PublishedStep[] = []
  t.teardown(subscribe(seen => steps.push(seen), undefined, ['retry', 'provision', 'events']))
  const seen = (area: string, type: string) =>
    steps.filter(
      one =>
        one.area === area &&
        ('type' in one.event ? one.event.type : 'step' in one.event ? one.event.step : null) === type,
    )
  const ready = (app: FastifyInstance, id: string) =>
    until(`${id} ready`, async () => (await app.tenants.find(id))?.provisioned === 'ready')
  const rowOf = async (id: string) =>
    (await central`select *, next_attempt_at > now() as later from tenants where id = ${id}`)[0]
  const bare = (id: string) => barePublish(nats, 'tenant.created', `{"id":"${id}","name":"x"}`)
  let app = await build('employee', { nats: nats.url })

  // The stream is identity's to make, and there is none here.
  const connection = connectEvents({ url: nats.url, name: 'test' })
  t.teardown(() => connection.close())
  await connection.ready(60_000)
  const jsm = await connection.client().jetstreamManager()
  await jsm.streams.add({ name: STREAM, subjects: ['tenant.>'] })

  await t.test('is recorded with its next attempt, reported, and acknowledged', async t => {
    await server`alter role employee_service nocreatedb`
    await bare('refused')
    const row = await until('failed', async () => {
      const row = await rowOf('refused')
      return row?.provisioned === 'failed' && row.later ? row : null
    })
    t.match(row, { step: 'database', last_error: /permission denied/ })
    t.ok(row.attempts >= 1)
    const { payload } = await until(
      'status',
      async () =>
        (
          await central`select payload from outbox where tenant_id = 'refused' and subject = 'tenant.failed.employee' order by seq`
        )[0],
    )
    const status = payload as StatusEvent
    t.match(status, { status: 'failed', step: 'database', attempts: 1, error: /permission denied/ })
    t.ok(Date.parse(status.nextTryAt ?? '') > Date.parse(status.at))
    await until('acknowledged', async () => {
      const { ack_floor, num_ack_pending } = await jsm.consumers.info(STREAM, 'tenants-employee')
      return ack_floor.stream_seq >= 1 && num_ack_pending === 0
    })
    await until('a second attempt', async () => (await rowOf('refused'))?.attempts >= 2)
    t.equal((await jsm.consumers.info(STREAM, 'tenants-employee')).num_redelivered, 0)
  })

  await t.test('is tried again after a restart, with NATS dead', async t => {
    await app.close()
    await nats.kill()
    await server`alter role employee_service createdb`
    app = await build('employee', { nats: nats.url })
    await ready(app, 'refused')
    t.match(await rowOf('refused'), { next_attempt_at: null, last_error: null })
    await nats.restart()
    await connection.ready(60_000)
  })

  await t.test('an attempt whose process died is made again when its lease is over', async t => {
    await central`insert into tenants (id, name, step, attempts, next_attempt_at) values ('orphan', 'x', 'claim', 1, now())`
    t.ok(await ready(app, 'orphan'))
    await central`insert into tenants (id, name) values ('undelivered', 'x')`
    t.equal((await claimDue(app.central, 10)).length, 0, 'a new one may still be on its way')
    const inSilence = () => claimDue(app.central, 10, true)
    t.strictSame(
      await until('it is due', async () => (await inSilence())[0]),
      'undelivered',
      'unless no event can come',
    )
    await central`update tenants set next_attempt_at = null where id = 'undelivered'`
    await central`alter table tenants disable trigger tenants_changed`
    await central`update tenants set updated_at = now() - interval '2 minutes' where id = 'undelivered'`
    await central`alter table tenants enable trigger tenants_changed`
    t.ok(await ready(app, 'undelivered'), 'its event was lost')
  })

  let began = ''
  await t.test('a due tenant is claimed once, and not while another process works on it', async t => {
    await app.close()
    app = await build('employee', { enabled: false })
    for (let n = 0; n < 10; n++)
      await central`insert into tenants (id, name, next_attempt_at) values (${`due-${n}`}, 'x', now() - interval '1 second')`
    await central.unsafe(`select pg_advisory_lock(hashtextextended('${lockNames.provision('due-3')}', 0))`)
    const claims = await Promise.all([1, 2, 3].map(() => claimDue(app.central, 5)))
    const ids = claims.flat().sort()
    t.same(
      ids,
      [0, 1, 2, 4, 5, 6, 7, 8, 9].map(n => `due-${n}`),
    )
    t.same(await claimDue(app.central, 10), [])
    await central`select pg_advisory_unlock_all()`
    await central`delete from tenants where id like 'due-%'`
    await app.close()
    ;[{ began }] = await server<[{ began: string }]>`select clock_timestamp()::text as began`
    app = await build('employee', { nats: nats.url })
  })

  await t.test(
    'without connections left the instance’s breaker opens, tenants are served, and all are made later',
    async t => {
      await app.tenants.run('refused', ({ sql }) => sql`select 1`)
      steps.length = 0
      // Not the sessions of the application before, which may still be closing.
      const [used] = await server`
        select count(*)::int as sessions from pg_stat_activity
        where usename = 'employee_service' and backend_start > ${began}::timestamptz`
      await server.unsafe(`alter role employee_service connection limit ${used?.sessions}`)
      const ids = Array.from({ length: 20 }, (_, n) => `spared-${n}`)
      for (const id of ids) await bare(id)
      const [opened] = await until('the breaker opens', () => {
        const found = seen('retry', 'breaker_opened')
        return found.length > 0 ? found : null
      })
      t.match(opened?.event, { reason: /^53300/ })
      t.match(await app.tenants.health(), {
        central: { status: 'up' },
        provisioning: { status: 'down', detail: /^53300.* \(tried again / },
      })
      t.same(await app.tenants.run('refused', ({ sql }) => sql`select 1 as one`), [{ one: 1 }])
      await until('it stays open', () => seen('retry', 'breaker_opened').length >= 3)
      // One attempt a second at first, then fewer: not one for each tenant.
      t.ok(seen('provision', 'failed').length < 12, `${seen('provision', 'failed').length} tries for 20 tenants`)
      await server`alter role employee_service connection limit -1`
      for (const id of ids) await ready(app, id)
      t.ok(seen('retry', 'breaker_closed').length >= 1)
      t.match(await app.tenants.health(), { provisioning: { status: 'up' } })
    },
  )

  await t.test('with the instance dead events wait, and are handled when it is back', async t => {
    const instance = servers.postgres.employee
    steps.length = 0
    await instance?.kill()
    await bare('patient')
    await until('the breaker opens', () => seen('retry', 'breaker_opened').length > 0)
    await until('the event is returned', () => seen('events', 'retried').length > 0)
    await instance?.restart()
    t.ok(await ready(app, 'patient'))
  })
})
