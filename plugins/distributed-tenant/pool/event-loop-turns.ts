// Owns the count of the event loop's turns. A busy loop hears of every answer late, so a clock alone would call each of them
// slow; a statement is only slow when the loop has also looked for its answer several times.

/** It counts on for so many turns after it was asked last, and rests then: an idle process has no turns of ours. */
export const COUNTED = 4

let turn = 0
let left = 0

function tick(): void {
  turn++
  if (--left > 0) setImmediate(tick)
}

/** The number of this turn, exact for the first four since the last time somebody asked. */
export function currentTurn(): number {
  if (left <= 0) setImmediate(tick)
  left = COUNTED
  return turn
}
