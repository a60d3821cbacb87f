// The state of the stream: its messages, how often each is stored, and the pending messages of its consumers. Read
// with a connection of its own; a server that is down throws.
import { AckPolicy, connect, DeliverPolicy } from 'nats'
import type { RunningStack } from '../../stack/stack.js'

export interface StreamFacts {
  /** The count of each message id; a row that is fed again into a new stream has a new one. */
  readonly stored: ReadonlyMap<string, number>
  readonly messages: number
  readonly consumers: readonly { readonly name: string; readonly pending: number; readonly unacknowledged: number }[]
}

/** The user that may read everything; a stack that is to be checked is started with it. */
export const auditor = { name: 'auditor' }

const STREAM = 'TENANTS'
const FETCH_MS = 15_000

export async function readStream(stack: RunningStack): Promise<StreamFacts> {
  const nats = stack.servers?.nats
  if (!nats) throw new Error('the stream is checked on a server of our own')
  const { name: user } = auditor
  const pass = nats.users[user]?.password
  if (!pass) throw new Error('the stack was started without the auditor among its NATS users')
  const nc = await connect({ servers: `${nats.host}:${nats.port}`, user, pass, timeout: 30_000, reconnect: false })
  try {
    const jsm = await nc.jetstreamManager({ timeout: 30_000 })
    const { state } = await jsm.streams.info(STREAM)
    const consumers = []
    for await (const { name, num_pending, num_ack_pending } of jsm.consumers.list(STREAM)) {
      consumers.push({ name, pending: num_pending, unacknowledged: num_ack_pending })
    }
    const stored = new Map<string, number>()
    if (state.messages > 0) {
      const { name } = await jsm.consumers.add(STREAM, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.All,
        headers_only: true,
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: 10_000_000_000,
      })
      const reader = await nc.jetstream().consumers.get(STREAM, name)
      const all = await reader.fetch({ max_messages: state.messages, expires: 5_000 })
      let left = state.messages
      // In nats 2.29 a fetch that a cluster has not taken never ends.
      const timer = setTimeout(() => void all.close(), FETCH_MS)
      for await (const message of all) {
        const id = message.headers?.get('Nats-Msg-Id') || `#${message.seq}`
        stored.set(id, (stored.get(id) ?? 0) + 1)
        if (--left === 0) break
      }
      clearTimeout(timer)
      if (left > 0) throw new Error(`${left} of ${state.messages} messages were not delivered in time`)
      await jsm.consumers.delete(STREAM, name)
    }
    return {
      stored,
      messages: state.messages,
      consumers: consumers.filter(({ name }) => /^(tenants|ledger)-/.test(name)),
    }
  } finally {
    await nc.close()
  }
}
