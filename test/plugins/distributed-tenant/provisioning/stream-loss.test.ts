// A stream that lost events before services received them: the loss is noticed, and events that are still needed are
// published again.
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connectEvents, STREAM, type StatusEvent } from '../../../../events/index.js'
import { type PublishedStep, subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('losses of the stream', async t => {
  const { app: build, servers } = await rig(t, ['identity', 'employee'])
  const { nats } = servers
  const store = join(servers.dir, 'nats')
  const statuses: StatusEvent[] = []
  const losses: PublishedStep[] = []
  t.teardown(subscribe(seen => losses.push(seen), undefined, ['relay']))
  const onStatus = async (event: StatusEvent) => void statuses.push(event)
  const startIdentity = () => build('identity', { nats: nats.url, source: true, onStatus })
  const startEmployee = () => build('employee', { nats: nats.url })
  let identity = await startIdentity()

  const seen = () =>
    until(
      'identity has published everything',
      async () => (await identity.tenants.figures()).stored?.outbox.waiting === 0,
    )
  const ready = (app: typeof identity, id: string) =>
    until(`${id} ready`, async () => (await app.tenants.find(id))?.provisioned === 'ready')
  const lossOf = (service: string, type: string) =>
    losses.some(one => one.service === service && one.area === 'relay' && one.event.type === type)
  const admin = async () => {
    const connection = connectEvents({ url: nats.url, name: 'test' })
    t.teardown(() => connection.close())
    await connection.ready(60_000)
    return connection.client().jetstreamManager()
  }

  await t.test('its store is wiped while it is down: services that lacked a tenant receive it', async t => {
    const row = await identity.tenants.create({ id: 'wiped', name: 'First', domain: 'wiped.example.com' })
    t.equal(row.version, 1)
    await identity.tenants.update('wiped', { name: 'Second' })
    await seen()
    await nats.kill()
    rmSync(store, { recursive: true })
    await nats.restart()
    const employee = await startEmployee()
    await ready(employee, 'wiped')
    // Only the newest event is published again: it holds the whole state.
    t.match(await employee.tenants.find('wiped'), { version: 2, name: 'Second', domain: 'wiped.example.com' })
    t.ok(lossOf('identity', 'found_new'))
    // Under an id that was never published, which no message can have used before.
    const [again] = await identity.central`select message_id from outbox where tenant_id = 'wiped' and fed > 0`
    t.match(again?.message_id, /^tenant\.updated:wiped:2:[0-9a-f]{8}:fed-1-[0-9a-f]{8}$/)
    await until('its status is received', () => statuses.some(one => one.id === 'wiped' && one.service === 'employee'))

    await t.test('and a service publishes its own status again to an identity that had not received it', async () => {
      await until('sent', async () => (await employee.tenants.figures()).stored?.outbox.waiting === 0)
      await identity.close()
      statuses.length = 0
      await nats.kill()
      rmSync(store, { recursive: true })
      await nats.restart()
      identity = await startIdentity()
      await until('sent again', () => statuses.some(one => one.id === 'wiped' && one.service === 'employee'))
    })
    await employee.close()
  })

  await t.test('it is deleted while everything runs', async t => {
    await identity.tenants.create({ id: 'deleted', name: 'Deleted' })
    await seen()
    await (await admin()).streams.delete(STREAM)
    const employee = await startEmployee()
    t.ok(await ready(employee, 'deleted'))
    await employee.close()
  })

  await t.test('it is purged', async t => {
    await identity.tenants.create({ id: 'purged', name: 'Purged' })
    await seen()
    await (await admin()).streams.purge(STREAM)
    const employee = await startEmployee()
    await ready(employee, 'purged')
    t.ok(lossOf('identity', 'purged'))
    await employee.close()
  })

  await t.test('it lost messages from its middle', async t => {
    for (const id of ['hole-1', 'hole-2', 'hole-3']) await identity.tenants.create({ id, name: id })
    await seen()
    const [lost] = await identity.central<{ seq: number }[]>`
      select stream_seq::int as seq from outbox where tenant_id = 'hole-2' and subject = 'tenant.created'`
    await (await admin()).streams.deleteMessage(STREAM, lost?.seq ?? 0)
    await until('it is noticed', () => lossOf('identity', 'hole'))
    const employee = await startEmployee()
    await ready(employee, 'hole-2')
    const holes = losses.filter(one => one.area === 'relay' && one.event.type === 'hole').length
    await until('it is inspected twice more', () => {
      const at = losses.findLastIndex(one => one.area === 'relay' && one.event.type === 'hole')
      return (
        losses.slice(at).filter(one => one.service === 'identity' && (one.event as { type?: string }).type === 'looked')
          .length > 2
      )
    })
    t.equal(losses.filter(one => one.area === 'relay' && one.event.type === 'hole').length, holes, 'a hole is fed once')
    await employee.close()
  })

  await t.test('it is set back to an older state', async t => {
    await nats.stop()
    const older = join(servers.dir, 'older')
    cpSync(store, older, { recursive: true })
    await nats.restart()
    await identity.tenants.create({ id: 'rewound', name: 'Rewound' })
    await seen()
    await nats.kill()
    rmSync(store, { recursive: true })
    cpSync(older, store, { recursive: true })
    await nats.restart()
    const employee = await startEmployee()
    await ready(employee, 'rewound')
    await ready(identity, 'rewound')
    t.ok(lossOf('identity', 'rewound'))
    await employee.close()
  })

  await t.test('nothing is published twice when nothing was lost', async t => {
    await seen()
    losses.length = 0
    await identity.close()
    identity = await startIdentity()
    await until('the stream was inspected', () => lossOf('identity', 'looked'))
    for (const type of ['found_new', 'rewound', 'purged', 'published']) t.notOk(lossOf('identity', type), type)
  })

  await t.test('a hundred tenants made while NATS is down are ready soon after', async t => {
    await nats.stop()
    for (let n = 1; n <= 100; n++) await identity.tenants.create({ id: `down-${n}`, name: 'Made meanwhile' })
    t.match(await identity.tenants.health(), { events: { status: 'down' } })
    await nats.restart()
    const rows = await until('all are ready', async () => {
      const rows = (await identity.tenants.list({ limit: 1_000 })).filter(row => row.id.startsWith('down-'))
      return rows.every(row => row.provisioned === 'ready') ? rows : null
    })
    t.equal(rows.length, 100)
  })
})
