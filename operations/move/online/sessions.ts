// The sessions that a switch needs, on both sides. They are opened before it: the closed database lets none in.

import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { readPid } from '../no-writers.js'
import type { Administrator } from './administrator.js'
import type { Sides } from './check-changes.js'
import type { Link } from './link.js'

export interface Sessions extends Sides {
  /** The administrator's on the instance of the target, not in a tenant's database. */
  readonly there: SessionClient
  readonly here: SessionClient
  readonly ours: readonly number[]
  /** Ends the one in the target, where its database is to be renamed. Safe to call twice. */
  closeTarget(): Promise<void>
}

/** Opens every session that the switch needs. `held` is one in the source already. */
export async function withSessions<T>(
  admin: Administrator,
  { from, to }: Link,
  held: SessionClient,
  work: (sessions: Sessions) => Promise<T>,
): Promise<T> {
  const target = openSession(admin, to)
  try {
    const inTarget = await target.opened
    return await admin.at(
      from.instance,
      slotSide =>
        admin.at(from.instance, here =>
          admin.at(to.instance, async there => {
            for (const one of [inTarget, held]) await one`set default_transaction_read_only = off`
            const ours = [await readPid(held), await readPid(slotSide)]
            const { close: closeTarget } = target
            return work({ slotSide, source: held, target: inTarget, here, there, ours, closeTarget })
          }),
        ),
      from.database,
    )
  } finally {
    await target.close()
  }
}

/** A session that may be closed before the others. */
function openSession(
  admin: Administrator,
  { instance, database }: Link['to'],
): { readonly opened: Promise<SessionClient>; close(): Promise<void> } {
  let end = (): void => {}
  const ended = new Promise<void>(resolve => {
    end = resolve
  })
  let over: Promise<void> = Promise.resolve()
  const opened = new Promise<SessionClient>((resolve, reject) => {
    over = admin.at(
      instance,
      async session => {
        resolve(session)
        await ended
      },
      database,
    )
    // A session that was lost fails the statements on it, which say why.
    over.catch(reject)
  })
  opened.catch(() => {})
  return {
    opened,
    async close() {
      end()
      await over.catch(() => {})
    },
  }
}
