// Dead letters by their functions: listed, shown, replayed the way the event would have gone, dropped; and parked
// ones.
import t from 'tap'
import { connectEvents, createPublisher, ensureTenantStream, STREAM } from '../../../../events/index.js'
import { settle } from '../../../../plugins/distributed-tenant/config/settings.js'
import { createDeadLetters } from '../../../../plugins/distributed-tenant/registry/dead-letters.js'
import { createTenancy } from '../../../../plugins/distributed-tenant/tenancy.js'
import { barePublish, notes, rig } from '../../../rig.js'
import { until } from '../../../until.js'

// One domain, one tenant: identity's own migration says so.
const identitys = new URL('../../../../services/identity/migrations/central/', import.meta.url)

t.test('dead letters', async t => {
  const { database, servers } = await rig(t, ['identity'])
  const { nats } = servers
  const start = async () => {
    const tenancy = createTenancy(
      settle({
        service: 'identity',
        database: database('identity'),
        migrations: { tenant: notes, central: identitys },
        nats: nats.url,
        redis: null,
        source: true,
      }),
    )
    t.teardown(() => tenancy.close())
    await tenancy.prepare()
    tenancy.consume()
    return tenancy
  }
  let tenancy = await start()
  const { source } = tenancy
  const central = () => tenancy.pools.central.sql
  const open = async () => (await tenancy.deadLetters.list()).filter(row => row.resolution === null)
  const bury = async (subject: string, body: string) => {
    const before = (await open()).length
    await barePublish(nats, subject, body)
    return until('buried', async () => (await open())[before])
  }

  await t.test('one that can work now is replayed and reports it', async t => {
    await source?.create({ id: 'acme', name: 'Acme', domain: 'acme.example.com' })
    const row = await bury('tenant.created', '{"id":"globex","name":"Globex","domain":"acme.example.com"}')
    t.match(row, { subject: 'tenant.created', reason: /domain/, parked: false, replays: 0, lastError: null })
    const shown = await tenancy.deadLetters.show(row.id)
    t.match(shown, { streamSeq: Number, headers: {} })
    t.match(shown?.data.toString(), /globex/)

    t.match(await tenancy.deadLetters.replay(row.id), { ok: false, error: /domain/ })
    t.match((await open())[0], { replays: 1, lastError: /domain/ })
    await source?.update('acme', { domain: null })
    t.same(await tenancy.deadLetters.replay(row.id), { ok: true })
    t.same(await open(), [])
    t.match(await tenancy.deadLetters.list({ resolved: true }), [
      { resolution: 'replayed', replays: 2, resolvedAt: Date },
    ])
    t.equal(await tenancy.deadLetters.replay(row.id), null, 'not a second time')
    const [tenant] = await central()`select version::int, domain from tenants where id = 'globex'`
    t.same({ ...tenant }, { version: 1, domain: 'acme.example.com' })
  })

  await t.test('one that is no longer needed is dropped, and kept for a while', async t => {
    const row = await bury('tenant.created', 'no json')
    t.equal(await tenancy.deadLetters.drop(row.id), true)
    t.equal(await tenancy.deadLetters.drop(row.id), false)
    t.equal(await tenancy.deadLetters.replay(row.id), null)
    t.equal(await tenancy.deadLetters.sweep(), 0)
    await central()`update dead_events set resolved_at = now() - interval '31 days' where id = ${row.id}`
    t.equal(await tenancy.deadLetters.sweep(), 1)
  })

  await t.test('an invalid id is answered, not thrown', async t => {
    for (const id of ['', '0', '999', '-1', '1; drop table tenants', '99999999999999999999']) {
      t.equal(await tenancy.deadLetters.show(id), null, id)
      t.equal(await tenancy.deadLetters.replay(id), null, id)
      t.equal(await tenancy.deadLetters.drop(id), false, id)
    }
  })

  await t.test(
    'an event of a newer release is parked, survives restarts, and is replayed by one that knows it',
    async t => {
      const connection = connectEvents({ url: nats.url, name: 'identity' })
      t.teardown(() => connection.close())
      await connection.ready(60_000)
      await bury('tenant.renamed', '{"id":"acme","version":2,"to":"acme-2"}')
      const before = (await open()).length
      const { headers } = await import('nats')
      const future = headers()
      future.set('ce-dataschema', 'urn:fastify-distributed-tenant:event:99')
      connection.client().publish('tenant.created', Buffer.from('{"id":"soon","v99":true}'), { headers: future })
      await until('parked', async () => (await open()).length > before)
      t.match(await open(), [
        { subject: 'tenant.renamed', parked: true, reason: /not a lifecycle subject/ },
        { subject: 'tenant.created', parked: true, reason: /event:99".*does not know/ },
      ])

      await tenancy.close()
      tenancy = await start()
      await until('the start has replayed them', async () => (await open()).every(row => row.replays === 1))
      t.ok(
        (await open()).every(row => row.parked),
        'this release still does not know them',
      )

      const handled: string[] = []
      const newer = createDeadLetters({
        central: central(),
        handle: async (subject, data) => void handled.push(`${subject} ${Buffer.from(data)}`),
        report: () => {},
      })
      t.equal(await newer.replayParked(), 2)
      t.same(handled, [
        'tenant.renamed {"id":"acme","version":2,"to":"acme-2"}',
        'tenant.created {"id":"soon","v99":true}',
      ])
      t.same(await open(), [])
    },
  )

  await t.test('a new stream counts from one again, and its dead letters are kept all the same', async t => {
    const connection = connectEvents({ url: nats.url, name: 'identity' })
    t.teardown(() => connection.close())
    await connection.ready(60_000)
    const jsm = await connection.client().jetstreamManager()
    const buried = async () =>
      (await central()`select stream_seq::int as seq from dead_events where subject = 'tenant.updated'`).map(
        row => row.seq,
      )
    for (const times of [1, 2]) {
      await jsm.streams.delete(STREAM)
      await ensureTenantStream(connection)
      const { publish } = createPublisher(connection, { mayCreate: true })
      await publish({ subject: 'tenant.updated', payload: Buffer.from('no json'), messageId: `junk ${times}` })
      await until('buried', async () => (await buried()).length === times)
    }
    t.equal((await buried()).length, 2)
  })
})
