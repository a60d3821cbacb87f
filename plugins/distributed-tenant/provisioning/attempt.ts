// Retries: one attempt at a tenant, after an event or when it is due, and the loop that claims the due ones.
// Invariant: after `attempt` has resolved the tenant is ready, refused for good, or scheduled for another attempt, so its
// event may be acknowledged. Any replica may run it.
// If the database is down: `attempt` throws, and the loop tries again later.

import type { TenantId } from '../../../events/index.js'
import type { RetryReport } from '../diagnostics/steps.js'
import { DatabaseForeign } from '../errors.js'
import type { Breaker } from '../instances/breaker.js'
import { claimDue, deferAttempt, isSettled, needsAttempt } from '../registry/attempts.js'
import type { SqlClient } from '../types.js'
import type { Provisioner } from './provisioner.js'

export interface RetryOptions {
  readonly central: SqlClient
  readonly provisioner: Provisioner
  /** The home instance's: without it not even a row can be read. */
  readonly breaker: Breaker
  /** An instance's own. */
  readonly breakerOf?: (instance: string) => Breaker
  readonly report: (event: RetryReport) => void
  /** Milliseconds between checks for due tenants. Default 1,000. */
  readonly pollMs?: number
}

/** @throws TENANT_DATABASE_FOREIGN, and the error that kept the failure from being recorded */
export type Attempt = (id: TenantId) => Promise<void>

export function createAttempt(options: RetryOptions): Attempt {
  const { central, provisioner, report } = options
  return async id => {
    const breaker = options.breakerOf?.(await provisioner.place(id)) ?? options.breaker
    // Else a tenant that has long been ready would count as a successful attempt.
    if (breaker.state().open && !(await needsAttempt(central, id))) return
    if (!breaker.admits()) {
      const { reason, retryInMs } = breaker.state()
      const error = `waits for its instance (${reason})`
      // With jitter, so that a hundred tenants do not come back in one instant.
      await deferAttempt(central, id, { error, delayMs: retryInMs + Math.random() * 1_000 })
      report({ type: 'deferred', id, error })
      return
    }
    try {
      await breaker.watch(() => provisioner.provision(id))
    } catch (error) {
      if (error instanceof DatabaseForeign || !(await isSettled(central, id))) throw error
    }
  }
}

export interface Retries {
  stop(deadlineMs: number): Promise<void>
}

/** Few at a time: new tenants come first. */
const CLAIM = 2
const LONGEST_PAUSE_MS = 5_000

export function startRetries(options: RetryOptions, attempt: Attempt): Retries {
  const { central, breaker, report, pollMs = 1_000 } = options
  const stopping = new AbortController()
  let failures = 0

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      let found = 0
      try {
        const { open, retryInMs } = breaker.state()
        // A breaker that is due admits one: no more are claimed than can be tried.
        if (retryInMs === 0) found = await turn(open ? 1 : CLAIM)
        failures = 0
      } catch (error) {
        failures++
        breaker.blame(error)
        report({ type: 'retry_failed', error })
      }
      if (found === 0) await pause(Math.min(LONGEST_PAUSE_MS, pollMs * 2 ** Math.min(failures, 4)), stopping.signal)
    }
  }

  async function turn(limit: number): Promise<number> {
    const ids = await claimDue(central, limit)
    breaker.reached()
    if (ids.length > 0) report({ type: 'claimed', ids })
    await Promise.all(ids.map(again))
    return ids.length
  }

  async function again(id: TenantId): Promise<void> {
    try {
      await attempt(id)
      report({ type: 'done', id })
    } catch (error) {
      // Its lease stays: it is due again when that is over, if no other time was recorded.
      report({ type: 'failed', id, error })
    }
  }

  const running = loop()
  return {
    async stop(deadlineMs) {
      stopping.abort()
      await Promise.race([running, pause(deadlineMs, new AbortController().signal, false)])
    },
  }
}

/** Resolves after `ms`, with up to a quarter more at random, or when aborted. */
function pause(ms: number, signal: AbortSignal, ref = true): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms * (1 + Math.random() / 4))
    if (!ref) timer.unref()
    signal.addEventListener('abort', end)
  })
}
