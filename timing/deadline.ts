// An answer within a deadline. Invariant: the timer ends with the answer, and the work itself is not cancelled: its own
// deadlines end it.

import { LONGEST_MS } from './timers.js'

/** @param late gives the answer, or throws, when `ms` are over first */
export async function within<T>(ms: number, answer: Promise<T>, late: () => T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<'late'>(resolve => {
    timer = setTimeout(resolve, Math.min(ms, LONGEST_MS), 'late')
  })
  try {
    const first = await Promise.race([answer.then(value => ({ value })), deadline])
    return first === 'late' ? late() : first.value
  } finally {
    clearTimeout(timer)
  }
}
