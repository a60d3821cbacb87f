// The check that another instance answers, before a new tenant is placed on it. Never waits for long, never rejects.

import { within } from '../../../timing/deadline.js'
import type { Session } from '../databases/instance-access.js'
import type { Breaker } from './breaker.js'

const ANSWER_MS = 2_000

/** One that does not answer opens its breaker. */
export async function answers(look: Session, breaker: Pick<Breaker, 'blame' | 'reached'>): Promise<boolean> {
  const asked = look(async sql => void (await sql`select 1`))
  try {
    await within(ANSWER_MS, asked, () => {
      throw Object.assign(new Error(`no answer within ${ANSWER_MS} ms`), { code: 'CONNECT_TIMEOUT' })
    })
    breaker.reached()
    return true
  } catch (error) {
    breaker.blame(error)
    return false
  }
}
