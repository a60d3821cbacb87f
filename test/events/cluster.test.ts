// A cluster of three NATS servers: the stream's copies, its leader killed, its quorum lost and back.
import t, { type Test } from 'tap'
import {
  askServers,
  connectEvents,
  createPublisher,
  type EventsConnection,
  EventsUnavailable,
  encode,
  ensureTenantStream,
  inspectStream,
  type LifecycleEvent,
  messageId,
  STREAM,
} from '../../events/index.js'
import { until } from '../until.js'
import { natsCluster } from './nats-cluster.js'
import { connection, consumer, type Reports } from './rig.js'

/** Until a cluster has chosen its leaders. */
async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 60_000
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}

const waitFor = <T>(ask: () => Promise<T>, met: (answer: T) => boolean): Promise<T> =>
  eventually(async () => {
    const answer = await ask()
    if (!met(answer)) throw new Error(`not as awaited: ${JSON.stringify(answer)}`)
    return answer
  })

const jsmOf = (events: EventsConnection) => events.client().jetstreamManager({ timeout: 5_000, checkAPI: false })
const leaderOf = async (events: EventsConnection) => (await (await jsmOf(events)).streams.info(STREAM)).cluster?.leader
const durable = { durable: 'tenants-employee', filter: 'tenant.*' }

async function rig(t: Test) {
  const cluster = await natsCluster(t)
  const reports: Reports = []
  const events = connection(t, cluster.url(), reports)
  t.ok(await events.ready(60_000))
  const publisher = createPublisher(events, { mayCreate: true, stream: { replicas: 3 } })
  const send = (version: number) =>
    publisher.publish({
      subject: 'tenant.updated',
      payload: encode({ kind: 'updated', id: 'acme', version } as unknown as LifecycleEvent),
      messageId: messageId('updated', 'acme', version),
    })
  return { cluster, events, send, reports }
}

t.test('an R1 stream is raised to three copies in place, keeps its events, and is not lowered', async t => {
  const { cluster, events, send } = await rig(t)
  const made = await eventually(() => ensureTenantStream(events, { replicas: 1 }))
  await eventually(() => send(1))
  const raised = await eventually(() => ensureTenantStream(events, { replicas: 3 }))
  t.match(raised, { created: made.created, fewerReplicas: null })
  t.match(await eventually(() => ensureTenantStream(events, { replicas: 1 })), { action: 'unchanged' })
  const info = await (await jsmOf(events)).streams.info(STREAM)
  t.match([info.config.num_replicas, info.state.messages, info.cluster?.replicas?.length], [3, 1, 2])
  t.match((await eventually(() => ensureTenantStream(events, { replicas: 5 }))).fewerReplicas, /NATS_STREAM_REPLICAS=5/)

  const asked = () => inspectStream(events, { durable, timeoutMs: 5_000, replicas: 3 })
  await waitFor(asked, seen => seen?.lagging.length === 0)
  const servers = await askServers(cluster.url(), { name: 'doctor', timeoutMs: 5_000 })
  t.match(servers, [{ cluster: 'tenants', error: null }, { cluster: 'tenants' }, { cluster: 'tenants' }])

  const other = Object.keys(cluster.nodes).find(name => name !== info.cluster?.leader) as string
  await cluster.node(other).kill()
  const seen = await waitFor(asked, one => one?.lagging.some(({ offline }) => offline) === true)
  t.match(seen?.lagging, [{ server: other, offline: true }], 'a copy whose server is down is named')
  t.match(await askServers(cluster.url(), { name: 'doctor', timeoutMs: 2_000 }), { length: 3 })
})

t.test('a repeat of a message that has no quorum yet is no acknowledgement', async t => {
  const { cluster, events, send } = await rig(t)
  await eventually(() => send(1))
  const leader = await eventually(() => leaderOf(events))
  const others = Object.keys(cluster.nodes).filter(name => name !== leader)
  const direct = connection(t, cluster.node(leader).url)
  t.ok(await direct.ready(60_000))
  const { publish } = createPublisher(direct)
  const message = { subject: 'tenant.updated', payload: Buffer.from('{"id":"acme","version":2}'), messageId: 'two' }
  for (const name of others) cluster.node(name).freeze()
  for (const time of ['first', 'second'])
    await t.rejects(publish({ ...message, timeoutMs: 1_000 }), EventsUnavailable, time)
  for (const name of others) cluster.node(name).thaw()
  const published = await eventually(() => publish(message))
  t.ok(published.seq > 1, 'and then it is stored')
})

t.test('its leader killed, and then its quorum lost and back: no accepted event is lost', async t => {
  const { cluster, events, send } = await rig(t)
  const handled: number[] = []
  consumer(t, {
    connection: events,
    stream: { replicas: 3 },
    handle: async ({ version }) => void handled.push(version ?? 0),
  })
  await eventually(() => send(1))
  await until('the first is handled', () => handled.includes(1))

  const leader = await eventually(() => leaderOf(events))
  await cluster.node(leader).kill()
  await eventually(() => send(2))
  await until('the second is handled', () => handled.includes(2))
  t.not(await eventually(() => leaderOf(events)), leader, 'another server leads')

  const [second] = Object.keys(cluster.nodes).filter(name => name !== leader)
  await cluster.node(second).kill()
  await t.rejects(send(3), EventsUnavailable, 'without a quorum nothing is accepted, and it may be tried again')
  for (const name of [leader, second]) await cluster.node(name).restart()
  await eventually(() => send(3))
  await until('the third is handled', () => handled.includes(3))
  t.strictSame([...new Set(handled)], [1, 2, 3])

  const late = connectEvents({ url: cluster.url(), name: 'late' })
  t.teardown(() => late.close())
  await cluster.node('n1').kill()
  t.ok(await late.ready(60_000), 'a server of the URL that is down is passed over')
})
