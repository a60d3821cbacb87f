// The one connection that listens for NOTIFY on the central database, always direct. Invariant: notifications are given in their order,
// and so few in one turn of the event loop that a burst of them holds nothing up.
// If the server is down or frozen: a ping notices it and the connection is opened again, without end; listeners get `onLost`
// at once, as notifications may be lost from then on, and `onReset` when it is back, as some were.

import { backoffMs } from '../../timing/backoff.js'
import { pause } from '../../timing/pause.js'
import { guarded } from '../../timing/timers.js'
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
  /** A statement of ours that each session begins with, before it listens. */
  readonly first?: string
  readonly report: (event: { type: 'listening' | 'listener_lost'; error?: unknown }) => void
  /** Milliseconds between pings; the answer has as long. Default 2,000: a lost listener costs at most twice that. */
  readonly pingMs?: number
}

export interface NotificationsHandle extends Notifications {
  readonly listening: boolean
  close(): Promise<void>
}

const AFTER_FAILURE = { firstMs: 50, longestMs: 2_000 }

export function createNotifications(options: NotificationsOptions): NotificationsHandle {
  const { report } = options
  const pingMs = options.pingMs ?? 2_000
  const listeners = new Map<string, Set<Listener>>()
  let connection: Connection | null = null
  let listening = false
  const stopping = new AbortController()
  const { signal } = stopping
  const turns = inTurns((channel, payload) => {
    for (const listener of listeners.get(channel) ?? []) listener.onPayload(payload)
  })

  async function loop(): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        connection = options.open(turns.take)
        await connection.opened
        if (options.first) await connection.run(options.first)
        for (const channel of listeners.keys()) await listenOn(connection, channel)
        listening = true
        failures = 0
        report({ type: 'listening' })
        for (const set of listeners.values()) for (const listener of set) listener.onReset?.()
        await keepAlive(connection)
      } catch (error) {
        if (!signal.aborted) report({ type: 'listener_lost', error })
      }
      // A listener knows of all that came before it knows of the loss.
      turns.finish()
      if (listening) for (const set of listeners.values()) for (const listener of set) listener.onLost?.()
      listening = false
      connection?.destroy(connectionClosed('the listener starts again'))
      if (!signal.aborted) await pause(backoffMs(AFTER_FAILURE, failures++), signal)
    }
  }

  /** Does not return while the connection answers. */
  async function keepAlive(live: Connection): Promise<void> {
    while (!signal.aborted) {
      await Promise.race([pause(pingMs, signal), live.closed])
      if (live.lost) throw live.lost
      if (signal.aborted) return
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
      stopping.abort()
      await running
      await connection?.closed
    },
  }
}

/** So many in one turn of the event loop: of ten thousand at once the others wait for the next turns, and requests are served between. */
const AT_ONCE = 200

type Give = (channel: string, payload: string) => void

/** Gives each at once and in their order, except those that are too many for this turn. */
function inTurns(give: Give): { readonly take: Give; readonly finish: () => void } {
  let waiting: (readonly [channel: string, payload: string])[] = []
  let given = 0
  let next: NodeJS.Immediate | undefined

  const later = () => setImmediate(() => guarded(() => turn(AT_ONCE)))

  function turn(most: number): void {
    const batch = waiting.slice(0, most)
    waiting = waiting.slice(most)
    given = batch.length
    next = waiting.length > 0 ? later() : undefined
    // A listener that throws keeps no other notification back.
    for (const [channel, payload] of batch) guarded(() => give(channel, payload))
  }

  return {
    take(channel, payload) {
      if (waiting.length === 0 && given < AT_ONCE) {
        given++
        give(channel, payload)
      } else waiting.push([channel, payload])
      next ??= later()
    },
    finish() {
      clearImmediate(next)
      turn(waiting.length)
    },
  }
}
