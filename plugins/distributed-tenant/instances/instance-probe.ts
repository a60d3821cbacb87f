// The check that another instance answers, before a new tenant is placed on it. Never waits for long, never rejects.

import type { SessionClient } from '../types.js'
import type { Breaker } from './breaker.js'

const ANSWER_MS = 2_000

/** One that does not answer opens its breaker. */
export async function answers(
  look: <T>(fn: (sql: SessionClient) => Promise<T>) => Promise<T>,
  breaker: Pick<Breaker, 'blame' | 'reached'>,
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const slow = Object.assign(new Error(`no answer within ${ANSWER_MS} ms`), { code: 'CONNECT_TIMEOUT' })
    timer = setTimeout(() => reject(slow), ANSWER_MS)
  })
  try {
    await Promise.race([look(async sql => void (await sql`select 1`)), late])
    breaker.reached()
    return true
  } catch (error) {
    breaker.blame(error)
    return false
  } finally {
    clearTimeout(timer)
  }
}
