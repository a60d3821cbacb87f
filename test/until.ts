// The one wait of the tests: for a state, never for a time.
import { setTimeout as sleep } from 'node:timers/promises'

/** Far longer than anything takes on a slow and busy machine: a wait promises no speed, it only ends a test that would hang. */
const LIMIT_MS = 180_000

/**
 * The pause before the next question grows with the wait, from 5 ms to 50: a question is often a query, and what takes
 * long on a busy machine would take longer by hundreds of them.
 */
const pauseAfter = (waitedMs: number): number => Math.min(50, Math.max(5, waitedMs / 20))

/** @returns whether it is so before `ms` are over, for what may as well not come */
export async function within(ms: number, ask: () => boolean | Promise<boolean>): Promise<boolean> {
  const began = performance.now()
  while (!(await ask())) {
    const waited = performance.now() - began
    if (waited > ms) return false
    await sleep(pauseAfter(waited))
  }
  return true
}

/**
 * Asks until the answer is truthy.
 *
 * @param what names the state in the error; without it the text of `ask` stands there
 * @throws when it is still not so after LIMIT_MS
 */
export async function until<T>(
  ...[what, ask]: [what: string, ask: () => T | Promise<T>] | [ask: () => T | Promise<T>]
): Promise<NonNullable<T>> {
  const question = typeof what === 'string' ? (ask as () => T | Promise<T>) : what
  const began = performance.now()
  for (;;) {
    const answer = await question()
    if (answer) return answer as NonNullable<T>
    const waited = performance.now() - began
    if (waited > LIMIT_MS) throw new Error(`not so within ${LIMIT_MS / 1000} s: ${what}`)
    await sleep(pauseAfter(waited))
  }
}
