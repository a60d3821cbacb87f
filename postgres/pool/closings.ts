// The closings of one pool: of connections that were idle for long, are above the budget, or are needed no more, and of all at
// its end. Invariant: one in use is closed when it is returned; it is destroyed only at the deadline of the end.
// If the server is down: a connection counts until its socket is closed.

import { every } from '../../timing/timers.js'
import { connectionClosed } from '../connections/failures.js'
import type { CloseReason } from '../reports.js'
import type { PoolState } from './pool-state.js'
import type { PooledConnection } from './pool-view.js'

export interface Closings<L> {
  dismiss(pooled: PooledConnection<L>, reason: CloseReason): void
  /** Another budget from now on: idle connections above it are closed at once. */
  resize(budget: number): void
  /** Closes every idle connection of a key, and the others as they are returned. Resolves when the idle ones are closed. */
  evict(key: string): Promise<void>
  /** Closes idle connections, gives those in use the deadline, then destroys them. No connection is opened any more. */
  drain(deadlineMs: number): Promise<void>
  /** The server has closed one. */
  forgotten(): void
}

export function createClosings<L>(state: PoolState<L>, idleTimeout: number): Closings<L> {
  let drained: (() => void) | null = null
  const stopIdle = every(Math.min(30_000, Math.max(20, idleTimeout / 4)), closeExpired)

  function closeExpired(): void {
    const expired = performance.now() - idleTimeout
    for (const pooled of [...state.view().idle]) {
      if (pooled.idleSince > expired) return
      dismiss(pooled, 'idle')
    }
  }

  function dismiss(pooled: PooledConnection<L>, reason: CloseReason): void {
    state.markClosing(pooled, reason)
    void pooled.connection.close()
  }

  return {
    dismiss,
    resize(budget) {
      state.resize(budget)
      for (const pooled of [...state.view().idle]) {
        if (!state.isAbove()) return
        dismiss(pooled, 'released')
      }
    },
    async evict(key) {
      const all = [...state.connections].filter(({ slot }) => slot.key === key)
      for (const pooled of all) pooled.closeOnReturn = true
      const resting = all.filter(pooled => pooled.slot.idle.includes(pooled))
      for (const pooled of resting) dismiss(pooled, 'released')
      await Promise.all(resting.map(({ connection }) => connection.closed))
    },
    async drain(deadlineMs) {
      stopIdle()
      for (const pooled of [...state.view().idle]) dismiss(pooled, 'shutdown')
      if (state.connections.size === 0) return
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>(resolve => {
        drained = resolve
        timer = setTimeout(resolve, deadlineMs)
      })
      clearTimeout(timer)
      const left = [...state.connections].map(({ connection }) => connection)
      for (const connection of left) connection.destroy(connectionClosed('the process is shutting down'))
      await Promise.all(left.map(connection => connection.closed))
    },
    forgotten() {
      if (state.connections.size === 0) drained?.()
    },
  }
}
