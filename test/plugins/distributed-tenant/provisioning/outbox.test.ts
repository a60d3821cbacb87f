// The outbox under many writers and two relays, with a server that is killed in the middle: every row is in the
// stream once, and each tenant's rows in the order in which they were committed.

import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import t from 'tap'
import {
  connectEvents,
  createPublisher,
  type EventsConnection,
  EventsUnavailable,
  encode,
  ensureTenantStream,
  readMissing,
  STREAM,
  type TenantId,
} from '../../../../events/index.js'
import type { RelayReport } from '../../../../plugins/distributed-tenant/diagnostics/steps.js'
import type { QueryClient, SqlClient } from '../../../../plugins/distributed-tenant/index.js'
import { startRelay } from '../../../../plugins/distributed-tenant/provisioning/outbox-relay.js'
import { sweepOutbox, writeOutbox } from '../../../../plugins/distributed-tenant/registry/outbox.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

const WRITERS = 20
/** More rows by hand: `node dist/test/…/outbox.test.js 10000`. */
const ROWS = Number(process.argv[2] ?? 3_000)
const TENANTS = 60

t.test(`${ROWS} rows of twenty writers through two relays and a killed server`, async t => {
  const { app: build, servers, database } = await rig(t, ['identity'])
  const replicas = [await build('identity'), await build('identity')] as const
  const reports: RelayReport[] = []
  const relays = replicas.map(({ central }) => {
    const connection = connectEvents({ url: servers.nats.url, name: 'identity', reconnectWaitMs: 50 })
    t.teardown(() => connection.close())
    return relay(t, connection, central, reports)
  })

  const { host, port, user, password = '', database: name } = database('identity')
  const sql = postgres({ host, port, user, password, database: name, max: WRITERS, onnotice() {} })
  t.teardown(() => sql.end({ timeout: 1 }))
  await sql`create table counters (id text primary key, version integer not null default 0)`
  await sql`insert into counters select 't' || n from generate_series(1, ${TENANTS}) n`
  let written = 0
  const write = async () => {
    while (written++ < ROWS) {
      const id = `t${1 + Math.floor(Math.random() * TENANTS)}` as TenantId
      await sql.begin(async tx => {
        const [row] = await tx`update counters set version = version + 1 where id = ${id} returning version`
        const payload = { id, version: row?.version, name: 'x' }
        const message = { tenantId: id, subject: 'tenant.updated', messageId: `${id}:${row?.version}`, payload }
        await writeOutbox(tx as unknown as QueryClient, message)
        // The first writer often commits last.
        if (Math.random() < 0.3) await sleep(Math.random() * 20)
      })
      for (const relay of relays) relay.kick()
    }
  }
  const writing = Promise.all(Array.from({ length: WRITERS }, write))
  await until('a third is written', () => written > ROWS / 3)
  await servers.nats.kill()
  await until('the relays have noticed the loss', () =>
    reports.some(r => r.type === 'publish_failed' || r.type === 'relay_failed'),
  )
  await servers.nats.restart()
  await writing
  const { central } = replicas[0]
  await until('no row waits', async () => {
    const [row] = await sql`select count(*)::int as rows from outbox where published_at is null`
    return row?.rows === 0
  })
  await Promise.all(relays.map(relay => relay.stop()))

  const versions = await readStream(servers.nats.url)
  const wanted = await sql<{ id: string; version: number }[]>`select id, version from counters`
  t.equal([...versions.values()].flat().length, ROWS)
  const outOfOrder = wanted.filter(
    ({ id, version }) =>
      !versions.get(id)?.every((found, at) => found === at + 1) || versions.get(id)?.length !== version,
  )
  t.strictSame(outOfOrder, [])
  t.ok(reports.filter(r => r.type === 'recorded').length > 2, 'in batches')

  // Rows past their retention are deleted, a batch at a time; younger ones stay.
  await sql`update outbox set published_at = now() - interval '31 days' where seq % 2 = 0`
  const [old] = await sql`select count(*)::int as rows from outbox where published_at < now() - interval '30 days'`
  t.equal(await sweepOutbox(central), old?.rows)
  t.equal(await sweepOutbox(central), 0)
  const [left] = await sql`select count(*)::int as rows from outbox`
  t.equal(left?.rows, ROWS - old?.rows)

  // Every scrape counts the refused rows: a few, by their index, not thirty days of all.
  await sql`update outbox set refused_at = now() where seq = (select min(seq) from outbox)`
  await sql`analyze outbox`
  const plan = await sql`explain select count(*) from outbox where refused_at is not null`
  t.match(JSON.stringify(plan), /outbox_refused/)
})

function relay(
  t: { teardown(end: () => Promise<void>): void },
  connection: EventsConnection,
  central: SqlClient,
  reports: RelayReport[],
) {
  const publisher = createPublisher(connection, { mayCreate: true })
  const made = startRelay({
    central,
    stream: STREAM,
    publish: message => publisher.publish({ ...message, payload: encode(message.payload) }),
    readStream: () => ensureTenantStream(connection),
    readMissing: () => readMissing(connection),
    mayRetry: error => error instanceof EventsUnavailable,
    report: event => reports.push(event),
  })
  t.teardown(() => made.stop())
  return made
}

/** Each tenant's versions in the order in which the stream holds them. */
async function readStream(url: string): Promise<Map<string, number[]>> {
  const connection = connectEvents({ url, name: 'reader' })
  await connection.ready(60_000)
  const found = new Map<string, number[]>()
  const consumer = await connection.client().jetstream().consumers.get(STREAM)
  const { num_pending } = await consumer.info()
  const messages = await consumer.fetch({ max_messages: num_pending, expires: 30_000 })
  for await (const message of messages) {
    const { id, version } = message.json<{ id: string; version: number }>()
    found.set(id, [...(found.get(id) ?? []), version])
  }
  await connection.close()
  return found
}
