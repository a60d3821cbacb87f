// The loop that claims tenants which are due and attempts them again. Any replica may run it.
// If the database is down: the loop tries again later.

import type { TenantId } from '../../../events/index.js'
import { backoffMs, jitteredMs } from '../../../timing/backoff.js'
import { type Loop, startLoop } from '../../../timing/loop.js'
import { claimDue } from '../registry/attempts.js'
import type { Attempt, RetryOptions } from './attempt.js'

/** Few at a time: new tenants come first. */
const CLAIM = 2
const LONGEST_PAUSE_MS = 5_000

export function startRetries(options: RetryOptions, attempt: Attempt): Pick<Loop, 'stop'> {
  const { central, breaker, report, silence = () => false, pollMs = 1_000 } = options
  let failures = 0

  async function run(): Promise<number> {
    try {
      const { open, retryInMs } = breaker.state()
      // A breaker that is due admits one: no more are claimed than can be tried.
      const found = retryInMs === 0 ? await turn(open ? 1 : CLAIM) : 0
      failures = 0
      return found > 0 ? 0 : jitteredMs(pollMs)
    } catch (error) {
      breaker.blame(error)
      report({ type: 'retry_failed', error })
      return backoffMs({ firstMs: pollMs * 2, longestMs: LONGEST_PAUSE_MS }, failures++)
    }
  }

  async function turn(limit: number): Promise<number> {
    const ids = await claimDue(central, limit, silence())
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

  return startLoop(run)
}
