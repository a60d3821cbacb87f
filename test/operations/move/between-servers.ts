// A proxy to a PostgreSQL server that tells the connections of another server apart, by the name of their subscription: these alone are
// cut or held still, while clients go on.
import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { PREFIX } from '../../../operations/move/online/link.js'

export interface BetweenServers {
  readonly port: number
  /** Connections of the other server so far. */
  seen(): number
  /** Ends them, and refuses new ones until {@link BetweenServers.heal}. */
  cut(): void
  /** Nothing goes through any more, and nothing is ended, until {@link BetweenServers.heal}. */
  freeze(): void
  heal(): void
}

export async function betweenServers(
  t: Pick<Test, 'teardown'>,
  server: { readonly host: string; readonly port: number },
): Promise<BetweenServers> {
  let state: 'open' | 'cut' | 'frozen' = 'open'
  const all = new Set<Socket>()
  const others = new Set<readonly [Socket, Socket]>()
  let seen = 0

  const proxy = createServer(client => {
    const upstream = connect(server.port, server.host)
    const pair = [client, upstream] as const
    let known = false
    for (const socket of pair) {
      all.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        all.delete(socket)
        others.delete(pair)
        client.destroy()
        upstream.destroy()
      })
    }
    upstream.on('data', chunk => void client.write(chunk))
    client.on('data', chunk => {
      // The message that begins a session has the name, behind the question for TLS.
      if (!known && chunk.includes(`application_name\0${PREFIX}`)) {
        known = true
        seen++
        others.add(pair)
        if (state === 'cut') client.destroy()
        if (state === 'frozen') for (const socket of pair) socket.pause()
      }
      if (!client.destroyed) upstream.write(chunk)
    })
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of all) socket.destroy()
    proxy.close()
  })
  return {
    port: (proxy.address() as { port: number }).port,
    seen: () => seen,
    cut() {
      state = 'cut'
      for (const [client] of others) client.resetAndDestroy()
    },
    freeze() {
      state = 'frozen'
      for (const pair of others) for (const socket of pair) socket.pause()
    },
    heal() {
      state = 'open'
      for (const pair of others) for (const socket of pair) socket.resume()
    },
  }
}
