// The way back of a move, while the old copy follows the new one: the switch in the other direction, or the end of the
// following. Invariants: the way back is open only while no definition was changed since the move; the switch back compares as
// the move did; the copy that is left is dropped when the tenant is served at its old place again.

import { setTimeout as sleep } from 'node:timers/promises'
import { commentDatabase } from '../../../plugins/distributed-tenant/databases/databases.js'
import { markText } from '../../../plugins/distributed-tenant/databases/marks.js'
import { openRoleAt } from '../../../plugins/distributed-tenant/databases/roles.js'
import { TransferFailed, TransferRefused } from '../../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../../plugins/distributed-tenant/registry/tenants-table.js'
import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { alike } from '../../copying/compare-contents.js'
import type { TransferTenant } from '../../copying/journal.js'
import { instanceAt } from '../reach-instance.js'
import { markMoving, switchPlace, unmarkMoving } from '../registry-switch.js'
import { createSource } from '../source.js'
import { createTarget } from '../target.js'
import { WITHOUT_TIMEOUTS } from './administrator.js'
import { createChangeCheck } from './check-changes.js'
import { HoldTooLong } from './hold.js'
import { allowConnections } from './kept-copy.js'
import { routesOf } from './link.js'
import type { OnlineOptions } from './online-run.js'
import { createApplyWatch, lagOf, positionOf, waitApplied } from './position.js'
import { createReporter } from './progress.js'
import { createReplication } from './replication.js'
import { withSessions } from './sessions.js'
import { stateOf } from './state.js'
import { letGoOn, switchOver } from './switch-over.js'
import { fingerprint, surveyTables } from './tables.js'
import { populatedViews, refreshed } from './views.js'

export interface WayBack {
  /** The tenant is at its old place again; what the move has made is dropped. @throws TRANSFER_REFUSED, TRANSFER_FAILED */
  goBack(row: TransferTenant): Promise<TransferTenant>
  /** What a killed way back has left: the tenant stays where it is served. */
  settle(row: TransferTenant): Promise<TransferTenant>
  /** The old copy follows no longer, and stays closed. Its instance need not be there. */
  finish(row: TransferTenant): Promise<TransferTenant>
}

const ATTEMPTS = 6
const CATCH_UP_MS = 600_000
const ENDS_WITHIN_MS = 3_000

export function createWayBack(options: OnlineOptions): WayBack {
  const { service, central, journal, run, from, to, report, admin, credentials, signal } = options
  const replication = createReplication(name => instanceAt(options, name), admin)
  const source = createSource(options)
  const target = createTarget(options)
  const { routeOf, backOf } = routesOf(options)
  const session = options.sessionAt(from)

  async function note(
    row: TransferTenant,
    step: TransferTenant['step'],
    error: string | null = null,
  ): Promise<TransferTenant> {
    const now = await journal.note(run, row.id, { step, error })
    report({ type: step, id: row.id })
    return now
  }

  /** The old database has the tenant's name and mark again. Its worker has ended before: nothing may be connected. */
  async function reopen(row: TransferTenant): Promise<void> {
    const database = tenantDatabaseName(row.id, service)
    const { to: kept } = backOf(row.id)
    const known = await findTenant(central, row.id)
    await replication.dropSubscription(backOf(row.id))
    await admin.at(from, async sql => {
      const until = performance.now() + ENDS_WITHIN_MS
      for (;;) {
        const left = await sql`
          select pg_terminate_backend(pid) from pg_stat_activity where datname = ${kept.database} and pid <> pg_backend_pid()`
        if (left.length === 0) return
        if (performance.now() > until) throw new TransferFailed(`Sessions of ${kept.database} do not end.`)
        await sleep(5)
      }
    })
    await session(async sql => {
      await sql.begin(async tx => {
        await tx`alter database ${tx(kept.database)} rename to ${tx(database)}`
        await commentDatabase(
          tx,
          database,
          markText({ tenant: row.id, service, certificate: row.certificate ?? '', incarnation: known?.incarnation }),
        )
        await openRoleAt(tx, central, row.id, { service, credentials })
      })
    })
    const { connectionLimit: limit = -1 } = stateOf(row)
    await admin.at(from, sql => allowConnections(sql, database, { allow: true, limit }))
  }

  /**
   * After a switch back that was not committed. @returns whether the old database had its name again: then it is closed and
   * renamed once more, and follows no longer
   */
  async function putAwayAgain(row: TransferTenant): Promise<boolean> {
    const found = await session(
      sql => sql`select from pg_database where datname = ${tenantDatabaseName(row.id, service)}`,
    )
    if (found.length > 0) {
      await session(async sql => {
        await sql`alter database ${sql(tenantDatabaseName(row.id, service))} with allow_connections false`
      })
      await source.putAway(row.id)
    }
    const [following] = await admin.at(
      from,
      sql => sql`select from pg_subscription where subname = ${backOf(row.id).subscription}`,
    )
    return following === undefined
  }

  /** The tenant goes on at its new place. @returns the row as it is now: the old copy follows, or it does not any more */
  async function stay(row: TransferTenant): Promise<TransferTenant> {
    await letGoOn(options, backOf(row.id))
    const ended = await putAwayAgain(row)
    await unmarkMoving(central, row.id)
    return ended ? finish(row) : note(row, 'following')
  }

  async function finish(row: TransferTenant): Promise<TransferTenant> {
    const link = backOf(row.id)
    const { identities, connectionLimit: limit = -1 } = stateOf(row)
    // Where the tenant is comes first: a slot that stays keeps its server's log.
    await replication.dropAtSource(link)
    await replication.unpublish(link, link.from, identities)
    try {
      await replication.drop(link)
      await admin.at(from, sql => allowConnections(sql, link.to.database, { allow: false, limit }))
    } catch (error) {
      if (!(error instanceof TransferFailed)) throw error
      return note(
        row,
        'switched',
        `The old copy on ${from} was left as it was: ${error.message} Once it is there, \`doctor --fix\` drops its subscription.`,
      )
    }
    return note(row, 'switched')
  }

  async function crossBack(row: TransferTenant, held: SessionClient): Promise<void> {
    await held.unsafe(WITHOUT_TIMEOUTS)
    const { limits, printThere = '' } = stateOf(row)
    const link = backOf(row.id)
    const progress = createReporter(report, row.id)
    await source.keepMigrationsOut(held, row.id)
    if ((await fingerprint(held)) !== printThere) {
      throw new TransferRefused(
        `Definitions of ${row.id} were changed since its move, which the old copy does not have: \`move ${row.id} --finish\`, then move it to ${from}.`,
      )
    }
    const { tables } = await held.begin(async tx => {
      await tx.unsafe(alike)
      return surveyTables(tx, link.from.database)
    })
    const check = createChangeCheck({ slot: link.checkSlot, publication: link.publication, tables })
    const views = await populatedViews(held)
    await journal.note(run, row.id, { online: { ...stateOf(row), views } as never })
    await withSessions(admin, link, held, async sessions => {
      // Again after the switch, which names what cannot be refreshed.
      await refreshed(sessions.target, views)
      const until = performance.now() + CATCH_UP_MS
      const look = createApplyWatch(link)
      for (let attempt = 1; ; attempt++) {
        for (;;) {
          const { end, bytes } = await lagOf(sessions.here, link.slot)
          progress.lag(bytes)
          if (await waitApplied(sessions.there, link, end, { ms: 1_000, signal })) {
            await check.look(sessions, end)
            break
          }
          look(await positionOf(sessions.there, link, end))
          if (performance.now() > until || signal?.aborted)
            throw new TransferRefused(`The old copy of ${row.id} is ${bytes} bytes of the log behind.`)
        }
        try {
          await switchOver(options, sessions, {
            run,
            link,
            limits,
            check,
            print: printThere,
            signal,
            slotsThere: [],
            waitsFor: progress.waits,
            commit: async () => {
              await sessions.closeTarget()
              await reopen(row)
              await switchPlace(central, row.id, {
                run,
                from: to,
                to: from,
                key: credentials.current,
                step: 'returned',
              })
            },
          })
          return
        } catch (error) {
          if (!(error instanceof HoldTooLong) || attempt >= ATTEMPTS || signal?.aborted) throw error
        }
      }
    })
  }

  /** Drops the copy that the tenant has left. */
  async function clear(row: TransferTenant): Promise<TransferTenant> {
    const link = backOf(row.id)
    const { views = [] } = stateOf(row)
    const error = await options.withDirectConnection(
      tenantDatabaseName(row.id, service),
      inside => refreshed(inside, views),
      from,
    )
    await replication.drop(link)
    await target.drop(row)
    return note(row, 'undone', error)
  }

  /** Killed in between: where it is served is what the registry says. */
  async function settle(row: TransferTenant): Promise<TransferTenant> {
    if (row.step === 'returned') return clear(row)
    return row.step === 'returning' ? stay(row) : row
  }

  return {
    settle,
    async goBack(row) {
      let now = row.step === 'returning' ? await stay(row) : row
      if (now.step === 'following') {
        const { database } = routeOf(row.id).to
        try {
          now = await note(now, 'returning')
          await markMoving(central, row.id, { from: to, state: 'copying' })
          await instanceAt(options, to).withDirectConnection(held => crossBack(now, held), database)
        } catch (error) {
          const [known = now] = await journal.tenants(run)
          if (known.step === 'returning') await stay(now)
          if (known.step !== 'returned') throw error
        }
        const [known = now] = await journal.tenants(run)
        now = known
        report({ type: 'returned', id: row.id })
      }
      if (now.step !== 'returned')
        throw new TransferRefused(`Nothing follows ${row.id}: there is no way back but a move to ${from}.`)
      return clear(now)
    },
    async finish(row) {
      if (row.step === 'returned')
        throw new TransferRefused(`${row.id} is on ${from} again: \`move ${row.id} --back\` drops what it has left.`)
      const now = await settle(row)
      // It had its old name already, and its subscription is gone.
      if (row.step === 'returning' && now.step === 'switched') return now
      if (now.step !== 'following') throw new TransferRefused(`Nothing follows ${row.id} any more.`)
      return finish(now)
    },
  }
}
