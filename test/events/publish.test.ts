// Connection and publisher against a real server: up, absent, refusing, lost and up again.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  connectEvents,
  createPublisher,
  EventRejected,
  EventsUnavailable,
  encode,
  ensureTenantStream,
  type LifecycleEvent,
  messageId,
  readStreamState,
} from '../../events/index.js'
import { freePort } from '../../stack/servers/ports.js'
import { until } from '../until.js'
import { startNats, temporaryFolder } from './nats-server.js'
import { connection, count, type Reports, server } from './rig.js'

const event = { kind: 'created', id: 'acme', version: 1, name: 'Acme' } as LifecycleEvent
const created = { subject: 'tenant.created', payload: encode(event), messageId: messageId('created', 'acme', 1) }

const USERS = `
  authorization { users: [
    { user: identity, password: "s3cret/p@ss" }
    { user: operator, password: operator-pass, permissions: { publish: ["tenant.created", "$JS.API.>"], subscribe: "_INBOX.>" } }
  ] }`

t.test('a repeat of a message id is stored once', async t => {
  const nats = await server(t)
  const reports: Reports = []
  const events = connection(t, nats.url, reports)
  t.equal(await events.ready(60_000), true)
  t.equal(events.secured(), false)
  const { publish } = createPublisher(events, { mayCreate: true, report: r => reports.push(r) })
  t.strictSame(await publish(created), { stream: 'TENANTS', seq: 1, duplicate: false })
  t.strictSame(await publish(created), { stream: 'TENANTS', seq: 1, duplicate: true })
  t.match(await readStreamState(events), { firstSeq: 1, lastSeq: 1, messages: 1, created: /^20/ })
  t.equal(count(reports, 'stream_ensured'), 1)

  // The id is still known after a crash of the server.
  await nats.kill()
  await nats.restart()
  await until('reconnected', () => events.status() === 'connected')
  t.strictSame(await publish(created), { stream: 'TENANTS', seq: 1, duplicate: true })
})

t.test('an answer that the message is under way is no acknowledgement, and the message may be sent again', async t => {
  const nats = await server(t)
  const events = connection(t, nats.url)
  t.equal(await events.ready(60_000), true)
  // In place of a stream: a leader of three copies gives these answers to a repeat while the first one has no quorum.
  const answers = [
    { stream: 'TENANTS', seq: 0, duplicate: true },
    { error: { code: 409, err_code: 10158, description: 'duplicate message id is in process' } },
    { stream: 'TENANTS', seq: 7, duplicate: true },
  ]
  events.client().subscribe('tenant.created', {
    callback: (_, message) => void message.respond(JSON.stringify(answers.shift())),
  })
  const { publish } = createPublisher(events)
  await t.rejects(publish(created), EventsUnavailable, 'nats-server 2.9')
  await t.rejects(publish(created), EventsUnavailable, 'later releases')
  t.strictSame(await publish(created), { stream: 'TENANTS', seq: 7, duplicate: true })
})

t.test('headers carry the id, CloudEvents and the trace', async t => {
  const nats = await server(t)
  const events = connection(t, nats.url)
  await events.ready(60_000)
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await createPublisher(events, { mayCreate: true }).publish({
    ...created,
    headers: { traceparent, 'ce-id': 'forged' },
  })
  const jsm = await events.client().jetstreamManager()
  const stored = await jsm.streams.getMessage('TENANTS', { seq: 1 })
  const header = (name: string) => stored.header.get(name)
  t.equal(header('Nats-Msg-Id'), 'tenant.created:acme:1')
  t.equal(header('ce-id'), 'tenant.created:acme:1')
  t.equal(header('ce-type'), 'tenant.created')
  t.equal(header('ce-source'), 'identity')
  t.equal(header('ce-specversion'), '1.0')
  t.equal(header('traceparent'), traceparent)
})

t.test('a message that can never be sent is rejected, one that can be sent later is unavailable', async t => {
  const nats = await server(t)
  const events = connection(t, nats.url)
  await events.ready(60_000)
  const careful = createPublisher(events)
  await t.rejects(careful.publish(created), EventsUnavailable, 'no stream yet')
  await ensureTenantStream(events)
  await t.rejects(careful.publish({ ...created, payload: new Uint8Array(2 * 1024 * 1024) }), EventRejected, 'too large')
  await t.rejects(careful.publish({ ...created, subject: 'tenant.exploded' }), EventRejected, 'not a subject of ours')

  nats.freeze()
  await t.rejects(careful.publish({ ...created, timeoutMs: 300 }), EventsUnavailable, 'frozen')
  nats.thaw()

  await nats.kill()
  await until('noticed', () => events.status() === 'reconnecting')
  const refused = careful.publish(created).then(
    () => null,
    error => error,
  )
  t.ok((await Promise.race([refused, sleep(0)])) instanceof EventsUnavailable, 'not connected: before any wait')
})

t.test('two creators of the stream both succeed, and changed settings are restored', async t => {
  const nats = await server(t)
  const [one, two] = [connection(t, nats.url), connection(t, nats.url)]
  await Promise.all([one.ready(60_000), two.ready(60_000)])
  await Promise.all([ensureTenantStream(one), ensureTenantStream(two, { maxAgeMs: 60_000 * 60 })])
  t.equal((await ensureTenantStream(one)).action === 'created', false)
  t.equal((await ensureTenantStream(one)).action, 'unchanged')
  t.equal((await ensureTenantStream(one, { maxAgeMs: 60_000 * 10 })).action, 'updated')
})

t.test('another stream on our subjects is named as the cause', async t => {
  const nats = await server(t)
  const events = connection(t, nats.url)
  await events.ready(60_000)
  const jsm = await events.client().jetstreamManager()
  await jsm.streams.add({ name: 'OTHER', subjects: ['tenant.created'] })
  await t.rejects(ensureTenantStream(events), { name: 'EventRejected', message: /another stream already holds.*10065/ })
})

t.test('a server that is down at the start is used when it comes up', async t => {
  const port = await freePort()
  const reports: Reports = []
  const events = connection(t, `nats://127.0.0.1:${port}`, reports)
  t.equal(events.status(), 'connecting')
  t.equal(await events.ready(300), false)
  t.ok(count(reports, 'connect_failed') >= 1)
  t.match(events.lastError(), /CONNECTION_REFUSED/)
  const { dir, remove } = temporaryFolder()
  const nats = await startNats({ dir, port })
  t.teardown(async () => {
    await nats.stop()
    remove()
  })
  t.equal(await events.ready(60_000), true)
  t.equal(events.lastError(), null)
})

t.test('a connection that the client gave up is reported and replaced', async t => {
  const nats = await server(t)
  const reports: Reports = []
  const events = connection(t, nats.url, reports)
  await events.ready(60_000)
  await events.client().close()
  await until('reported', () => count(reports, 'connection_closed') === 1)
  t.match(
    reports.find(r => r.type === 'connection_closed'),
    { expected: false },
  )
  t.equal(await events.ready(60_000), true)
  t.match(reports.at(-1), { type: 'connected', again: true })
  t.equal((await ensureTenantStream(events)).action, 'created')
})

t.test('wrong credentials are reported without being shown, and right ones are used', async t => {
  const nats = await server(t, USERS)
  const reports: Reports = []
  const url = (user: string, pass: string) => `nats://${user}:${encodeURIComponent(pass)}@127.0.0.1:${nats.port}`
  const wrong = connection(t, url('identity', 'wr0ng/p@ss'), reports)
  await until('tried three times', () => count(reports, 'connect_failed') >= 3)
  t.equal(wrong.status(), 'connecting')
  t.match(wrong.lastError(), /AUTHORIZATION_VIOLATION/)
  t.notMatch(JSON.stringify(reports), /wr0ng/)
  t.throws(() => wrong.client(), EventsUnavailable)

  const right = connection(t, url('identity', 's3cret/p@ss'), reports)
  t.equal(await right.ready(60_000), true)
  t.equal(right.secured(), true)
  await ensureTenantStream(right)

  const operator = connection(t, url('operator', 'operator-pass'), reports)
  await operator.ready(60_000)
  const { publish } = createPublisher(operator)
  t.match(await publish(created), { seq: 1 })
  await t.rejects(publish({ ...created, subject: 'tenant.deleted' }), EventRejected)
  t.notMatch(JSON.stringify(reports), /s3cret|operator-pass/)
})

t.test('an invalid URL is refused without being shown', async t => {
  for (const url of [
    '',
    'http://user:pass@host',
    'nats://user:pass@',
    'nats://user:pass@host:port',
    'nats://user:%zz@host',
  ])
    t.throws(() => connectEvents({ url, name: 'x' }), { name: 'TypeError', message: /^(?!.*pass@)/ })
})

t.test('close ends a connection that is up, down or not yet made, and a second close does nothing', async t => {
  const nats = await server(t)
  const up = connection(t, nats.url)
  const down = connection(t, nats.url)
  const never = connection(t, `nats://127.0.0.1:${await freePort()}`)
  await Promise.all([up.ready(60_000), down.ready(60_000)])
  await Promise.all([up.close(), up.close()])
  t.equal(up.status(), 'closed')
  t.equal(await up.ready(5000), false)
  await nats.kill()
  await until('noticed', () => down.status() === 'reconnecting')
  for (const events of [down, never]) {
    t.equal(await Promise.race([events.close(500).then(() => 'closed'), sleep(3000, 'late', { ref: false })]), 'closed')
    t.equal(events.status(), 'closed')
  }
})
