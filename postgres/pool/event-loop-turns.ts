// A counter of event-loop turns. A busy loop reads every answer late, so a clock alone would call each of them slow; a
// statement is slow only when the loop has also polled for its answer several times.

/** The counter runs for this many turns after the last call and then stops: an idle process has no turns of ours. */
export const COUNTED = 4

let turn = 0
let left = 0

function tick(): void {
  turn++
  if (--left > 0) setImmediate(tick)
}

/** The number of this turn, exact for the first four since the last call. */
export function currentTurn(): number {
  if (left <= 0) setImmediate(tick)
  left = COUNTED
  return turn
}
