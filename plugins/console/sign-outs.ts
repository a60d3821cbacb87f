// The sessions that an operator has signed out of, until they would have ended. Beside the tenant plugin they are rows of the central
// database, so that every replica refuses them from the sign-out on; without it they are this process's alone. Invariant: questions
// of one moment are one query.
// If the central database is down: other sessions are `unknown` and may read, and a sign-out is written when it is back.
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { LRUCache } from 'lru-cache'
import { within } from '../../timing/deadline.js'
import { every } from '../../timing/timers.js'
import type { SqlClient } from '../distributed-tenant/index.js'
import type { Session } from './session.js'

export interface SignOuts {
  /** In this process at once; elsewhere when the database has it. */
  add(session: Session): Promise<void>
  has(session: Session): Promise<boolean | 'unknown'>
  close(): void
}

/** Known in this process; far more than operators sign out in the life of a session. */
const MOST = 10_000
const DEADLINE_MS = 2_000
const RETRY_MS = 5_000

export function createSignOuts(app: FastifyInstance): SignOuts {
  return app.hasDecorator('central') ? inDatabase(app.central, app.log) : inProcess()
}

const known = () => new LRUCache<string, true>({ max: MOST })
const left = ({ until }: Session): number => Math.max(1, until - Date.now())

function inProcess(): SignOuts {
  const here = known()
  return {
    add: async session => void here.set(session.id, true, { ttl: left(session) }),
    has: async ({ id }) => here.has(id),
    close() {},
  }
}

function inDatabase(central: SqlClient, log: FastifyBaseLogger): SignOuts {
  const here = known()
  const unwritten = new Map<string, Session>()
  let asking: { readonly ids: Set<string>; readonly ended: Promise<ReadonlySet<string> | 'unknown'> } | undefined

  /** Those of the sessions that were signed out of. */
  function endedOf(id: string): Promise<ReadonlySet<string> | 'unknown'> {
    if (!asking) {
      const ids = new Set<string>()
      const ended = nextTurn().then(async () => {
        asking = undefined
        try {
          const rows = await central<{ session: string }[]>`
            select session from console_sign_outs where session in ${central([...ids])}`
          return new Set(rows.map(({ session }) => session))
        } catch {
          return 'unknown' as const
        }
      })
      asking = { ids, ended }
    }
    asking.ids.add(id)
    return asking.ended
  }

  async function write(session: Session): Promise<void> {
    await central.begin(async tx => {
      await tx`delete from console_sign_outs where until < now()`
      await tx`
        insert into console_sign_outs (session, until) values (${session.id}, ${new Date(session.until)})
        on conflict do nothing`
    })
    unwritten.delete(session.id)
  }

  const stop = every(
    RETRY_MS,
    async () => {
      for (const session of [...unwritten.values()])
        if (session.until < Date.now()) unwritten.delete(session.id)
        else await write(session)
    },
    error =>
      log.warn({ err: error }, 'sign-outs of the console are not written yet: other replicas accept them for reading'),
  )

  return {
    async add(session) {
      here.set(session.id, true, { ttl: left(session) })
      unwritten.set(session.id, session)
      await write(session).catch(error =>
        log.warn({ err: error }, 'a sign-out of the console could not be written; retrying'),
      )
    },
    async has({ id }) {
      if (here.has(id)) return true
      const ended = await within(DEADLINE_MS, endedOf(id), () => 'unknown' as const)
      return ended === 'unknown' ? ended : ended.has(id)
    },
    close: stop,
  }
}
