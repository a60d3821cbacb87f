// The consumer after the loss of the server, the stream, its consumer or its connection: it recovers by itself.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createPublisher, encode, type LifecycleEvent, messageId, STREAM } from '../../events/index.js'
import { until } from '../until.js'
import { connection, consumer, count, type Reports, rawPublish, server } from './rig.js'

async function rig(t: Parameters<typeof server>[0], handle: (version: number) => Promise<void> = async () => {}) {
  const nats = await server(t)
  const reports: Reports = []
  const events = connection(t, nats.url, reports)
  await events.ready(60_000)
  const handled: number[] = []
  const running = consumer(t, {
    connection: events,
    report: r => void reports.push(r),
    ackWaitMs: 2000,
    handle: async ({ version }) => {
      await handle(version ?? 0)
      handled.push(version ?? 0)
    },
  })
  await until('consuming', () => count(reports, 'consuming') === 1)
  const publisher = createPublisher(events, { mayCreate: true })
  const send = (version: number) =>
    publisher.publish({
      subject: 'tenant.updated',
      payload: encode({ kind: 'updated', id: 'acme', version } as unknown as LifecycleEvent),
      messageId: messageId('updated', 'acme', version),
    })
  return { nats, events, reports, handled, send, running }
}

t.test('kill -9 of the server in the middle of a handler: the event is handled, nothing is lost', async t => {
  const { nats, events, handled, send, reports } = await rig(t, () => sleep(300))
  await send(1)
  await until('running', () => count(reports, 'received') === 1)
  await nats.kill()
  await until('noticed', () => events.status() === 'reconnecting')
  await sleep(500)
  await nats.restart()
  await until('reconnected', () => events.status() === 'connected')
  await send(2)
  await until('handled', () => handled.includes(1) && handled.includes(2))
  t.ok(count(reports, 'connected') >= 2)
})

t.test('the consumer is deleted: the next event is handled', async t => {
  const { events, handled, send, reports } = await rig(t)
  await send(1)
  await until('handled', () => handled.includes(1))
  const jsm = await events.client().jetstreamManager()
  await jsm.consumers.delete(STREAM, 'tenants-employee')
  await send(2)
  await until('handled', () => handled.includes(2))
  t.ok(reports.some(r => r.type === 'consume_failed'))
})

t.test('the stream is deleted: it is made again and the next event is handled', async t => {
  const { nats, events, handled, send, reports } = await rig(t)
  await send(1)
  await until('handled', () => handled.includes(1))
  const jsm = await events.client().jetstreamManager()
  await jsm.streams.delete(STREAM)
  await until('made again', () => reports.filter(r => r.type === 'stream_ensured').length === 2)
  await rawPublish(nats.port, 'tenant.updated', '{"id":"acme","version":2}')
  await until('handled', () => handled.includes(2))
})

t.test('an answer for a deleted stream does not acknowledge an event of the new one', async t => {
  let release = () => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  let releaseSecond = () => {}
  const second = new Promise<void>(resolve => {
    releaseSecond = resolve
  })
  const { nats, events, handled, reports } = await rig(t, async version => {
    if (version === 1) await gate
    if (version === 2) await second
  })
  await rawPublish(nats.port, 'tenant.updated', '{"id":"old","version":1}')
  await until('running', () => count(reports, 'received') === 1)
  const jsm = await events.client().jetstreamManager()
  await jsm.streams.delete(STREAM)
  await until('made again', () => count(reports, 'consuming') === 2)
  await rawPublish(nats.port, 'tenant.updated', '{"id":"new","version":2}')
  await until('the new one is running', () => count(reports, 'received') === 2)
  release()
  await until('the old one is done', () => handled.includes(1))
  const pending = (await jsm.consumers.info(STREAM, 'tenants-employee')).num_ack_pending
  t.equal(pending, 1, 'the new event still waits for its own acknowledgement')
  releaseSecond()
  await until('the new one is done', () => handled.includes(2))
  t.equal(reports.filter(r => r.type === 'acked').length, 1)
})

t.test('a frozen server is detected by its silence and used again once thawed', async t => {
  const { nats, handled, send, reports, running } = await rig(t)
  await send(1)
  await until('handled', () => handled.includes(1))
  nats.freeze()
  await until('silence noticed', () => count(reports, 'stalled') + count(reports, 'disconnected') > 0)
  nats.thaw()
  await until('back', () => running.state().phase === 'consuming')
  await until('published', () => {
    void send(2).catch(() => {})
    return true
  })
  await until('handled', () => handled.includes(2))
})

t.test('a server frozen for long is a lost connection, and the next event after the thaw is handled', async t => {
  const { nats, events, handled, reports } = await rig(t)
  nats.freeze()
  await until('given up', () => events.status() === 'reconnecting')
  await sleep(1000)
  nats.thaw()
  t.equal(await events.ready(60_000), true)
  await rawPublish(nats.port, 'tenant.updated', '{"id":"acme","version":1}')
  await until('handled', () => handled.includes(1))
  t.ok(count(reports, 'disconnected') >= 1)
})

t.test('a connection that the client closed for good is replaced and consuming continues', async t => {
  const { nats, events, handled, reports } = await rig(t)
  await events.client().close()
  await until('consuming again', () => count(reports, 'consuming') === 2)
  await rawPublish(nats.port, 'tenant.updated', '{"id":"acme","version":1}')
  await until('handled', () => handled.includes(1))
})

t.test('a service that may not create the stream waits for it', async t => {
  const nats = await server(t)
  const reports: Reports = []
  const employee = connection(t, nats.url, [], 'employee')
  const handled: string[] = []
  const waiting = consumer(t, {
    connection: employee,
    mayCreateStream: false,
    report: r => void reports.push(r),
    handle: async event => void handled.push(event.id),
  })
  await until('the failure is reported', () => count(reports, 'consume_failed') >= 2)
  t.match(waiting.state(), { phase: 'waiting', lastError: /TENANTS does not exist yet/ })
  const identity = connection(t, nats.url)
  await identity.ready(60_000)
  await createPublisher(identity, { mayCreate: true }).publish({
    subject: 'tenant.created',
    payload: Buffer.from('{"id":"acme"}'),
    messageId: 'one',
  })
  await until('handled', () => handled.length === 1)
})

t.test('two replicas share the work and each event is handled once', async t => {
  const { events, nats, handled, send } = await rig(t)
  const other: number[] = []
  const second = connection(t, nats.url)
  await second.ready(60_000)
  consumer(t, { connection: second, ackWaitMs: 2000, handle: async ({ version }) => void other.push(version ?? 0) })
  for (let version = 1; version <= 40; version++) await send(version)
  await until('all handled', () => handled.length + other.length >= 40)
  const jsm = await events.client().jetstreamManager()
  await until('no more', () => handled.length + other.length === 40)
  t.strictSame(
    [...handled, ...other].sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, i) => i + 1),
  )
  t.match(await jsm.consumers.info(STREAM, 'tenants-employee'), { num_pending: 0 })
})

t.test('stop ends soon while the server is dead or frozen', async t => {
  for (const harm of ['kill', 'freeze'] as const) {
    const { nats, running, handled, reports } = await rig(t)
    await nats[harm]()
    await running.stop(1000)
    t.equal(running.state().phase, 'stopped')
    t.strictSame(handled, [])
    t.equal(count(reports, 'consumer_stopped'), 1)
  }
})
