// A loop that runs work, pauses, and runs it again, until it is stopped. Invariants: one run at a time; a wake during a run
// is followed by another run at once; the pause keeps no process alive.

import { within } from './deadline.js'
import { LONGEST_MS } from './timers.js'

export interface Loop {
  /** Ends the pause. During a run: the next one follows without a pause. */
  wake(): void
  /** Resolves when the run under way has ended, or after `deadlineMs`. Safe to call twice. */
  stop(deadlineMs?: number): Promise<void>
}

/** @param run resolves with the milliseconds to pause. It handles its own errors: a rejection is a fault, reported as a warning. */
export function startLoop(run: (stopping: AbortSignal) => Promise<number>): Loop {
  const stopping = new AbortController()
  let woken = false
  let endPause = (): void => {}

  const pause = (ms: number): Promise<void> =>
    new Promise(resolve => {
      const timer = setTimeout(resolve, Math.min(ms, LONGEST_MS)).unref()
      endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  async function repeat(): Promise<void> {
    while (!stopping.signal.aborted) {
      woken = false
      const ms = await run(stopping.signal).catch((error: Error) => {
        process.emitWarning(error)
        return AFTER_FAULT_MS
      })
      if (!woken && !stopping.signal.aborted) await pause(ms)
    }
  }

  const wake = (): void => {
    woken = true
    endPause()
  }
  const ended = repeat()
  return {
    wake,
    async stop(deadlineMs) {
      stopping.abort()
      wake()
      if (deadlineMs === undefined) await ended
      else await within(deadlineMs, ended, () => {})
    },
  }
}

const AFTER_FAULT_MS = 1_000
