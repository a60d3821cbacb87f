// A journal by which a move stands still behind one of its steps until the test's work is done: what the test does there comes between
// two steps on every machine.
import type { Journal } from '../../../operations/copying/journal.js'
import type { TransferStep } from '../../../plugins/distributed-tenant/diagnostics/steps.js'

/** @param work done once, when the step is in the journal and before anything else of the move */
export function pauseAfter(journal: Journal, step: TransferStep, work: () => Promise<unknown>): Journal {
  let done = false
  return {
    ...journal,
    async note(run, tenant, change) {
      const row = await journal.note(run, tenant, change)
      if (change.step === step && !done) {
        done = true
        await work()
      }
      return row
    },
  }
}
