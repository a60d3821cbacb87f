// One bounded pull: as many messages as there is room for, ended by expiry, silence, a lost connection or stop.
// Invariant: it always ends. Not the library's consume(): its heartbeat monitor also fires while the pull is paused (no
// request is out then), and its iterator neither ended nor delivered for 70 s after the stream was made anew.
import type { Consumer, JsMsg } from 'nats'
import type { EventsConnection } from './connection.js'

/** @internal */
export interface PullOptions {
  readonly connection: EventsConnection
  readonly consumer: Consumer
  /** Most messages to take. */
  readonly max: number
  readonly signal: AbortSignal
  readonly accept: (message: JsMsg) => void
}

// The server sends something at least this often while a request is out; the second silence is a stall, seen within 3 s.
const HEARTBEAT_MS = 1000
const EXPIRES_MS = 10_000

/** Resolves with the number of missed heartbeats: 0 unless it stalled. Throws NatsError when consumer or stream is gone. @internal */
export async function pull({ connection, consumer, max, signal, accept }: PullOptions): Promise<number> {
  if (signal.aborted) return 0
  const batch = await consumer.fetch({ max_messages: max, expires: EXPIRES_MS, idle_heartbeat: HEARTBEAT_MS })
  let missed = 0
  const end = () => void batch.close()
  const listen = async () => {
    for await (const status of await batch.status()) {
      if (status.type !== 'heartbeats_missed') continue
      missed = Number(status.data)
      end()
    }
  }
  // Not awaited: it ends with the batch, or in nats 2.29 not at all, and holds nothing but the batch.
  void listen()
  const unwatch = connection.watch(end)
  signal.addEventListener('abort', end)
  // Both may have happened during the call of fetch.
  if (signal.aborted || connection.status() !== 'connected') end()
  try {
    for await (const message of batch) accept(message)
  } finally {
    unwatch()
    signal.removeEventListener('abort', end)
  }
  return missed
}
