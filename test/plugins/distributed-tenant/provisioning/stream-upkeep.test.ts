// How identity keeps the stream: its replicas, one creation at a time, and which changes of it are no loss; and health, when the
// stream does not answer.
import t from 'tap'
import { connectEvents, ensureTenantStream, STREAM } from '../../../../events/index.js'
import { subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { createStreamWatch } from '../../../../plugins/distributed-tenant/provisioning/stream-loss.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('the upkeep of the stream', async t => {
  const { app: build, servers, tenancy: open, look } = await rig(t, ['identity', 'employee'])
  const { nats } = servers
  const connection = connectEvents({ url: nats.url, name: 'test' })
  t.teardown(() => connection.close())
  t.ok(await connection.ready(60_000))
  const jsm = await connection.client().jetstreamManager()
  const fewer: string[] = []
  t.teardown(
    subscribe(({ area, event }) => {
      if (area === 'events' && event.type === 'fewer_replicas') fewer.push(event.reason)
    }),
  )
  const identity = (options: object = {}) => build('identity', { nats: nats.url, source: true, ...options })

  await t.test(
    'health says that a stream which was never made does not answer, once it is not for a minute',
    async t => {
      const employee = await build('employee', { nats: nats.url })
      await until('the stream was asked for', async () => {
        const later = performance.now
        performance.now = () => later.call(performance) + 61_000
        const { events } = await employee.tenants.health(20_000).finally(() => {
          performance.now = later
        })
        return (
          events.status === 'down' &&
          /the stream has not answered for \d+ s: the stream TENANTS/.test(events.detail ?? '')
        )
      })
      t.equal((await employee.tenants.health()).events.status, 'up', 'not before')
      await employee.close()
    },
  )

  await t.test('a stream of three replicas is not made on a single server, and the reason is named', async t => {
    await t.rejects(ensureTenantStream(connection, { replicas: 3 }), {
      message: /NATS_STREAM_REPLICAS=3 needs a cluster of at least 3 NATS servers with JetStream/,
    })
  })

  await t.test('replicas of identity make it once, however many there are', async t => {
    let requests = 0
    const counting = connection.client().subscribe(`$JS.API.STREAM.CREATE.${STREAM}`, { callback: () => requests++ })
    const apps = [await identity(), await identity()]
    const made = () =>
      until('the stream is there', () =>
        jsm.streams.info(STREAM).then(
          () => true,
          () => false,
        ),
      )
    await made()
    // A replica that holds the lock is about to make it.
    const root = look('identity', 'identity_central')
    const held = await root.reserve()
    await held`select pg_advisory_lock(hashtextextended('distributed_tenant.stream', 0))`
    requests = 0
    await jsm.streams.delete(STREAM)
    await until('the others wait', async () => {
      const [row] = await look(
        'identity',
      )`select count(*)::int as count from pg_locks where locktype = 'advisory' and not granted`
      return row?.count >= 2
    })
    t.equal(requests, 0)
    await held`select pg_advisory_unlock_all()`
    held.release()
    await made()
    for (const app of apps) {
      await app.tenants.create({ id: 'acme', name: 'Acme' }).catch(() => {})
      await until('published', async () => (await app.tenants.figures()).stored?.outbox.waiting === 0)
    }
    t.equal(requests, 1)
    counting.unsubscribe()
    for (const app of apps) await app.close()
  })

  await t.test('a single server keeps one replica where three are asked for, and events flow', async t => {
    const app = await identity({ streamReplicas: 3 })
    await app.tenants.create({ id: 'globex', name: 'Globex' })
    await until('published', async () => (await app.tenants.figures()).stored?.outbox.waiting === 0)
    await until('the reason is named', () => fewer.length > 0)
    t.match(fewer, [/^NATS_STREAM_REPLICAS=3 needs a cluster of at least 3 NATS servers/])
    t.equal((await jsm.streams.info(STREAM)).config.num_replicas, 1)
    await app.close()
  })

  await t.test('replicas that an operator has set are never lowered', async t => {
    // nats-server 2.9 and 2.10 accept it without a cluster.
    const raised = await jsm.streams.update(STREAM, { num_replicas: 3 }).catch(() => null)
    if (!raised) return void t.pass('this nats-server takes no replicas without a cluster', { skip: true })
    for (const replicas of [undefined, 1]) {
      const { action } = await ensureTenantStream(connection, { replicas })
      t.equal(action, 'unchanged')
      t.equal((await jsm.streams.info(STREAM)).config.num_replicas, 3)
    }
    // Other settings are still kept.
    await jsm.streams.update(STREAM, { max_age: 60_000_000_000 * 60 })
    t.equal((await ensureTenantStream(connection)).action, 'updated')
    t.equal((await jsm.streams.info(STREAM)).config.num_replicas, 3)
    await jsm.streams.update(STREAM, { num_replicas: 1 })
  })

  await t.test('another date of creation is no other stream while its messages stay', async t => {
    const { fleet } = await open('employee')
    const { central } = fleet
    await central`
      insert into outbox (message_id, tenant_id, subject, payload, published_at, stream_seq, stream_created)
      values ('one', 'acme', 'tenant.ready.employee', '{}', now(), 5, 'one date')`
    const stream = 'dated'
    let now = { created: 'one date', firstSeq: 1, firstTime: '2026-11-30T00:00:00.123456789Z', lastSeq: 10, missing: 0 }
    const watch = () => createStreamWatch({ central, stream, read: async () => now, readMissing: async () => [] })
    const one = watch()
    t.match(await one.look(), { loss: null, refed: 0 })
    now = { ...now, created: 'another date', lastSeq: 12 }
    t.match(await one.look(), { created: 'another date', loss: null, refed: 0 })
    t.match(await watch().look(), { loss: null, refed: 0 }, 'nor for a process that starts now')
    t.match(
      [...(await central`select stream_created, published_at is null as waits from outbox`)],
      [{ stream_created: 'another date', waits: false }],
    )
    now = { ...now, created: 'a third date', firstTime: '2026-11-30T01:00:00.123456789Z' }
    t.match(await one.look(), { loss: 'found_new', refed: 1 }, 'one that begins with another message is')
  })

  await t.test(
    'a sequence that was confirmed before shows that the stream went back, also before it is looked at',
    async t => {
      const { fleet } = await open('employee')
      const { central } = fleet
      await central`delete from outbox`
      const stream = 'set back'
      const facts = { created: 'a date', firstSeq: 1, firstTime: '2026-11-30T00:00:00.123456789Z', missing: 0 }
      let lastSeq = 10
      const watch = createStreamWatch({
        central,
        stream,
        read: async () => ({ ...facts, lastSeq }),
        readMissing: async () => [],
      })
      const published = (id: string, seq: number) => central`
      insert into outbox (message_id, tenant_id, subject, payload, published_at, stream_seq, stream_created)
      values (${id}, ${id}, 'tenant.ready.employee', '{}', now(), ${seq}, 'a date')`
      await watch.look()
      // Answers of one batch come in any order.
      for (const seq of [12, 11]) t.equal(watch.confirmed(seq), true)
      watch.batchEnded()
      await published('lost', 12)
      // The stream is set back to 11 meanwhile, and takes the next message in the place of that one.
      t.equal(watch.confirmed(12), false)
      watch.batchEnded()
      await published('after', 12)
      lastSeq = 12
      t.match(await watch.look(), { refed: 2 })
      t.equal(watch.confirmed(13), true)
      t.equal(watch.confirmed(13), false, 'twice in one batch')
    },
  )
})
