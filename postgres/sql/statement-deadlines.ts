// The deadlines of statements that all have the same time: one timer for all of them instead of one each. Late by 50 ms at
// most, never early; the timer stops when no statement runs. Behind a blocked event loop answers that came meanwhile are
// read first: a statement that was answered in time does not expire, whenever the loop was blocked.

import { guarded } from '../../timing/timers.js'
export interface Expiring {
  /** Set here: when its time is over (`performance.now()`). */
  due: number
  /** Set here: its neighbours while its time runs. */
  before: Expiring | null
  behind: Expiring | null
  expire(): void
}

export interface Deadlines {
  /** Its time begins now. */
  add(one: Expiring): void
  delete(one: Expiring): void
}

const TICK_MS = 50

/** @param ms the time of each */
export function createDeadlines(ms: number): Deadlines {
  // A ring in the order of their ends, as all have the same time. Not a Set: the tables that a Set has outgrown hold each
  // other, and with them one statement in three, until the next full collection.
  const ring: Expiring = { due: Number.POSITIVE_INFINITY, before: null, behind: null, expire() {} }
  ring.before = ring.behind = ring
  let clock: NodeJS.Timeout | undefined

  function remove(one: Expiring): void {
    const { before, behind } = one
    if (!before || !behind) return
    before.behind = behind
    behind.before = before
    one.before = one.behind = null
  }

  /** @param now the time of the tick: answers to statements that came due since may not have been read yet */
  function look(now: number): void {
    for (;;) {
      const first = ring.behind as Expiring
      if (first.due > now) break
      remove(first)
      guarded(() => first.expire())
    }
    if (ring.behind !== ring) return
    clearInterval(clock)
    clock = undefined
  }

  return {
    add(one) {
      remove(one)
      one.due = performance.now() + ms
      const last = ring.before as Expiring
      one.before = last
      one.behind = ring
      last.behind = ring.before = one
      // Timers come before sockets in a turn of the loop, and immediates behind both.
      clock ??= setInterval(() => setImmediate(look, performance.now()), TICK_MS)
    },
    delete: remove,
  }
}
