// The recorder of outcomes of a migration run: those that end while a statement is under way are recorded together by the next.
// Invariant: the promise of an outcome resolves only when it is recorded.
import type { Recorded } from './runs.js'

interface Waiting {
  readonly outcome: Recorded
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export function createRecorder(
  record: (outcomes: readonly Recorded[]) => Promise<void>,
): (outcome: Recorded) => Promise<void> {
  let waiting: Waiting[] = []
  let recording = false

  async function recordAll(): Promise<void> {
    recording = true
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      try {
        await record(batch.map(({ outcome }) => outcome))
        for (const { resolve } of batch) resolve()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    recording = false
  }

  return outcome =>
    new Promise((resolve, reject) => {
      waiting.push({ outcome, resolve, reject })
      if (!recording) void recordAll()
    })
}
