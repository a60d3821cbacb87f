// The one wait of the tests: for a state, never for a time.
import { setTimeout as sleep } from 'node:timers/promises'

/** Far longer than anything takes on a slow and busy machine: a wait promises no speed, it only ends a test that would hang. */
const LIMIT_MS = 180_000

/** @returns whether it is so before `ms` are over, for what may as well not come */
export async function within(ms: number, ask: () => boolean | Promise<boolean>): Promise<boolean> {
  const end = performance.now() + ms
  while (!(await ask())) {
    if (performance.now() > end) return false
    await sleep(5)
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
  const end = performance.now() + LIMIT_MS
  for (;;) {
    const answer = await question()
    if (answer) return answer as NonNullable<T>
    if (performance.now() > end) throw new Error(`not so within ${LIMIT_MS / 1000} s: ${what}`)
    await sleep(5)
  }
}
