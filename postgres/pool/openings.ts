// The openings of one pool: a connection is opened for the key that `policy.ts` names, or one is evicted to make room. Each
// connection is watched from before it connects until the server has closed it. Invariant: while a key waits, something is
// under way that calls `pump` again: a connect, a close, a lease, or a timer.
// If the server is down: each waiter gets one error; only a login whose password has changed is tried again.
import { guarded } from '../../timing/timers.js'
import type { Connection } from '../connections/connection.js'
import type { PoolReport } from '../reports.js'
import type { Lease } from './lease.js'
import { nextMove } from './policy.js'
import type { PoolState } from './pool-state.js'
import type { PooledConnection, TenantSlot } from './pool-view.js'

export interface OpeningsOptions {
  readonly state: PoolState<Lease>
  readonly open: (key: string) => Connection
  readonly again: ((key: string) => boolean) | undefined
  readonly report: (report: PoolReport) => void
  /** Waiters of a key that is held wait on when its connect fails. */
  readonly isHeld: (key: string) => boolean
  /** A connection is open. */
  readonly ready: (pooled: PooledConnection<Lease>) => void
  readonly evict: (victim: PooledConnection<Lease>) => void
  readonly refuse: (slot: TenantSlot<Lease>, error: Error) => void
  /** The server has closed one. */
  readonly forgotten: () => void
}

export interface Openings {
  /** Opens a connection for the next key in line, or evicts one to make room. */
  pump(): void
  /** Opens nothing any more. */
  stop(): void
}

/** A key whose growth was refused (CONNECTION LIMIT) is served by the connections it has for this long. */
const GROW_AGAIN_MS = 1_000

export function createOpenings(options: OpeningsOptions): Openings {
  const { state, report } = options
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let due = Number.POSITIVE_INFINITY

  function pump(): void {
    while (!stopped && state.hasWaiters()) {
      const move = nextMove(state.view(), performance.now())
      if (move?.type === 'open') {
        open(move.slot)
      } else if (move?.type === 'evict') {
        options.evict(move.victim)
      } else {
        if (move) pumpAgain(move.ms)
        return
      }
    }
  }

  function pumpAgain(ms: number): void {
    const at = performance.now() + ms
    if (at >= due) return
    clearTimeout(timer)
    due = at
    timer = setTimeout(() => {
      due = Number.POSITIVE_INFINITY
      guarded(pump)
    }, ms)
  }

  function open(slot: TenantSlot<Lease>): void {
    const { key } = slot
    const started = performance.now()
    const ms = () => performance.now() - started
    report({ type: 'opening', key, ms: 0 })
    const connection = options.open(key)
    const pooled = state.opening(slot, connection)
    connection.watch(error => {
      if (!state.detach(pooled)) return
      report({ type: 'open_failed', key, ms: ms(), error })
      if (!options.again?.(key)) refuseWaiters(slot, error)
      pump()
    })
    connection.opened.then(
      () => {
        if (pooled.state !== 'opening') return
        state.opened(pooled)
        report({ type: 'opened', key, ms: ms() })
        options.ready(pooled)
        pump()
      },
      () => {}, // `watch` has reported it: the loss of a connection is known before its failure to open is.
    )
    void connection.closed.then(() => {
      state.forget(pooled)
      report({ type: 'closed', key, reason: pooled.closing ?? 'lost' })
      options.forgotten()
      pump()
    })
  }

  /**
   * After a connect that failed, its waiters are rejected at once, as trying again for each in turn would make the last wait
   * for all. With a connection that works, they wait for that one.
   */
  function refuseWaiters(slot: TenantSlot<Lease>, error: Error): void {
    // Those of a key that is held wait for another place.
    if (options.isHeld(slot.key)) return
    if (slot.live > 0) slot.growAfter = performance.now() + GROW_AGAIN_MS
    else options.refuse(slot, error)
  }

  return {
    pump,
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}
