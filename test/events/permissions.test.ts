// The rules of deploy/nats.conf on a real server that reads that file: each user can do its work, and nothing else.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  createPublisher,
  type EventsConnection,
  ensureTenantStream,
  LIFECYCLE_FILTER,
  natsUsers,
  parseStatus,
  readStreamState,
  STATUS_FILTER,
  STREAM,
} from '../../events/index.js'
import { serviceNames } from '../../stack/names.js'
import { natsConf, passwordVariable } from '../../stack/nats-conf.js'
import { connection, consumer, count, type Reports, rawPublish, server, until } from './rig.js'

const passwordOf = (name: string) => `secret-of-${name}`
for (const { name } of natsUsers(serviceNames)) process.env[passwordVariable(name)] = passwordOf(name)

async function rig(t: Test) {
  const nats = await server(t, readFileSync('deploy/nats.conf', 'utf8'))
  const as = async (name: string, reports: Reports = []) => {
    const url = `nats://${name}:${passwordOf(name)}@127.0.0.1:${nats.port}`
    const made = connection(t, url, reports, name)
    t.equal(await made.ready(5000), true, `${name} is let in`)
    t.equal(made.secured(), true)
    return made
  }
  return { nats, as }
}

const say = (who: EventsConnection, subject: string, body = '{"id":"acme","version":9}') =>
  createPublisher(who).publish({
    subject,
    payload: Buffer.from(body),
    messageId: randomUUID(),
    timeoutMs: 5_000,
  })
const refused = { code: 'EVENT_REJECTED' }

t.test('deploy/nats.conf is what the rules say', async t => {
  t.equal(readFileSync('deploy/nats.conf', 'utf8'), natsConf(), 'node dist/stack/nats-conf.js > deploy/nats.conf')
  for (const { name } of natsUsers(serviceNames)) {
    t.match(readFileSync('deploy/nats.conf', 'utf8'), `password: $${passwordVariable(name)}\n`)
  }
})

t.test('each service does its own work under its own user, and nothing is refused', async t => {
  const { nats, as } = await rig(t)
  const reports: Reports = []
  const [identity, employee, core] = [
    await as('identity', reports),
    await as('employee', reports),
    await as('core', reports),
  ]
  t.match(await ensureTenantStream(identity, { maxAgeMs: 600_000 }), { action: 'created' })
  t.match(await ensureTenantStream(identity), { action: 'updated' })
  const statuses: string[] = []
  const report = (r: Reports[number]) => void reports.push(r)
  consumer(t, { connection: identity, report, service: 'identity', durable: 'tenants-identity' })
  consumer(t, {
    connection: identity,
    report,
    service: 'identity',
    durable: 'ledger-identity',
    filter: STATUS_FILTER,
    parse: (subject, data) => {
      const parsed = parseStatus(subject, data)
      if (parsed.ok) statuses.push(`${parsed.event.id} ${parsed.event.service}`)
      return { ok: true, event: { kind: 'created', id: 'x', name: 'x' } as never }
    },
  })
  for (const one of [employee, core]) {
    const { name: service } = one
    consumer(t, {
      connection: one,
      report,
      service,
      durable: `tenants-${service}`,
      mayCreateStream: false,
      // Changed settings and unchangeable ones: updated, or deleted and made again.
      ackWaitMs: 5000,
      handle: async ({ id }) => {
        const body = { id, service, version: 1, revision: 1, status: 'ready', at: new Date().toISOString() }
        await say(one, `tenant.ready.${service}`, JSON.stringify(body))
      },
    })
  }
  for (const kind of ['created', 'updated', 'suspended', 'activated', 'deleted']) {
    await say(identity, `tenant.${kind}`, `{"id":"${kind}","version":1,"name":"x"}`)
  }
  await until('both services have answered each', () => statuses.length === 10)
  t.equal(count(reports, 'server_error') + count(reports, 'consume_failed') + count(reports, 'dead_copy_failed'), 0)

  // A dead letter's copy may be sent, and a durable of other settings replaced.
  await say(identity, 'tenant.created', 'no json')
  await until('buried in all three', () => count(reports, 'dead') === 3)
  const jsm = await identity.client().jetstreamManager({ checkAPI: false })
  await jsm.consumers.delete(STREAM, 'tenants-identity')
  await until(
    'made again',
    () => reports.filter(r => r.type === 'consumer_ensured' && r.durable === 'tenants-identity').length > 1,
  )
  t.equal(count(reports, 'server_error'), 0)

  // `nats pub` as the operator: one line on a socket, no inbox.
  await rawPublish(nats.port, 'tenant.created', '{"id":"bare"}', { user: 'operator', pass: passwordOf('operator') })
  await until('the services have answered', () => statuses.filter(one => one.startsWith('bare')).length === 2)
})

t.test('a service speaks for itself alone and changes no stream', async t => {
  const { as } = await rig(t)
  const [identity, employee] = [await as('identity'), await as('employee')]
  await ensureTenantStream(identity)
  const before = await readStreamState(identity)
  for (const subject of [
    'tenant.created',
    'tenant.deleted',
    'tenant.updated',
    'tenant.ready.core',
    'tenant.ready.identity',
  ])
    await t.rejects(say(employee, subject), refused, subject)
  const jsm = await employee.client().jetstreamManager({ timeout: 500, checkAPI: false })
  const denied = { code: 'PERMISSIONS_VIOLATION' }
  await t.rejects(jsm.streams.delete(STREAM), denied)
  await t.rejects(jsm.streams.purge(STREAM), denied)
  await t.rejects(jsm.streams.deleteMessage(STREAM, 1), denied)
  await t.rejects(jsm.streams.update(STREAM, { max_age: 1e9 }), denied)
  await t.rejects(jsm.streams.add({ name: 'OTHER', subjects: ['dead.>'] }), denied)
  await t.rejects(jsm.streams.getMessage(STREAM, { seq: 1 }), denied)
  await t.rejects(jsm.streams.list().next(), denied)
  t.strictSame(await readStreamState(identity), before)
})

t.test('a service does not read, change or answer another’s durable, nor hear its answers', async t => {
  const { as } = await rig(t)
  const [identity, employee, core] = [await as('identity'), await as('employee'), await as('core')]
  await ensureTenantStream(identity)
  await say(identity, 'tenant.created', '{"id":"acme","version":1,"name":"x"}')
  const reports: Reports = []
  const theirs = consumer(t, {
    connection: core,
    report: r => void reports.push(r),
    service: 'core',
    durable: 'tenants-core',
    mayCreateStream: false,
  })
  await until('handled', () => count(reports, 'acked') === 1)
  await theirs.stop()
  const jsm = await employee.client().jetstreamManager({ timeout: 500, checkAPI: false })
  const denied = { code: 'PERMISSIONS_VIOLATION' }
  await t.rejects(jsm.consumers.info(STREAM, 'tenants-core'), denied)
  await t.rejects(jsm.consumers.delete(STREAM, 'tenants-core'), denied)
  await t.rejects(
    jsm.consumers.add(STREAM, {
      durable_name: 'tenants-core',
      filter_subject: LIFECYCLE_FILTER,
      ack_policy: 'explicit' as never,
    }),
    denied,
  )
  await t.rejects(
    jsm.consumers.add(STREAM, { durable_name: 'spy', filter_subject: STATUS_FILTER, ack_policy: 'explicit' as never }),
    denied,
  )
  await t.rejects(
    employee.client().request('$JS.API.CONSUMER.MSG.NEXT.TENANTS.tenants-core', '', { timeout: 500 }),
    denied,
  )
  for (const subject of ['_INBOX.>', '_INBOX.core.>', '>', 'tenant.>', 'dead.>']) {
    const heard = await new Promise<Error | null>(resolve => {
      employee.client().subscribe(subject, { callback: error => resolve(error) })
      void employee
        .client()
        .flush()
        .then(() => setTimeout(resolve, 200, null))
    })
    t.match(heard, { code: 'PERMISSIONS_VIOLATION' }, subject)
  }
})

t.test('an operator may ask for tenants and do nothing else; nobody is let in without a name', async t => {
  const { nats, as } = await rig(t)
  await ensureTenantStream(await as('identity'))
  const operator = { user: 'operator', pass: passwordOf('operator') }
  await rawPublish(nats.port, 'tenant.created', '{"id":"bare"}', operator)
  for (const subject of [
    'tenant.deleted',
    'tenant.updated',
    'tenant.ready.core',
    'dead.tenant.core',
    '$JS.API.STREAM.DELETE.TENANTS',
  ]) {
    await t.rejects(rawPublish(nats.port, subject, '{}', operator), /Permissions Violation for Publish/, subject)
  }
  await t.rejects(rawPublish(nats.port, 'tenant.created', '{"id":"bare"}'), /Authorization Violation/)
  await t.rejects(
    rawPublish(nats.port, 'tenant.created', '{}', { user: 'operator', pass: 'guessed' }),
    /Authorization Violation/,
  )
  await t.rejects(rawPublish(nats.port, 'tenant.created', '{}', { user: 'root', pass: 'x' }), /Authorization Violation/)
})

t.test(
  'a reply that names a subject of the stream forges nothing: a pull repeats the word, an answer is a dead letter',
  async t => {
    const { nats, as } = await rig(t)
    const [identity, employee, core] = [await as('identity'), await as('employee'), await as('core')]
    await ensureTenantStream(identity)
    const dead: string[] = []
    const handled: string[] = []
    const common = { service: 'core', durable: 'tenants-core', mayCreateStream: false }
    consumer(t, {
      ...common,
      connection: core,
      onDead: async letter => void dead.push(letter.subject),
      handle: async ({ id, kind }) => void handled.push(`${kind} ${id}`),
    })
    const jsm = await employee.client().jetstreamManager({ checkAPI: false })
    const ack_policy = 'explicit' as never
    await jsm.consumers.add(STREAM, { durable_name: 'tenants-employee', filter_subject: LIFECYCLE_FILTER, ack_policy })
    // A bare one has no message id by which the stream would drop the repeat.
    await rawPublish(nats.port, 'tenant.created', '{"id":"acme"}', { user: 'operator', pass: passwordOf('operator') })
    await until('handled', () => handled.length === 1)
    const spy = { user: 'employee', pass: passwordOf('employee'), reply: 'tenant.deleted' }
    await rawPublish(nats.port, '$JS.API.CONSUMER.MSG.NEXT.TENANTS.tenants-employee', '', spy)
    await until('it came again as what it was', () => handled.length === 2)
    await rawPublish(nats.port, '$JS.API.STREAM.INFO.TENANTS', '', spy)
    await until('the answer was buried', () => dead.length === 1)
    t.strictSame([handled, dead], [['created acme', 'created acme'], ['tenant.deleted']])
  },
)
