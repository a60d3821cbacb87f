// Owns the deadlines of statements that all have the same time: one clock for all of them instead of a timer each. Late by
// 50 ms at most, never early; it rests when nothing runs. Behind a blocked event loop what has come meanwhile is read first:
// a statement that was answered in time is not late because nobody looked.

export interface Expiring {
  /** Set here: when its time is over (`performance.now()`). */
  due: number
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
  // In the order of their ends, as all have the same time.
  const running = new Set<Expiring>()
  let clock: NodeJS.Timeout | undefined

  function look(): void {
    const now = performance.now()
    for (const one of running) {
      if (one.due > now) break
      running.delete(one)
      one.expire()
    }
    if (running.size > 0) return
    clearInterval(clock)
    clock = undefined
  }

  return {
    add(one) {
      one.due = performance.now() + ms
      running.add(one)
      // Timers come before sockets in a turn of the loop, and immediates behind both.
      clock ??= setInterval(() => setImmediate(look), TICK_MS)
    },
    delete: one => void running.delete(one),
  }
}
