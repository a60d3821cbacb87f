// The drift report. Drift that needs a person is reported once, when first seen, not on every pass; drift that was cured is
// reported each time, as it happened each time.
import type { Drift } from '../diagnostics/steps.js'

export interface DriftReport {
  readonly report: (drift: Drift) => void
  /** A pass over everything is over: drift that was not seen in it is forgotten, and reported again should it come back. */
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
