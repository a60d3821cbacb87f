// The time for which a tenant may be held at a switch. Invariant: every step is waited for until that time is over and no longer,
// whether or not its server answers. A step that is late goes on by itself, so its sessions are used again only once it has ended.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { TenantId } from '../../../plugins/distributed-tenant/types.js'

/** The time is over: the tenant goes on at the source, and the switch may be tried again. */
export class HoldTooLong extends TransferFailed {}

export interface Hold {
  /** @throws HoldTooLong when the time is over first */
  step<T>(what: string, work: (leftMs: number) => Promise<T>): Promise<T>
  /** Of a step that has seen the end of the time by itself. */
  tooLong(what: string): HoldTooLong
  /** After a step that was late. @returns whether it has ended, within a few seconds more */
  ended(): Promise<boolean>
}

const ENDS_WITHIN_MS = 3_000

/** The answer, or what `late` gives when it takes longer than `ms`. The work itself goes on. */
export async function within<T>(ms: number, work: Promise<T>, late: () => T): Promise<T> {
  const over = new AbortController()
  try {
    return await Promise.race([work, sleep(ms, undefined, { signal: over.signal }).then(late)])
  } finally {
    over.abort()
  }
}

export function createHold(id: TenantId, ms: number, signal: AbortSignal | undefined): Hold {
  const until = performance.now() + ms
  let late: Promise<unknown> = Promise.resolve()
  const tooLong = (what: string) => new HoldTooLong(`The switch of ${id} took longer than ${ms} ms (${what}).`)

  return {
    tooLong,
    async step(what, work) {
      const left = until - performance.now()
      if (left <= 0 || signal?.aborted) throw tooLong(what)
      const answer = work(left)
      return within(left, answer, () => {
        late = answer
        throw tooLong(what)
      })
    },
    ended: () =>
      within(
        ENDS_WITHIN_MS,
        late.then(
          () => true,
          () => true,
        ),
        () => false,
      ),
  }
}
