// Holds the clock of this process still: limits count by the minute of the clock, and requests that a slow machine
// answers across its end would be counted in two.
import type { Test } from 'tap'

/** `Date.now()` stays as it is until the test has ended; timers go on. */
export function holdClock(t: Pick<Test, 'teardown'>): void {
  const now = Date.now
  const at = now()
  Date.now = () => at
  t.teardown(() => {
    Date.now = now
  })
}
