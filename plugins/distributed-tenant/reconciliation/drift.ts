// Owns the word for drift, and that what only people can end is told when it begins and not at every look again. What was
// cured is told each time: it happened each time.
import type { Drift } from '../diagnostics/steps.js'

export interface DriftReport {
  readonly report: (drift: Drift) => void
  /** Everything has been looked at: what was not seen again is over, and is told anew should it come back. */
  turn(): void
}

export function createDriftReport(report: (drift: Drift) => void): DriftReport {
  let before = new Set<string>()
  let now = new Set<string>()
  return {
    report(drift) {
      if (drift.action === 'reported') {
        const key = `${drift.kind} ${drift.id}`
        const reported = before.has(key) || now.has(key)
        now.add(key)
        if (reported) return
      }
      report(drift)
    },
    turn() {
      before = now
      now = new Set()
    },
  }
}
