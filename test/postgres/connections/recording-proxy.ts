// A proxy between the plugin and a server that keeps what was sent to the server, and may change either direction.
import { once } from 'node:events'
import net from 'node:net'
import type { Test } from 'tap'

export interface RecordingProxy {
  readonly host: string
  readonly port: number
  /** All that was sent to the server, in the order of arrival. */
  readonly sent: string[]
}

export interface Between {
  /** What the server has sent, in the pieces that the client gets. */
  readonly change?: (bytes: Buffer) => Buffer[]
  /** The client has sent something. */
  readonly onSent?: (upstream: net.Socket) => void
}

export async function recordingProxy(
  t: Test,
  server: { readonly host: string; readonly port: number },
  { change = bytes => [bytes], onSent = () => {} }: Between = {},
): Promise<RecordingProxy> {
  const sent: string[] = []
  const listener = net.createServer(client => {
    const upstream = net.connect(server.port, server.host)
    client.setNoDelay(true)
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.on('data', bytes => {
      sent.push(bytes.toString('latin1'))
      onSent(upstream)
      upstream.write(bytes)
    })
    upstream.on('data', bytes => {
      for (const part of change(bytes)) client.write(part)
    })
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    t.teardown(() => upstream.destroy())
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => listener.close())
  return { host: '127.0.0.1', port: (listener.address() as net.AddressInfo).port, sent }
}
