// The one connection that listens for NOTIFY on the central database, always direct.
// If the server is down or frozen: a ping notices it and the connection is opened again, without end; listeners get `onLost`
// at once, as notifications may be lost from then on, and `onReset` when it is back, as some were.
import { guarded } from '../../../events/timers.js'
import type { Notifications } from '../types.js'
import type { Connection } from './connection.js'
import { connectionClosed } from './failures.js'
import type { Target } from './target.js'

interface Listener {
  readonly onPayload: (payload: string) => void
  readonly onReset: (() => void) | undefined
  readonly onLost: (() => void) | undefined
}

export interface NotificationsOptions {
  readonly open: (onNotify: Target['onNotify']) => Connection
  readonly report: (event: { type: 'listening' | 'listener_lost'; error?: unknown }) => void
  /** Milliseconds between pings; the answer has as long. Default 2,000: a lost listener costs at most twice that. */
  readonly pingMs?: number
}

export interface NotificationsHandle extends Notifications {
  readonly listening: boolean
  close(): Promise<void>
}

export function createNotifications(options: NotificationsOptions): NotificationsHandle {
  const { report } = options
  const pingMs = options.pingMs ?? 2_000
  const listeners = new Map<string, Set<Listener>>()
  let connection: Connection | null = null
  let listening = false
  let stopped = false
  let stop: () => void = () => {}
  const stopping = new Promise<void>(resolve => {
    stop = resolve
  })

  const pause = (ms: number): Promise<void> => {
    let timer: NodeJS.Timeout | undefined
    const slept = new Promise<void>(resolve => {
      timer = setTimeout(resolve, ms)
    })
    return Promise.race([slept, stopping]).finally(() => clearTimeout(timer))
  }

  async function loop(): Promise<void> {
    for (let failures = 0; !stopped; ) {
      try {
        connection = options.open((channel, payload) => {
          for (const listener of listeners.get(channel) ?? []) listener.onPayload(payload)
        })
        await connection.opened
        for (const channel of listeners.keys()) await listenOn(connection, channel)
        listening = true
        failures = 0
        report({ type: 'listening' })
        for (const set of listeners.values()) for (const listener of set) listener.onReset?.()
        await keepAlive(connection)
      } catch (error) {
        if (!stopped) report({ type: 'listener_lost', error })
      }
      if (listening) for (const set of listeners.values()) for (const listener of set) listener.onLost?.()
      listening = false
      connection?.destroy(connectionClosed('the listener starts again'))
      if (!stopped) await pause(Math.min(2_000, 50 * 2 ** Math.min(failures++, 6)) * (0.5 + Math.random() / 2))
    }
  }

  /** Does not return while the connection answers. */
  async function keepAlive(live: Connection): Promise<void> {
    while (!stopped) {
      await Promise.race([pause(pingMs), live.closed])
      if (live.lost) throw live.lost
      if (stopped) return
      const silent = () => live.destroy(connectionClosed(`no answer within ${pingMs} ms`))
      const timer = setTimeout(() => guarded(silent), pingMs)
      await live.run('select 1').finally(() => clearTimeout(timer))
    }
  }

  // Channels are constants of our own code, never of a request; quoted all the same.
  const listenOn = (live: Connection, channel: string) => live.run(`listen "${channel.replaceAll('"', '""')}"`)

  const running = loop()
  return {
    get listening() {
      return listening
    },
    subscribe(channel, onPayload, onReset, onLost) {
      const listener: Listener = { onPayload, onReset, onLost }
      const known = listeners.get(channel)
      if (known) {
        known.add(listener)
      } else {
        listeners.set(channel, new Set([listener]))
        // A failure here loses the connection, and the loop listens anew on every channel.
        if (listening && connection) listenOn(connection, channel).catch(error => connection?.destroy(error))
      }
      return () => {
        listeners.get(channel)?.delete(listener)
      }
    },
    async close() {
      stopped = true
      stop()
      await running
      await connection?.closed
    },
  }
}
