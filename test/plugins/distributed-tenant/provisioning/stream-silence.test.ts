// What goes on while NATS is connected and the stream or a consumer does not answer, as in an election of a cluster: rows of the outbox
// wait unclaimed, and tenants are made without their events.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { EventsUnavailable, STREAM } from '../../../../events/index.js'
import { subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { startRelay } from '../../../../plugins/distributed-tenant/provisioning/outbox-relay.js'
import { writeOutbox } from '../../../../plugins/distributed-tenant/registry/outbox.js'
import type { TenantId } from '../../../../plugins/distributed-tenant/types.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

const facts = { created: 'now', firstSeq: 1, firstTime: 'now', lastSeq: 0, missing: 0 }

t.test('while a stream does not answer', async t => {
  const { app: build, servers, tenancy: open, look } = await rig(t, ['identity', 'employee'])
  const nats = servers.nats.url

  await t.test('a row that could not be published waits until the stream was asked and has answered', async t => {
    const { central } = (await open('identity')).pools
    const calls: string[] = []
    const silent = () => Promise.reject(new EventsUnavailable('no leader'))
    let silences = 0
    const relay = startRelay({
      central: central.sql,
      stream: STREAM,
      publish() {
        calls.push('publish')
        if (calls.filter(call => call === 'publish').length > 1) return Promise.resolve({ seq: 1, duplicate: false })
        silences = 3
        return silent()
      },
      readStream() {
        calls.push('ask')
        return silences-- > 0 ? silent() : Promise.resolve(facts)
      },
      readMissing: () => Promise.resolve([]),
      mayRetry: error => error instanceof EventsUnavailable,
      report: () => {},
    })
    t.teardown(() => relay.stop())
    await until('the stream was asked once', () => calls.length > 0)
    const message = {
      tenantId: 'acme' as TenantId,
      subject: 'tenant.created',
      messageId: 'one',
      payload: { id: 'acme' },
    }
    await central.sql.begin(sql => writeOutbox(sql, message))
    relay.kick()
    await until('it is published', async () => {
      const rows = await central.sql`select from outbox where published_at is not null`
      return rows.length === 1
    })
    const from = calls.indexOf('publish')
    t.strictSame(calls.slice(from, from + 6), ['publish', 'ask', 'ask', 'ask', 'ask', 'publish'])
    await relay.stop()
    await central.sql`delete from outbox`
  })

  await t.test('a service reads the feed at once, and its passes by the clock go on', async t => {
    const items: object[] = []
    const feed = createServer((_, response) => {
      response.end(JSON.stringify({ items, next: items.length, head: items.length }))
    }).listen(0, '127.0.0.1')
    await once(feed, 'listening')
    t.teardown(() => void feed.close())
    const identity = {
      url: `http://127.0.0.1:${(feed.address() as AddressInfo).port}`,
      token: 'a-token-of-the-services',
    }
    const passes: boolean[] = []
    t.teardown(
      subscribe(
        ({ area, event }) => area === 'reconcile' && event.type === 'pass' && passes.push(event.everything),
        undefined,
        ['reconcile'],
      ),
    )
    let app = await build('employee', { nats, identity, reconcileInterval: 3_600_000 })
    await until('the first pass is over', () => passes.length > 0)
    const { id, ...rest } = { id: 'acme', version: 1, name: 'Acme', domain: null, settings: {}, lifecycle: 'active' }
    items.push({ seq: 1, id, ...rest, deletedAt: null, purgeAfter: null, purgeable: false })
    await until('it is ready', async () => (await app.tenants.find(id))?.provisioned === 'ready')
    t.equal(passes.filter(everything => everything).length, 1)
    await app.close()

    passes.length = 0
    app = await build('employee', { nats, identity, reconcileInterval: 1_500 })
    await until('everything is compared by the clock', () => passes.filter(everything => everything).length === 2)
    await app.close()
  })

  await t.test('identity makes its own tenants without the events', async t => {
    const claimed: string[] = []
    t.teardown(
      subscribe(
        ({ area, event }) => area === 'retry' && event.type === 'claimed' && claimed.push(...event.ids),
        undefined,
        ['retry'],
      ),
    )
    const app = await build('identity', { nats, source: true, streamManaged: 'elsewhere' })
    await app.tenants.create({ id: 'globex', name: 'Globex' })
    const server = look('identity', 'identity_central')
    await until('it is ready', async () => {
      // Its last change stays a second ago, so that it is never due for the age of its event. Without the trigger, which dates changes.
      await server.begin(async sql => {
        await sql`set local session_replication_role = replica`
        await sql`update tenants set updated_at = now() - interval '1 second' where id = 'globex' and provisioned = 'pending'`
      })
      return (await app.tenants.find('globex'))?.provisioned === 'ready'
    })
    t.strictSame(claimed, ['globex'])
    await app.close()
  })
})
