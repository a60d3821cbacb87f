// Waits for the next minute where too little of this one is left: limits count by the minute of the clock, so
// requests across its end are counted in two.
import { setTimeout as sleep } from 'node:timers/promises'

const MINUTE_MS = 60_000

/** @param seconds that the next requests may take at most */
export async function roomInTheMinute(seconds = 5): Promise<void> {
  const left = MINUTE_MS - (Date.now() % MINUTE_MS)
  // A timer may be early by a millisecond.
  if (left < seconds * 1_000) await sleep(left + 5)
}
