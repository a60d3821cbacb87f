// The accounts of deploy/nats.conf on a real server that reads that file: each user can do its work, and nothing
// else. NEWER_NATS_SERVER may name a nats-server of 2.14 or later: then everything is tried there too, with both
// forms of acknowledgement.
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { headers } from 'nats'
import t, { type Test } from 'tap'
import {
  answerConsumerRequests,
  createPublisher,
  type EventsConnection,
  ensureTenantStream,
  JETSTREAM_INFO,
  LIFECYCLE_FILTER,
  natsAccounts,
  parseStatus,
  readStreamState,
  STATUS_FILTER,
  STREAM,
  STREAM_ACCOUNT,
} from '../../events/index.js'
import { natsClusterConf, natsConf, natsConfWith, passwordVariable } from '../../operations/init/nats-conf.js'
import { serviceNames } from '../../stack/names.js'
import { findServers } from '../../stack/servers/find.js'
import { freePort } from '../../stack/servers/ports.js'
import { until } from '../until.js'
import { startNats, temporaryFolder } from './nats-server.js'
import { connection, consumer, count, type Reports, rawPublish, server } from './rig.js'

const passwordOf = (name: string) => `secret-of-${name}`
const names = [...natsAccounts(serviceNames).flatMap(({ users }) => users.map(({ name }) => name)), 'billing']
for (const name of names) process.env[passwordVariable(name)] = passwordOf(name)

const refused = { code: 'EVENT_REJECTED' }
const denied = { code: 'PERMISSIONS_VIOLATION' }

/** `admin` is a user of the stream's account: it sees the changes that the others made. */
const withAdmin = (config: string) =>
  config.replace('jetstream: "enabled"', 'jetstream: enabled, users: [{ user: admin, password: secret-of-admin }]')

interface Machine {
  readonly program?: string
  /** More lines of the configuration. */
  readonly more?: string
  readonly acknowledgement: RegExp
}

async function rig(t: Test, { program, more = '' }: Machine, config = readFileSync('deploy/nats.conf', 'utf8')) {
  const nats = await server(t, `${withAdmin(config)}${more}`, program)
  const as = async (name: string, reports: Reports = []) => {
    const url = `nats://${name}:${passwordOf(name)}@127.0.0.1:${nats.port}`
    const made = connection(t, url, reports, name)
    t.equal(await made.ready(60_000), true, `${name} is accepted`)
    t.equal(made.secured(), true)
    return made
  }
  /** A line on a socket, so that only the server can refuse it. */
  const raw = (user: string, subject: string, body = '', reply?: string) =>
    rawPublish(nats.port, subject, body, { user, pass: passwordOf(user), ...(reply !== undefined && { reply }) })
  return { nats, as, raw }
}

const say = (who: EventsConnection, subject: string, body = '{"id":"acme","version":9}') =>
  createPublisher(who).publish({ subject, payload: Buffer.from(body), messageId: randomUUID(), timeoutMs: 5_000 })

const managerOf = (who: EventsConnection) => who.client().jetstreamManager({ timeout: 500, checkAPI: false })

/** A stream of three messages, all consumers made, and the admin's view of it. */
async function standing(t: Test, machine: Machine) {
  const { nats, as, raw } = await rig(t, machine)
  const [identity, employee, core] = [await as('identity'), await as('employee'), await as('core')]
  await ensureTenantStream(identity)
  t.teardown(answerConsumerRequests({ connection: identity }).stop)
  for (const id of ['one', 'two', 'three'])
    await say(identity, 'tenant.created', `{"id":"${id}","version":1,"name":"x"}`)
  for (const one of [employee, core]) {
    const reports: Reports = []
    const { name: service } = one
    const made = consumer(t, {
      connection: one,
      report: r => void reports.push(r),
      service,
      durable: `tenants-${service}`,
      mayCreateStream: false,
    })
    await until(`${service} has acknowledged`, () => count(reports, 'acked') === 3)
    await made.stop()
  }
  const admin = await managerOf(await as('admin'))
  const look = async () => {
    const { config, state, created } = await admin.streams.info(STREAM)
    const consumers = []
    for await (const { name, created, config } of admin.consumers.list(STREAM))
      consumers.push({ name, created, config })
    return { config, created, first: state.first_seq, messages: state.messages, consumers }
  }
  return { nats, raw, identity, employee, core, admin, look }
}

t.test('deploy/nats.conf is generated from the rules', async t => {
  t.equal(
    readFileSync('deploy/nats.conf', 'utf8'),
    natsConf(serviceNames),
    'node dist/stack/nats-conf.js > deploy/nats.conf',
  )
  for (const { users } of natsAccounts(serviceNames))
    for (const { name } of users) {
      t.match(readFileSync('deploy/nats.conf', 'utf8'), `password: $${passwordVariable(name)}\n`)
    }
})

t.test('deploy/nats-cluster.conf is generated from the rules, and three servers with it are a cluster', async t => {
  const text = readFileSync('deploy/nats-cluster.conf', 'utf8')
  t.equal(text, natsClusterConf(serviceNames), 'node dist/stack/nats-conf.js --cluster > deploy/nats-cluster.conf')
  const plain = readFileSync('deploy/nats.conf', 'utf8')
  t.ok(text.includes(plain.slice(plain.indexOf('  EVENTS: {'))), 'the accounts are the same')
  const { dir: copy, remove: removeCopy } = temporaryFolder()
  t.teardown(removeCopy)
  writeFileSync(join(copy, 'nats.conf'), text)
  t.equal(
    natsConfWith(join(copy, 'nats.conf'), 'billing', []),
    natsClusterConf([...serviceNames, 'billing']),
    '`init --nats-conf` adds a service to a copy of it too',
  )
  process.env[passwordVariable('system')] = passwordOf('system')
  process.env[passwordVariable('route')] = passwordOf('route')
  const version = /v2\.(\d+)/.exec(execFileSync(findServers().nats, ['--version'], { encoding: 'utf8' }))?.[1]
  const ports = await Promise.all([1, 2, 3].map(() => freePort()))
  process.env.NATS_ROUTES = JSON.stringify(
    ports.map(port => `nats-route://route:${passwordOf('route')}@127.0.0.1:${port}`),
  )
  const servers = []
  for (const [at, port] of ports.entries()) {
    const { dir, remove } = temporaryFolder()
    t.teardown(remove)
    const own = text
      .replace('$NATS_SERVER_NAME', `nats-${at}`)
      .replace('http_port: 8222', '')
      .replace('port: 4222', '')
      .replace('port: 6222', `host: "127.0.0.1", port: ${port}`)
      .replace('store_dir: "/data"', '')
    // Not known to nats-server 2.9.
    const one = startNats({ dir, config: Number(version) < 10 ? own.replace('sync_interval: always', '') : own })
    servers.push(await one)
    t.teardown(async () => (await one).stop())
  }
  const url = servers.map(({ port }) => `nats://identity:${passwordOf('identity')}@127.0.0.1:${port}`).join()
  const identity = connection(t, url)
  t.ok(await identity.ready(60_000))
  for (let tries = 0; ; tries++) {
    try {
      t.match(await ensureTenantStream(identity, { replicas: 3 }), { fewerReplicas: null })
      break
    } catch (error) {
      // Until they have chosen a leader.
      if (tries > 60) throw error
      await new Promise(resolve => setTimeout(resolve, 500))
    }
  }
  const system = connection(t, `nats://system:${passwordOf('system')}@127.0.0.1:${servers[0]?.port}`)
  t.ok(await system.ready(60_000))
  const answer = await system.client().request('$SYS.REQ.SERVER.PING.JSZ', '', { timeout: 10_000 })
  t.match(answer.json(), { data: { meta_cluster: { cluster_size: 3 } } }, 'the system account is the operator’s')
})

t.test('only identity, each service and the operator are users, each in an account of its own', async t => {
  const accounts = natsAccounts(serviceNames)
  t.strictSame(
    accounts.map(({ name, users }) => [name, users.map(user => user.name)]),
    [
      [STREAM_ACCOUNT, []],
      ['OPERATOR', ['operator']],
      ['IDENTITY', ['identity']],
      ['EMPLOYEE', ['employee']],
      ['CORE', ['core']],
    ],
  )
  for (const { name, users, imports } of accounts) {
    t.strictSame(
      users.flatMap(user => user.publish),
      imports.map(({ subject }) => subject).filter(subject => subject !== JETSTREAM_INFO),
      `${name}: its exports match its imports`,
    )
    for (const { subject, from } of imports) {
      const exported = accounts.find(account => account.name === from)?.exports.find(one => one.subject === subject)
      t.ok(exported?.to.includes(name), `${from} exports ${subject} to ${name}`)
    }
  }
})

const newer = process.env.NEWER_NATS_SERVER
const machines: [string, Machine][] = [
  ['the nats-server of PATH', { acknowledgement: /^\$JS\.ACK\./ }],
  ...(newer
    ? ([
        ['the newer nats-server of NEWER_NATS_SERVER', { program: newer, acknowledgement: /^\$JS\.ACK\.TENANTS\./ }],
        [
          'the newer nats-server of NEWER_NATS_SERVER, acknowledged in the longer form',
          {
            program: newer,
            more: 'feature_flags: { js_ack_fc_v2: true }\n',
            acknowledgement: /^\$JS\.ACK\._\.\w+\.TENANTS\./,
          },
        ],
      ] satisfies [string, Machine][])
    : []),
]

for (const [label, machine] of machines) {
  t.test(`${label}: each service does its own work under its own user, and nothing is refused`, async t => {
    const { as, raw } = await rig(t, machine)
    const reports: Reports = []
    const [identity, employee, core] = [
      await as('identity', reports),
      await as('employee', reports),
      await as('core', reports),
    ]
    const admin = await managerOf(await as('admin'))
    t.match(await ensureTenantStream(identity, { maxAgeMs: 600_000 }), { action: 'created' })
    t.match(await ensureTenantStream(identity), { action: 'updated' })
    const statuses: string[] = []
    const report = (r: Reports[number]) => void reports.push(r)
    t.teardown(answerConsumerRequests({ connection: identity, report, ackWaitMs: 5000 }).stop)
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

    // The server has every acknowledgement.
    for (const durable of ['tenants-identity', 'tenants-employee', 'tenants-core', 'ledger-identity']) {
      let owed = 1
      while (owed > 0) owed = (await admin.consumers.info(STREAM, durable)).num_ack_pending
      t.equal((await admin.consumers.info(STREAM, durable)).num_redelivered, 0, durable)
    }
    const [sample] = reports.filter(r => r.type === 'consumer_ensured' && r.durable === 'tenants-employee')
    t.match(sample, { action: 'created' })

    // A dead letter's copy may be sent, and a durable that is lost is made again.
    const copies: string[] = []
    const eavesdropper = await as('admin')
    eavesdropper.client().subscribe('dead.>', { callback: (_, message) => copies.push(message.subject) })
    await eavesdropper.client().flush()
    await say(identity, 'tenant.created', 'no json')
    await until('a dead letter in all three', () => count(reports, 'dead') === 3 && copies.length === 3)
    for (const durable of ['tenants-identity', 'tenants-employee', 'tenants-core']) {
      const made = () => reports.filter(r => r.type === 'consumer_ensured' && r.durable === durable).length
      const before = made()
      await admin.consumers.delete(STREAM, durable)
      await until(`${durable} is made again`, () => made() > before)
      await until('and read', () => reports.filter(r => r.type === 'consuming' && r.durable === durable).length > 1)
    }
    t.equal(count(reports, 'server_error'), 0)

    // The form of acknowledgement that was used.
    let form = ''
    eavesdropper.client().subscribe('$JS.ACK.>', { callback: (_, message) => (form = message.subject) })
    await eavesdropper.client().flush()
    await say(identity, 'tenant.updated', '{"id":"formed","version":2,"name":"x"}')
    await until('an acknowledgement was seen', () => form !== '')
    t.match(form, machine.acknowledgement)

    // `nats pub` as the operator: one line on a socket, no inbox.
    await raw('operator', 'tenant.created', '{"id":"bare"}')
    await until('the services have answered', () => statuses.filter(one => one.startsWith('bare')).length === 2)
  })

  t.test(`${label}: a service of a user’s own gets the same lines with its name`, async t => {
    const { as } = await rig(t, machine, natsConf([...serviceNames, 'billing']))
    const [identity, billing] = [await as('identity'), await as('billing')]
    await ensureTenantStream(identity)
    t.teardown(answerConsumerRequests({ connection: identity }).stop)
    const reports: Reports = []
    consumer(t, {
      connection: billing,
      report: r => void reports.push(r),
      service: 'billing',
      durable: 'tenants-billing',
      mayCreateStream: false,
    })
    await say(identity, 'tenant.created', '{"id":"acme","version":1,"name":"x"}')
    await until('acknowledged', () => count(reports, 'acked') === 1)
    t.match(await say(billing, 'tenant.ready.billing'), { seq: 2 })
    t.equal(count(reports, 'server_error') + count(reports, 'consume_failed'), 0)
  })

  t.test(`${label}: without identity a service waits for its consumer, and gets it when identity is up`, async t => {
    const { as } = await rig(t, machine)
    const [identity, core] = [await as('identity'), await as('core')]
    await ensureTenantStream(identity)
    const reports: Reports = []
    consumer(t, {
      connection: core,
      report: r => void reports.push(r),
      service: 'core',
      durable: 'tenants-core',
      mayCreateStream: false,
    })
    const waits = () => reports.filter(r => r.type === 'consume_failed' && /identity makes it/.test(r.error)).length
    await until('it waits', () => waits() > 0)
    t.teardown(answerConsumerRequests({ connection: identity }).stop)
    await until('it reads', () => count(reports, 'consuming') === 1)
  })

  t.test(`${label}: no user but identity reaches the API of the stream, by a request or by a reply`, async t => {
    const { raw, identity, employee, core, admin, look } = await standing(t, machine)
    const before = await look()
    const api = [
      '$JS.API.INFO',
      '$JS.API.STREAM.NAMES',
      '$JS.API.STREAM.LIST',
      `$JS.API.STREAM.UPDATE.${STREAM}`,
      `$JS.API.STREAM.PURGE.${STREAM}`,
      `$JS.API.STREAM.DELETE.${STREAM}`,
      `$JS.API.STREAM.MSG.GET.${STREAM}`,
      `$JS.API.STREAM.MSG.DELETE.${STREAM}`,
      `$JS.API.DIRECT.GET.${STREAM}`,
      '$JS.API.STREAM.CREATE.OTHER',
      `$JS.API.CONSUMER.NAMES.${STREAM}`,
      `$JS.API.CONSUMER.LIST.${STREAM}`,
      `$JS.API.CONSUMER.CREATE.${STREAM}`,
      `$JS.API.CONSUMER.CREATE.${STREAM}.spy`,
      `$JS.API.CONSUMER.CREATE.${STREAM}.spy.tenant.*`,
      `$JS.API.CONSUMER.CREATE.${STREAM}.tenants-employee.tenant.*`,
      `$JS.API.CONSUMER.CREATE.${STREAM}.tenants-core.tenant.*`,
      `$JS.API.CONSUMER.DURABLE.CREATE.${STREAM}.tenants-employee`,
      `$JS.API.CONSUMER.DURABLE.CREATE.${STREAM}.tenants-core`,
      `$JS.API.CONSUMER.DELETE.${STREAM}.tenants-employee`,
      `$JS.API.CONSUMER.DELETE.${STREAM}.tenants-core`,
      `$JS.API.CONSUMER.INFO.${STREAM}.tenants-core`,
      `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.tenants-core`,
      `$JS.ACK.${STREAM}.tenants-core.1.1.1.1.0`,
      `$JS.ACK._.HASH.${STREAM}.tenants-core.1.1.1.1.0.x`,
      // The short form of another durable, in the shape of the long form of its own.
      `$JS.ACK.${STREAM}.tenants-core.${STREAM}.tenants-employee.1.1.0`,
      `$JS.ACK._.HASH.${STREAM}.ledger-identity.1.1.1.1.0.x`,
      '$SYS.REQ.SERVER.PING',
      'ensure.consumer.core',
      'tenant.ready.core',
      'tenant.deleted',
      '_R_.x',
    ]
    for (const subject of api) {
      for (const user of ['employee', 'operator']) {
        await t.rejects(raw(user, subject, ''), /Permissions Violation for Publish/, `${user}: ${subject}`)
      }
    }
    const jsm = await managerOf(employee)
    const asking: (() => Promise<unknown>)[] = [
      () => jsm.streams.delete(STREAM),
      () => jsm.streams.purge(STREAM),
      () => jsm.streams.deleteMessage(STREAM, 1),
      () => jsm.streams.update(STREAM, { max_age: 1e9 }),
      () => jsm.streams.getMessage(STREAM, { seq: 1 }),
      () => jsm.streams.list().next(),
      () => jsm.consumers.info(STREAM, 'tenants-core'),
      () => jsm.consumers.delete(STREAM, 'tenants-employee'),
      () => jsm.consumers.add(STREAM, { durable_name: 'tenants-employee', filter_subject: LIFECYCLE_FILTER }),
    ]
    for (const ask of asking) await t.rejects(ask(), denied, String(ask))
    for (const subject of ['tenant.created', 'tenant.deleted', 'tenant.ready.core']) {
      await t.rejects(say(employee, subject), refused, subject)
    }

    // Requests that a user is allowed, with each subject of the API as the address of the reply: the server
    // sends the reply, so a check of the user's own publishing does not see it. A harmless one would be
    // answered; these would change something.
    const replies = [
      '$JS.API.STREAM.NAMES',
      `$JS.API.STREAM.PURGE.${STREAM}`,
      `$JS.API.STREAM.DELETE.${STREAM}`,
      `$JS.API.CONSUMER.DELETE.${STREAM}.tenants-core`,
      `$JS.API.CONSUMER.DELETE.${STREAM}.tenants-employee`,
      `$JS.API.CONSUMER.INFO.${STREAM}.tenants-core`,
      'tenant.deleted',
      'tenant.ready.core',
      'ensure.consumer.core',
    ]
    for (const reply of replies) {
      await raw('operator', 'tenant.created', '{"id":"bare"}', reply)
      await raw('employee', 'tenant.ready.employee', '{}', reply)
      await raw('employee', `$JS.API.STREAM.INFO.${STREAM}`, '', reply)
      await raw('employee', `$JS.API.CONSUMER.INFO.${STREAM}.tenants-employee`, '', reply)
      await raw('employee', `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.tenants-employee`, '{"batch":1,"no_wait":true}', reply)
      await raw('employee', `$JS.ACK.${STREAM}.tenants-employee.1.1.1.1.0`, '+NXT', reply)
      await raw('employee', `$JS.ACK.${STREAM}.tenants-employee.1.1.1.1.0`, '+ACK', reply)
      await raw('employee', 'ensure.consumer.employee', '', reply)
    }
    // The answers to later requests: everything before them was served.
    for (const one of [identity, employee, core]) await readStreamState(one)
    const asked = replies.length
    let now = await look()
    await until('all are stored', () => {
      void look().then(found => {
        now = found
      })
      return now.messages >= 3 + 2 * asked
    })
    t.strictSame({ ...now, messages: 0 }, { ...before, messages: 0 }, 'the stream and its consumers are unchanged')
    t.equal(now.messages, 3 + 2 * asked, 'only messages that the users may publish were stored')
    for (let seq = 4; seq <= now.messages; seq++) {
      const { subject } = await admin.streams.getMessage(STREAM, { seq })
      t.match(subject, /^tenant\.(created|ready\.employee)$/)
    }
  })

  t.test(`${label}: a trace of a message, a push and a header give no access to the stream's account`, async t => {
    const { employee, look } = await standing(t, machine)
    const before = await look()
    const instructions = headers()
    instructions.set('Nats-Trace-Dest', `$JS.API.STREAM.PURGE.${STREAM}`)
    instructions.set('Nats-Rollup', 'all')
    instructions.set('Nats-Schedule', '@at 2020-01-01T00:00:00Z')
    instructions.set('Nats-Schedule-Target', 'tenant.deleted')
    employee.client().publish('tenant.ready.employee', '{}', { headers: instructions })
    await employee.client().flush()
    await employee
      .client()
      .request('tenant.ready.employee', '{}', { timeout: 2000 })
      .catch((error: unknown) => t.fail(String(error)))
    const { config, created, first, consumers, messages } = await look()
    t.strictSame({ config, created, first, consumers, messages: 0 }, { ...before, messages: 0 })
    t.ok(messages >= 3, 'an instruction that the stream does not follow refuses the message at most')
  })

  t.test(`${label}: a service reads no other's answers`, async t => {
    const { as } = await rig(t, machine)
    const employee = await as('employee')
    for (const subject of ['_INBOX.>', '_INBOX.core.>', '>', 'tenant.>', 'dead.>', 'ensure.>', '$JS.>', '_R_.>']) {
      const answer = await new Promise<Error | null>(resolve => {
        employee.client().subscribe(subject, { callback: error => resolve(error) })
        void employee
          .client()
          .flush()
          .then(() => setTimeout(resolve, 200, null))
      })
      t.match(answer, denied, subject)
    }
  })

  t.test(`${label}: a service can use up an id that it knows, so no id may be known beforehand`, async t => {
    const { as } = await rig(t, machine)
    const [identity, employee] = [await as('identity'), await as('employee')]
    await ensureTenantStream(identity)
    const known = { subject: 'tenant.ready.employee', payload: Buffer.from('{}'), messageId: 'tenant.created:acme:1' }
    t.match(await createPublisher(employee).publish(known), { seq: 1, duplicate: false })
    const own = { ...known, subject: 'tenant.created', messageId: known.messageId }
    t.match(
      await createPublisher(identity).publish(own),
      { seq: 1, duplicate: true },
      'the stream drops identity’s event',
    )
    const random = { ...own, messageId: `${known.messageId}:${randomUUID()}` }
    t.match(await createPublisher(identity).publish(random), { seq: 2, duplicate: false })
  })

  t.test(`${label}: an operator may ask for tenants and do nothing else; a connection needs a user`, async t => {
    const { nats, as, raw } = await rig(t, machine)
    const identity = await as('identity')
    await ensureTenantStream(identity)
    await raw('operator', 'tenant.created', '{"id":"bare"}')
    t.match(await readStreamState(identity), { messages: 1 })
    for (const subject of ['tenant.updated', 'tenant.ready.core', 'dead.tenant.core', 'ensure.consumer.core']) {
      await t.rejects(raw('operator', subject, '{}'), /Permissions Violation for Publish/, subject)
    }
    await t.rejects(rawPublish(nats.port, 'tenant.created', '{"id":"bare"}'), /Authorization Violation/)
    await t.rejects(
      rawPublish(nats.port, 'tenant.created', '{}', { user: 'operator', pass: 'guessed' }),
      /Authorization Violation/,
    )
    await t.rejects(
      rawPublish(nats.port, 'tenant.created', '{}', { user: 'root', pass: 'x' }),
      /Authorization Violation/,
    )
  })
}
