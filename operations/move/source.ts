// The source of a move: closed to writers while readers go on, then to all sessions, then renamed;
// and each of it undone. Invariants: every possible writer has ended before a copy begins, and before the switch the
// server's counters must show no writes; a renamed database is found again by its mark. Each step can be repeated.

import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import { commentDatabase, inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { keptMark, markText, parseKeptMark, parseMark } from '../../plugins/distributed-tenant/databases/marks.js'
import { openRole } from '../../plugins/distributed-tenant/databases/roles.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { keptName } from '../../plugins/distributed-tenant/instances/moved-database.js'
import { tenantDatabaseName, tenantGroupName } from '../../plugins/distributed-tenant/names.js'
import type { QueryClient, SessionClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { lockNames, tryLockSession } from '../../postgres/advisory-locks.js'
import type { Before } from '../copying/freeze.js'
import type { TransferTenant } from '../copying/journal.js'
import { refuseLargeObjects } from '../copying/not-copyable.js'
import { endSessions, type Patience, readPid, rowsWritten } from './no-writers.js'
import type { MoveParts } from './parts.js'
import { markMoving, notifyMoved, unmarkMoving } from './registry-switch.js'
import { dropOwnRights, giveWriting, lookNoMore, type RightsOf, takeWriting } from './write-rights.js'

export interface Source {
  /** Keeps migrations out, by their own lock in our session. @throws TRANSFER_REFUSED when one runs */
  keepMigrationsOut(held: SessionClient, id: TenantId): Promise<void>
  /** Refuses writes from here on. @returns since when, by the central database's clock, and the count of writes by then */
  freeze(held: SessionClient, id: TenantId): Promise<Before>
  /** Refuses new sessions from here on; running statements may end. @throws TRANSFER_FAILED when a row was written since the freeze */
  close(held: SessionClient, row: TransferTenant): Promise<void>
  putAway(id: TenantId): Promise<void>
  /** After a kill while it was being closed: opens it for the comparison. @returns false when it was renamed already */
  reopen(id: TenantId): Promise<boolean>
  /** As before the move, for readers and writers. */
  restore(row: TransferTenant): Promise<void>
}

/** While writers are refused: a transaction that began before may still commit. */
const FREEZING: Patience = { restMs: 1_000, graceMs: 5_000 }
/** While sessions are refused: a request that waits for one waits for two seconds. */
const CLOSING: Patience = { restMs: 500, graceMs: 1_000 }
const MIGRATION_MS = 10_000
const BETWEEN_TRIES_MS = 100

export function createSource(options: MoveParts & { readonly run: string; readonly from: string }): Source {
  const { service, central, withDirectConnection, sessionAt, credentials, run, from, report } = options
  const nameOf = (id: TenantId): string => tenantDatabaseName(id, service)
  const rightsOf = (id: TenantId): RightsOf => ({ role: nameOf(id), group: tenantGroupName(service) })
  const session = sessionAt(from)

  return {
    async keepMigrationsOut(held, id) {
      const deadline = performance.now() + MIGRATION_MS
      for (;;) {
        if (await tryLockSession(held, lockNames.migrate)) return
        if (performance.now() > deadline) {
          throw new TransferRefused(`A migration of ${id} is running: wait for its end, then move it.`)
        }
        await new Promise(resolve => setTimeout(resolve, BETWEEN_TRIES_MS))
      }
    },
    async freeze(held, id) {
      await markMoving(central, id, { from, state: 'frozen' })
      await takeWriting(held, rightsOf(id))
      report({ type: 'closed_to_writers', id })
      // Two clocks: sessions are compared by their own server's, and the freeze is measured by the central database's.
      const [before, at] = [await clockOf(held), await clockOf(central)]
      await notifyMoved(central, id)
      const ours = [await readPid(held)]
      await session(sql => endSessions(sql, nameOf(id), { before, ours, patience: FREEZING }))
      return { connect: [], readOnly: null, at, written: await rowsWritten(held) }
    },
    async close(held, { id, frozen }) {
      const name = nameOf(id)
      await markMoving(central, id, { from, state: 'closing' })
      const ours = [await readPid(held)]
      await session(async sql => {
        await sql`alter database ${sql(name)} allow_connections false`
        await endSessions(sql, name, { before: null, ours, patience: CLOSING })
      })
      await refuseLargeObjects(held, name)
      if ((await rowsWritten(held)) === frozen?.written) return
      throw new TransferFailed(
        `Rows of ${name} were written during its move, past the rights of its role: see which other role writes there. Nothing was switched.`,
      )
    },
    async putAway(id) {
      const name = nameOf(id)
      const kept = keptName(id, service)
      await session(async sql => {
        const found = await inspectDatabase(sql, name)
        if (found.state === 'absent') return
        const { incarnation = null } = (found.state === 'present' && parseMark(found.comment)) || {}
        await endSessions(sql, name, { before: null, ours: [], patience: { restMs: 0, graceMs: 0 } })
        await sql.begin(async tx => {
          await tx`alter database ${tx(name)} rename to ${tx(kept)}`
          await commentDatabase(tx, kept, keptMark({ id, service, incarnation }, run))
        })
        await lookNoMore(sql, name)
      })
    },
    reopen: id =>
      session(async sql => {
        const name = nameOf(id)
        if ((await inspectDatabase(sql, name)).state === 'absent') return false
        await sql`alter database ${sql(name)} allow_connections true`
        return true
      }),
    async restore({ id, certificate }) {
      const name = nameOf(id)
      const kept = keptName(id, service)
      await session(async sql => {
        const found = await inspectDatabase(sql, kept)
        const mark = found.state === 'present' ? parseKeptMark(found.comment, id, service) : null
        if (mark?.run === run && certificate !== null) {
          const { incarnation } = mark
          await sql.begin(async tx => {
            await tx`alter database ${tx(kept)} rename to ${tx(name)}`
            await commentDatabase(tx, name, markText({ tenant: id, service, certificate, incarnation }))
          })
        }
        await sql`alter database ${sql(name)} allow_connections true`
        await giveWriting(sql, rightsOf(id), service)
        await openRole(sql, from === DEFAULT_INSTANCE ? sql : central, id, { service, credentials })
      })
      await withDirectConnection(name, inside => dropOwnRights(inside, name), from)
      await unmarkMoving(central, id)
      report({ type: 'thawed', id })
    },
  }
}

async function clockOf(sql: QueryClient): Promise<string> {
  const [now] = await sql<{ at: string }[]>`select clock_timestamp()::text as at`
  return (now as { at: string }).at
}
