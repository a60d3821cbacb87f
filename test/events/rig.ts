// Shared by the server tests: a server, a connection and a consumer that end with the test, and a record of reports.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import {
  type ConsumeOptions,
  connectEvents,
  consume,
  type EventsConnection,
  type EventsReport,
  LIFECYCLE_FILTER,
  type LifecycleEvent,
  parseLifecycle,
} from '../../events/index.js'
import { type NatsServer, startNats, temporaryFolder } from './nats-server.js'

export type Reports = EventsReport[]

export async function server(t: Test, config?: string, program?: string): Promise<NatsServer> {
  const { dir, remove } = temporaryFolder()
  const nats = await startNats({
    dir,
    ...(config !== undefined && { config }),
    ...(program !== undefined && { program }),
  })
  t.teardown(async () => {
    await nats.stop()
    remove()
  })
  return nats
}

export function connection(t: Test, url: string, reports: Reports = [], name = 'identity'): EventsConnection {
  const made = connectEvents({
    url,
    name,
    report: event => reports.push(event),
    reconnectWaitMs: 100,
    connectTimeoutMs: 500,
  })
  // Before the server's own teardown, which was registered earlier: tap runs them in reverse.
  t.teardown(() => made.close())
  return made
}

export function consumer(
  t: Test,
  over: Partial<ConsumeOptions<LifecycleEvent>> & Pick<ConsumeOptions<LifecycleEvent>, 'connection'>,
) {
  const made = consume({
    service: 'employee',
    durable: 'tenants-employee',
    filter: LIFECYCLE_FILTER,
    parse: parseLifecycle,
    handle: async () => {},
    onDead: async () => {},
    mayCreateStream: true,
    retryDelayMs: () => 100,
    ...over,
  })
  t.teardown(() => made.stop(1000))
  return made
}

export const count = (reports: Reports, type: EventsReport['type']): number =>
  reports.filter(r => r.type === type).length

/** A publish as a shell does it with /dev/tcp: no client library, no headers, no message id. */
export async function rawPublish(
  port: number,
  subject: string,
  body: string | Uint8Array,
  { reply, ...login }: { user?: string; pass?: string; reply?: string } = {},
): Promise<void> {
  const data = Buffer.from(body)
  const socket = connect(port, '127.0.0.1')
  const address = reply === undefined ? subject : `${subject} ${reply}`
  socket.write(
    `CONNECT ${JSON.stringify({ verbose: false, pedantic: false, ...login })}\r\nPUB ${address} ${data.length}\r\n`,
  )
  socket.write(data)
  socket.write('\r\nPING\r\n')
  let seen = ''
  while (!/PONG|-ERR/.test(seen)) seen += String((await once(socket, 'data'))[0])
  socket.destroy()
  if (seen.includes('-ERR')) throw new Error(seen)
}
