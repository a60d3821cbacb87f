// The wait until a tenant is ready everywhere. The ledger is authoritative and is polled; a notification only triggers the
// next poll at once. All waiters share one query. If the database is down: they go on waiting, up to their deadline.
import type { FastifyBaseLogger } from 'fastify'
import type { Notifications } from '../../plugins/distributed-tenant/index.js'
import { every } from '../../timing/timers.js'
import { LEDGER_CHANNEL } from './ledger.js'

export interface Readiness {
  /** True once the tenant is ready in every required service, false after `ms` or when `signal` is aborted. */
  wait(id: string, ms: number, signal: AbortSignal): Promise<boolean>
  /** Ends every wait with false; for the end of the process. */
  close(): void
}

const POLL_MS = 250

export function createReadiness(
  ready: (ids: readonly string[]) => Promise<string[]>,
  notifications: Notifications,
  log: FastifyBaseLogger,
): Readiness {
  const waiters = new Map<string, Set<(ready: boolean) => void>>()
  let stopPolling: (() => void) | undefined
  let looking = false
  let again = false
  let closed = false

  async function look(): Promise<void> {
    if (looking) {
      again = true
      return
    }
    looking = true
    do {
      again = false
      try {
        for (const id of await ready([...waiters.keys()])) settle(id, true)
      } catch (error) {
        log.warn({ err: error }, 'the ledger cannot be read; retrying')
      }
    } while (again)
    looking = false
  }

  function settle(id: string, outcome: boolean): void {
    for (const done of waiters.get(id) ?? []) done(outcome)
  }

  function join(id: string, done: (ready: boolean) => void): void {
    const others = waiters.get(id) ?? new Set()
    waiters.set(id, others.add(done))
    stopPolling ??= every(POLL_MS, look)
  }

  function leave(id: string, done: (ready: boolean) => void): void {
    const others = waiters.get(id)
    others?.delete(done)
    if (others?.size === 0) waiters.delete(id)
    if (waiters.size > 0) return
    stopPolling?.()
    stopPolling = undefined
  }

  const unsubscribe = notifications.subscribe(
    LEDGER_CHANNEL,
    id => void (waiters.has(id) && look()),
    () => void look(),
  )

  return {
    wait(id, ms, signal) {
      if (closed || signal.aborted) return Promise.resolve(false)
      return new Promise(resolve => {
        const done = (outcome: boolean) => {
          clearTimeout(timer)
          signal.removeEventListener('abort', stop)
          leave(id, done)
          resolve(outcome)
        }
        const stop = () => done(false)
        const timer = setTimeout(stop, ms)
        signal.addEventListener('abort', stop)
        join(id, done)
        void look()
      })
    },
    close() {
      closed = true
      unsubscribe()
      for (const id of [...waiters.keys()]) settle(id, false)
    },
  }
}
