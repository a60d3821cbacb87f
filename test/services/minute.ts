// Owns waiting for room in the minute: limits count by the minute of the clock, so that what is asked across its turn is
// counted in two.
import { setTimeout as sleep } from 'node:timers/promises'

const MINUTE_MS = 60_000

/** @param seconds that what follows may take at most */
export async function roomInTheMinute(seconds = 5): Promise<void> {
  const left = MINUTE_MS - (Date.now() % MINUTE_MS)
  // A timer may be early by a millisecond.
  if (left < seconds * 1_000) await sleep(left + 5)
}
