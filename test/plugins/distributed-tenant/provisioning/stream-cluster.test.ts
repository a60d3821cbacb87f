// Services on a cluster of three NATS servers: the stream's leader killed under creation, and a server that is gone for good with
// the only copy of the stream. And a stream that is managed elsewhere.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { connectEvents, type EventsReport, ensureTenantStream, STREAM } from '../../../../events/index.js'
import { stream as inspectByDoctor } from '../../../../operations/doctor/stream.js'
import type { OpenService } from '../../../../operations/open-services.js'
import type { ServiceTarget } from '../../../../operations/targets.js'
import { subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { operatorCommands } from '../../../cli/operator-commands.js'
import { natsCluster } from '../../../events/nats-cluster.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

const ACCOUNTS = `accounts: {
  $SYS: { users: [{ user: system, password: "n-system" }] }
  APP: { jetstream: enabled, users: [{ user: app, password: "n-app" }] }
}
system_account: "$SYS"`

t.test('services and a cluster of NATS', async t => {
  const { app: build, servers, tenancy } = await rig(t, ['identity', 'employee'])
  const reports: EventsReport[] = []
  t.teardown(subscribe(({ area, event }) => area === 'events' && reports.push(event)))
  const open = await tenancy('employee')
  const doctor = async (nats: string, settings: object = {}) => {
    const target = { nats } as ServiceTarget
    const named = { ...open, settings: { ...open.settings, ...settings } }
    return inspectByDoctor({ name: 'employee', target, tenancy: named } as unknown as OpenService)
  }
  const connected = async (url: string, name = 'test') => {
    const connection = connectEvents({ url, name })
    t.teardown(() => connection.close())
    await until('connected', () => connection.ready(1_000))
    return connection
  }
  type App = Awaited<ReturnType<typeof build>>
  const ready = (app: App, ids: readonly string[]) =>
    until(`${ids} are ready`, async () => {
      const rows = await Promise.all(ids.map(id => app.tenants.find(id)))
      return rows.every(row => row?.provisioned === 'ready')
    })
  const leaderOf = async (url: string) => {
    const { client } = await connected(url)
    const jsm = await client().jetstreamManager({ timeout: 5_000, checkAPI: false })
    return until('there is a leader', () =>
      jsm.streams.info(STREAM).then(
        ({ cluster }) => cluster?.leader,
        () => undefined,
      ),
    )
  }

  await t.test('the leader of its stream is killed under creation: every tenant becomes ready', async t => {
    const cluster = await natsCluster(t, { more: ACCOUNTS })
    const nats = cluster.url('app:n-app')
    const options = { nats, streamReplicas: 3 as const }
    const identity = await build('identity', { ...options, source: true })
    const employee = await build('employee', options)
    const create = async (id: string) => void (await identity.tenants.create({ id, name: id }))
    await create('before')
    await ready(employee, ['before'])
    t.strictSame(await doctor(nats, { streamReplicas: 3 }), [])

    const leader = await leaderOf(nats)
    const ids = Array.from({ length: 12 }, (_, n) => `during-${n}`)
    for (const [n, id] of ids.entries()) {
      if (n === 4) await cluster.node(leader).kill()
      await create(id)
    }
    await ready(identity, ids)
    await ready(employee, ids)
    const found = await doctor(nats, { streamReplicas: 3 })
    t.ok(
      found.some(
        ({ what, about }) =>
          what === 'NATS server does not answer' && about.includes(String(cluster.node(leader).port)),
      ),
    )
    await employee.close()
    await identity.close()
  })

  await t.test('the server with the only copy is gone for good: `nats-remove` makes the stream again', async t => {
    const cluster = await natsCluster(t, { more: ACCOUNTS })
    const nats = cluster.url('app:n-app')
    const identity = await build('identity', { nats, source: true })
    await identity.tenants.create({ id: 'old', name: 'Old' })
    await until('it is published', async () => (await identity.tenants.figures()).stored?.outbox.waiting === 0)
    const leader = await leaderOf(nats)
    t.match(await doctor(nats), [
      { what: 'consumer missing' },
      { what: 'stream has one copy', cure: /NATS_STREAM_REPLICAS=3/ },
    ])
    const folder = mkdtempSync(join(tmpdir(), 'nats-remove-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const database = { host: '127.0.0.1', port: 1, user: 'unused', password: 'unused' }
    const config = { services: { identity: { database } }, nats: { services: { identity: nats } } }
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
    const commands = operatorCommands(t, folder)
    const removal = (server: string, options: readonly string[] = [], user = 'system:n-system') =>
      commands.run(['nats-remove', server, '--config', 'config.json', '--json', ...options], {
        NATS_SYSTEM_URL: cluster.url(user),
      })
    t.match(await removal(leader, ['--yes']), { code: 2, err: /answers: it is not gone/ })
    t.match(await removal('n9', ['--yes']), { code: 2, err: /no server n9 in the cluster: it has n1, n2, n3/ })
    t.match(await removal(leader, ['--yes'], 'app:n-app'), { code: 1, err: /must be one of the system account/ })

    await cluster.node(leader).kill()
    await identity.tenants.create({ id: 'new', name: 'New' })
    const cure = new RegExp(`distributed-tenant nats-remove ${leader}`)
    await until('health names the cure', async () => {
      const now = performance.now
      performance.now = () => now.call(performance) + 61_000
      const { events } = await identity.tenants.health(20_000).finally(() => {
        performance.now = now
      })
      return events.status === 'down' && cure.test(events.detail ?? '')
    })
    const found = await until('doctor names it', async () => {
      const problems = await doctor(nats)
      return problems.find(({ what }) => what === 'stream does not answer')
    })
    t.match(found.cure, /`nats-remove <server>`/)

    const shown = await removal(leader, ['--dry-run'])
    t.equal(shown.code, 0, shown.err)
    const { members, ...plan } = JSON.parse(shown.out)
    t.match(plan, { server: leader, removed: false })
    t.match(
      members.filter(({ answers }: { answers: boolean }) => !answers),
      [{ name: leader }],
    )
    t.match(await removal(leader), { code: 2, err: /pass --yes/ })
    t.ok(
      (await doctor(nats)).some(({ what }) => what === 'stream does not answer'),
      'neither has changed anything',
    )
    const removed = await removal(leader, ['--yes'])
    t.equal(removed.code, 0, removed.err)
    const made = JSON.parse(removed.out)
    t.match(made, { removed: true, stream: { leader: /^n[123]$/ } })
    t.not(made.stream.leader, leader)
    await until('everything is published again', async () => {
      const { stored } = await identity.tenants.figures()
      return stored?.outbox.waiting === 0
    })
    const employee = await build('employee', { nats })
    await ready(employee, ['old', 'new'])
    await ready(identity, ['old', 'new'])
    await employee.close()
    await identity.close()
  })

  await t.test('a server whose name the cluster does not know any more is removed by its peer id', async t => {
    const cluster = await natsCluster(t, { more: ACCOUNTS })
    const folder = mkdtempSync(join(tmpdir(), 'nats-remove-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const database = { host: '127.0.0.1', port: 1, user: 'unused', password: 'unused' }
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ services: { identity: { database } } }))
    const commands = operatorCommands(t, folder)
    const removal = (server: string, ...options: string[]) =>
      commands.run(['nats-remove', server, '--config', 'config.json', '--json', ...options], {
        NATS_SYSTEM_URL: cluster.url('system:n-system'),
      })
    const refusal = (pattern: RegExp) =>
      until(`it is refused with ${pattern}`, async () => {
        const { code, err } = await removal('n9', '--yes')
        return code === 2 ? pattern.exec(err) : null
      })
    await refusal(/no server n9 in the cluster: it has n1, n2, n3\./)
    await cluster.node('n3').kill()
    for (const name of ['n1', 'n2']) await cluster.node(name).restart()
    const [, peer = ''] = await refusal(/it has n1, n2, one whose name it does not know: give the peer id, (\w+)\./)
    t.match(await removal('n3', '--yes'), { code: 2, err: /no server n3 in the cluster/ })
    const shown = await removal(peer, '--dry-run')
    t.equal(shown.code, 0, shown.err)
    t.match(JSON.parse(shown.out), {
      removed: false,
      members: [{ name: 'n1' }, { name: 'n2' }, { name: null, peer, answers: false }],
    })
    const removed = await removal(peer, '--yes')
    t.equal(removed.code, 0, removed.err)
    t.match(await removal(peer, '--yes'), { code: 2, err: /it has n1, n2\./ })
  })

  await t.test('a stream that is managed elsewhere is compared, and not changed', async t => {
    const { nats } = servers
    const options = { nats: nats.url, streamManaged: 'elsewhere' as const }
    const admin = await connected(nats.url)
    const jsm = await admin.client().jetstreamManager({ timeout: 5_000, checkAPI: false })
    reports.length = 0
    const identity = await build('identity', { ...options, source: true })
    const employee = await build('employee', options)
    await identity.tenants.create({ id: 'acme', name: 'Acme' })
    await until('the missing stream is named', () =>
      reports.some(
        one => one.type === 'consume_failed' && /TENANTS does not exist.*NATS_STREAM_MANAGED=elsewhere/.test(one.error),
      ),
    )
    t.match(await doctor(nats.url, { streamManaged: 'elsewhere' }), [
      { what: 'stream missing', cure: /docs\/clusters.md/ },
    ])

    // As another tool makes them, with two settings by which events are lost.
    await ensureTenantStream(admin, { maxAgeMs: 3_600_000 })
    await jsm.streams.update(STREAM, { max_msgs: 1_000 })
    const differing = (of: string) =>
      reports.findLast(one => one.type === 'settings_differ' && one.of === of) as { differences: string[] } | undefined
    await until('the differences are named', () => differing(STREAM)?.differences.length === 2)
    t.match(differing(STREAM)?.differences, [
      /^max_msgs is 1000 and must be -1/,
      /^max_age is .* and must be 30 days or more$/,
    ])
    t.match((await jsm.streams.info(STREAM)).config, { max_msgs: 1_000 }, 'and it is as it was made')
    await until('the missing consumer is named', () =>
      reports.some(
        one => one.type === 'consume_failed' && /consumer tenants-employee is not there.*elsewhere/.test(one.error),
      ),
    )
    t.match(await doctor(nats.url, { streamManaged: 'elsewhere' }), [
      { what: 'NATS setting', about: STREAM, cure: /max_msgs/ },
      { what: 'NATS setting', about: STREAM, cure: /max_age/ },
      { what: 'consumer missing', cure: /what manages NATS/ },
    ])

    await jsm.streams.update(STREAM, { max_msgs: -1, max_age: 0 })
    for (const service of ['identity', 'employee']) {
      await jsm.consumers.add(STREAM, {
        durable_name: `tenants-${service}`,
        filter_subject: 'tenant.*',
        ack_policy: 'explicit' as never,
        ack_wait: 10_000_000_000,
        max_deliver: -1,
        max_ack_pending: service === 'identity' ? 8 : 16,
      } as never)
    }
    await ready(employee, ['acme'])
    await ready(identity, ['acme'])
    await until('the stream is as it should be', () => differing(STREAM)?.differences.length === 0)
    t.match(differing('tenants-identity')?.differences, [/^max_ack_pending is 8 and must be 16$/])
    t.strictSame(await doctor(nats.url, { streamManaged: 'elsewhere' }), [])
    await employee.close()
    await identity.close()
  })
})
