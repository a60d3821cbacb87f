// The consumer on a healthy server: each message is acknowledged once, in order for each tenant.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  createPublisher,
  DeadEvent,
  type DeadLetter,
  encode,
  type LifecycleEvent,
  messageId,
} from '../../events/index.js'
import { until } from '../until.js'
import { connection, consumer, count, type Reports, rawPublish, server } from './rig.js'

const event = (id: string, version: number) => ({ kind: 'updated', id, version }) as LifecycleEvent

async function rig(t: Parameters<typeof server>[0]) {
  const nats = await server(t)
  const reports: Reports = []
  const events = connection(t, nats.url, reports)
  await events.ready(60_000)
  const report = (r: Reports[number]) => void reports.push(r)
  const publisher = createPublisher(events, { mayCreate: true })
  const send = (id: string, version: number) =>
    publisher.publish({
      subject: 'tenant.updated',
      payload: encode(event(id, version)),
      messageId: messageId('updated', id, version),
    })
  return { nats, events, reports, report, send }
}

t.test('raw bytes through a socket are consumed', async t => {
  const { nats, events, reports, report } = await rig(t)
  const handled: unknown[] = []
  consumer(t, {
    connection: events,
    report,
    handle: async (event, incoming) => void handled.push([event, incoming.headers]),
  })
  await until('consuming', () => count(reports, 'consuming') === 1)
  await rawPublish(nats.port, 'tenant.created', '{"id":"globex","name":"Globex"}')
  await until('acked', () => count(reports, 'acked') === 1)
  t.strictSame(handled, [[{ kind: 'created', id: 'globex', name: 'Globex' }, {}]])
})

t.test('status events do not reach the lifecycle consumer', async t => {
  const { nats, events, reports, report } = await rig(t)
  const handled: string[] = []
  consumer(t, { connection: events, report, handle: async (_, incoming) => void handled.push(incoming.subject) })
  await until('consuming', () => count(reports, 'consuming') === 1)
  await rawPublish(nats.port, 'tenant.ready.core', '{}')
  await rawPublish(nats.port, 'tenant.created', '{"id":"acme"}')
  await until('handled', () => handled.length > 0)
  t.strictSame(handled, ['tenant.created'])
})

t.test('events of one tenant are handled in order and those of others beside them', async t => {
  const { events, send } = await rig(t)
  for (let version = 1; version <= 5; version++) for (const id of ['a', 'b', 'c']) await send(id, version)
  const order: Record<string, number[]> = { a: [], b: [], c: [] }
  let running = 0
  let most = 0
  const overlaps: string[] = []
  const busy = new Set<string>()
  consumer(t, {
    connection: events,
    concurrency: 3,
    handle: async ({ id, version }) => {
      if (busy.has(id)) overlaps.push(id)
      busy.add(id)
      most = Math.max(most, ++running)
      await sleep(id === 'a' ? 30 : 5)
      running--
      busy.delete(id)
      order[id]?.push(version ?? 0)
    },
  })
  await until('all handled', () => Object.values(order).every(list => list.length === 5))
  t.strictSame(order, { a: [1, 2, 3, 4, 5], b: [1, 2, 3, 4, 5], c: [1, 2, 3, 4, 5] })
  t.strictSame(overlaps, [])
  t.ok(most >= 2 && most <= 3, `${most} side by side`)
})

t.test('a tenant with a slow handler does not hold up another', async t => {
  const { events, send } = await rig(t)
  for (let version = 1; version <= 3; version++) await send('slow', version)
  await send('quick', 1)
  let release = () => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  const handled: string[] = []
  consumer(t, {
    connection: events,
    handle: async ({ id }) => {
      if (id === 'slow') await gate
      handled.push(id)
    },
  })
  await until('the quick tenant’s event', () => handled.includes('quick'))
  t.strictSame(handled, ['quick'])
  release()
  await until('the slow tenant’s events', () => handled.length === 4)
})

t.test('a handler that fails is called again with a growing count, and the report holds the reason', async t => {
  const { events, reports, report, send } = await rig(t)
  const counts: number[] = []
  consumer(t, {
    connection: events,
    report,
    handle: async (_, { deliveryCount }) => {
      counts.push(deliveryCount)
      if (deliveryCount < 3) throw new Error('disk on fire')
    },
  })
  await send('acme', 1)
  await until('acked', () => count(reports, 'acked') === 1)
  t.strictSame(counts, [1, 2, 3])
  t.match(
    reports.find(r => r.type === 'retried'),
    { error: 'disk on fire', tenantId: 'acme', delayMs: 100 },
  )
})

t.test('working() keeps a handler of three ack waits from being called twice', async t => {
  const { events, reports, report, send } = await rig(t)
  let calls = 0
  consumer(t, {
    connection: events,
    report,
    ackWaitMs: 1000,
    concurrency: 1,
    handle: async () => {
      calls++
      await sleep(3000)
    },
  })
  await send('acme', 1)
  await until('acked', () => count(reports, 'acked') === 1)
  await sleep(1200)
  t.equal(calls, 1)
})

t.test('a malformed event is stored with its reason, copied to the dead subject and not delivered again', async t => {
  const { nats, events, reports, report } = await rig(t)
  const copies: string[] = []
  const subscription = events.client().subscribe('dead.tenant.employee', {
    callback: (_, message) => copies.push(`${message.string()} ${message.headers?.get('Dead-Reason')}`),
  })
  const dead: DeadLetter[] = []
  let storeFails = true
  consumer(t, {
    connection: events,
    report,
    ackWaitMs: 1000,
    onDead: async letter => {
      if (storeFails) {
        storeFails = false
        throw new Error('no database')
      }
      dead.push(letter)
    },
    handle: async () => {
      throw new DeadEvent('the domain is taken\r\nHeader: injected')
    },
  })
  await until('consuming', () => count(reports, 'consuming') === 1)
  await rawPublish(nats.port, 'tenant.created', 'no json')
  await until('stored', () => dead.length === 1)
  t.equal(count(reports, 'dead_failed'), 1, 'the first attempt to store failed and lost nothing')
  t.match(dead[0], {
    subject: 'tenant.created',
    streamSeq: 1,
    deliveryCount: 2,
    reason: 'the body is not JSON',
    headers: {},
  })
  t.equal(Buffer.from(dead[0]?.data ?? []).toString(), 'no json')

  await rawPublish(nats.port, 'tenant.exploded', '{"id":"acme"}')
  await rawPublish(nats.port, 'tenant.created', '{"id":"acme"}')
  await until('both stored', () => dead.length === 3)
  t.match(dead.map(letter => letter.reason).sort()[0], /"tenant.exploded" is not a lifecycle subject/)
  t.ok(dead.some(letter => letter.reason === 'the domain is taken Header: injected'))
  await until('copied', () => copies.length === 3)
  t.equal(copies[0], 'no json the body is not JSON')
  await sleep(1500)
  t.equal(dead.length, 3, 'none was delivered again after the ack wait')
  subscription.unsubscribe()
})

t.test('stop takes no more events, finishes the running ones and returns the rest', async t => {
  const { events, reports, report, send } = await rig(t)
  for (let version = 1; version <= 6; version++) await send('acme', version)
  const handled: number[] = []
  let started = 0
  const first = consumer(t, {
    connection: events,
    report,
    ackWaitMs: 3_600_000,
    handle: async ({ version }) => {
      started++
      await sleep(300)
      handled.push(version ?? 0)
    },
  })
  await until('all six are delivered', () => started === 1 && first.state().waiting === 5)
  t.match(first.state(), { phase: 'consuming', running: 1, lastError: null })
  await Promise.all([first.stop(), first.stop()])
  t.strictSame([started, handled], [1, [1]])
  t.match(
    reports.find(r => r.type === 'consumer_stopped'),
    { returned: 5, unfinished: 0 },
  )
  t.match(first.state(), { phase: 'stopped', running: 0, waiting: 0 })

  // The first one has returned them: otherwise they come after the ack wait of an hour.
  consumer(t, {
    connection: events,
    report,
    ackWaitMs: 3_600_000,
    handle: async ({ version }) => void handled.push(version ?? 0),
  })
  await until('the rest', () => handled.length === 6)
  t.strictSame([...handled].sort(), [1, 2, 3, 4, 5, 6])
})

t.test('stop does not wait beyond its deadline and aborts the handler’s signal', async t => {
  const { events, reports, report, send } = await rig(t)
  await send('acme', 1)
  let aborted = false
  const one = consumer(t, {
    connection: events,
    report,
    handle: (_, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted = true
          reject(new Error('given up'))
        })
      }),
  })
  await until('running', () => one.state().running === 1)
  await one.stop(200)
  t.equal(aborted, true)
  t.match(
    reports.find(r => r.type === 'consumer_stopped'),
    { unfinished: 1 },
  )
})

t.test(
  'changed settings are applied, and unchangeable ones mean a new consumer that starts from the beginning',
  async t => {
    const { events, reports, report, send } = await rig(t)
    await send('acme', 1)
    const first = consumer(t, { connection: events, report })
    await until('acked', () => count(reports, 'acked') === 1)
    await first.stop()
    const second = consumer(t, { connection: events, report, ackWaitMs: 5000 })
    await until('updated', () => reports.some(r => r.type === 'consumer_ensured' && r.action === 'updated'))
    await second.stop()
    const jsm = await events.client().jetstreamManager()
    await jsm.consumers.delete('TENANTS', 'tenants-employee')
    await jsm.consumers.add('TENANTS', {
      durable_name: 'tenants-employee',
      deliver_policy: 'new' as never,
      ack_policy: 'explicit' as never,
    })
    consumer(t, { connection: events, report })
    await until('recreated', () => reports.some(r => r.type === 'consumer_ensured' && r.action === 'recreated'))
    await until('delivered again', () => count(reports, 'acked') === 2)
  },
)

// The permissions of an account that consumes and reports, but neither creates the stream nor publishes for others.
const EMPLOYEE_PUBLISH = [
  'tenant.ready.employee',
  'tenant.failed.employee',
  'tenant.removed.employee',
  'dead.tenant.employee',
  '$JS.API.STREAM.INFO.TENANTS',
  '$JS.API.CONSUMER.INFO.TENANTS.tenants-employee',
  '$JS.API.CONSUMER.CREATE.TENANTS.tenants-employee.tenant.*',
  '$JS.API.CONSUMER.DELETE.TENANTS.tenants-employee',
  '$JS.API.CONSUMER.MSG.NEXT.TENANTS.tenants-employee',
  '$JS.ACK.TENANTS.tenants-employee.>',
]

t.test('an account with the least permissions can do its own work, and cannot publish as identity', async t => {
  const nats = await server(
    t,
    `authorization { users: [
      { user: identity, password: identity-pass }
      { user: employee, password: employee-pass,
        permissions: { publish: ${JSON.stringify(EMPLOYEE_PUBLISH)}, subscribe: "_INBOX.employee.>" } }
    ] }`,
  )
  const as = (user: string) => `nats://${user}:${user}-pass@127.0.0.1:${nats.port}`
  const reports: Reports = []
  const identity = connection(t, as('identity'))
  const employee = connection(t, as('employee'), reports, 'employee')
  await Promise.all([identity.ready(60_000), employee.ready(60_000)])
  const created = { subject: 'tenant.created', payload: Buffer.from('{"id":"acme"}'), messageId: 'one' }
  await createPublisher(identity, { mayCreate: true }).publish(created)

  const dead: string[] = []
  consumer(t, {
    connection: employee,
    mayCreateStream: false,
    report: r => void reports.push(r),
    onDead: async letter => void dead.push(letter.reason),
  })
  await until('acked', () => count(reports, 'acked') === 1)
  await createPublisher(identity).publish({ ...created, payload: Buffer.from('x'), messageId: 'two' })
  await until('dead', () => dead.length === 1)
  const own = { subject: 'tenant.ready.employee', payload: Buffer.from('{}'), messageId: 'three' }
  t.match(await createPublisher(employee).publish(own), { seq: 3 })
  // It may not ask identity for its consumer, as under deploy/nats.conf, and may create it by itself.
  const errors = reports.flatMap(r => (r.type === 'server_error' ? [r.error] : []))
  t.match(errors, [/ensure\.consumer\.employee/])
  t.equal(count(reports, 'consume_failed'), 0)
  for (const subject of ['tenant.deleted', 'tenant.ready.core']) {
    await t.rejects(createPublisher(employee).publish({ ...own, subject, messageId: subject }), {
      code: 'EVENT_REJECTED',
    })
  }
})
