// Questions that are sent while a cluster has no leader: they are lost, and asked again.
import type { JetStreamManager } from 'nats'
import t, { type Test } from 'tap'
import { findConsumer } from '../../events/durable.js'
import { streamState } from '../../events/stream.js'

/** The first question has no answer ever, and the next one has this. A timer keeps the process alive, as the connection to a server does. */
function losing(t: Test, answer: object): { jsm: JetStreamManager; asked: () => number } {
  const connection = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(connection))
  let asked = 0
  const info = () => (++asked === 1 ? new Promise(() => {}) : Promise.resolve(answer))
  return { jsm: { streams: { info }, consumers: { info } } as unknown as JetStreamManager, asked: () => asked }
}

t.test('about the stream', async t => {
  const state = { first_seq: 1, last_seq: 3, messages: 3, first_ts: 'then' }
  const { jsm, asked } = losing(t, { created: 'once', config: {}, state })
  t.match(await streamState(jsm), { created: 'once', lastSeq: 3 })
  t.equal(asked(), 2)
})

t.test('about a consumer', async t => {
  const { jsm, asked } = losing(t, { name: 'tenants-employee' })
  t.match(await findConsumer(jsm, 'tenants-employee'), { name: 'tenants-employee' })
  t.equal(asked(), 2)
})
