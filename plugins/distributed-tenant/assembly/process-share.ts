// The share of this process in the connections that its service may open, by the processes that exist: a lease in the central
// database, renewed every 5 s and whenever a process comes or goes. The budget of tenants' connections follows it at runtime.
// Invariant: this process never has more open than it was granted: it is granted more before it opens more, and gives back only what
// is closed.
// If the central database is down: the process keeps its share, and a close waits for it some seconds at most. After an outage,
// also one of the listener alone, it removes no other's row for a while, as the
// others could not renew theirs either.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from '../../../postgres/pool/pool.js'
import { within } from '../../../timing/deadline.js'
import { type Loop, startLoop } from '../../../timing/loop.js'
import { ConfigurationInvalid } from '../errors.js'
import { endLease, type Lease, PROCESSES_CHANNEL, renewLease } from '../registry/process-leases.js'
import type { Notifications, SqlClient } from '../types.js'

export interface ProcessShareOptions {
  /** A UUID of this process. */
  readonly id: string
  readonly central: SqlClient
  readonly notifications: Notifications
  readonly tenants: Pick<Pool, 'info' | 'resize'>
  /** The budget as configured: the most that the share may be. */
  readonly budget: number
  /** What a process may open beside its budget. */
  readonly beside: number
  readonly say: (type: 'warning' | 'note', message: string) => void
}

export interface ProcessShare {
  /**
   * Takes a lease. Waits for its first connection of a tenant, as long as others are still closing theirs.
   * Ends without one when `leave` is called meanwhile.
   * @throws CONFIGURATION_INVALID, or the reason why the last renewal failed
   */
  join(limit: number, patienceMs: number): Promise<void>
  /** Gives it back, for good: after connections are closed, but for those to the central database. Never rejects. */
  leave(): Promise<void>
}

const RENEW_MS = 5_000
/** How soon it is looked again whether what must be closed is closed. */
const CLOSING_MS = 200
const LONGEST_WAIT_MS = 30_000
/** For each step of leaving. Others remove the row when it cannot be removed here. */
const LEAVING_MS = 2_000
/** So long after an outage others have renewed their rows, or are gone. */
const AFTER_OUTAGE_MS = 15_000

export function createProcessShare(options: ProcessShareOptions): ProcessShare {
  const { id, central, notifications, tenants, budget, beside, say } = options
  let limit = 0
  let share = budget
  let announced = budget
  let outageAt = Number.NEGATIVE_INFINITY
  let renewedAt = performance.now()
  /** Why the last renewal failed; null when it did not. */
  let failure: Error | null = null
  let renewal: Promise<unknown> = Promise.resolve()
  let loop: Loop | null = null
  let off: (() => void) | null = null
  let left: Promise<void> | null = null

  /** The most that may be open now: what is open, or may be opened by the budget that holds. */
  const holding = (): number => beside + Math.max(share, tenants.info().open)

  function resize(to: number, lease: Lease): void {
    share = to
    tenants.resize(to)
    if (to === announced) return
    announced = to
    const what = `${lease.processes} process(es) of this service share ${lease.limit} connections: the budget of this one is ${to} of ${budget}`
    say(to < Math.min(budget, 10) ? 'warning' : 'note', what)
  }

  /** One line for an outage, and one for its end. */
  function failed(error: Error): void {
    if (loop && !failure && !left) {
      const { message } = (error.cause ?? error) as Error
      say(
        'warning',
        `the share of this process cannot be renewed (${message}): it keeps a budget of ${share} connections.`,
      )
    }
    failure = error
    outageAt = performance.now()
  }

  function renewed(): void {
    if (loop && failure) say('note', 'the share of this process is renewed again')
    failure = null
    renewedAt = performance.now()
  }

  /** @returns the milliseconds to the next one */
  async function renew(): Promise<number> {
    const begun = performance.now()
    // A process that was frozen counts as one that has missed renewals.
    if (begun - renewedAt > AFTER_OUTAGE_MS) outageAt = begun
    const mayRemove = begun - outageAt > AFTER_OUTAGE_MS
    const wanted = budget + beside
    const renewing = renewLease(central, { id, limit, wanted, least: beside + 1, holding: holding(), mayRemove })
    renewal = renewing.catch(() => {})
    let lease: Lease
    try {
      lease = await renewing
    } catch (error) {
      failed(error as Error)
      return RENEW_MS
    }
    renewed()
    const next = Math.min(lease.granted, lease.target) - beside
    if (next !== share) resize(Math.max(0, next), lease)
    return lease.granted > lease.target ? CLOSING_MS : RENEW_MS
  }

  async function giveBack(): Promise<void> {
    off?.()
    // Also one of a start that is ended: it would write the row again. A central database that is frozen answers none.
    const ended = Promise.all([loop?.stop(), renewal])
    await within<unknown>(LEAVING_MS, ended, () => {})
    if (limit === 0) return
    const given = endLease(central, id).catch(() => {})
    await within(LEAVING_MS, given, () => {})
  }

  return {
    async join(most, patienceMs) {
      if (left) return
      limit = most
      renewedAt = performance.now()
      share = 0
      tenants.resize(0)
      off = notifications.subscribe(
        PROCESSES_CHANNEL,
        from => from !== id && loop?.wake(),
        () => loop?.wake(),
        // After a crash of the server or a promotion no process holds its lock until it listens again.
        () => {
          outageAt = performance.now()
        },
      )
      const deadline = performance.now() + Math.min(patienceMs, LONGEST_WAIT_MS)
      await renew()
      while (share === 0 && !left && performance.now() < deadline) {
        await sleep(CLOSING_MS)
        if (!left) await renew()
      }
      if (left) return
      if (share === 0) {
        const reason = failure
        await this.leave()
        if (reason) throw reason
        throw new ConfigurationInvalid(
          `The processes of this service have all ${limit} connections that the server allows: raise max_connections, lower DISTRIBUTED_MAX_CONNECTIONS, or run fewer.`,
        )
      }
      loop = startLoop(renew)
    },
    leave() {
      left ??= giveBack()
      return left
    },
  }
}
