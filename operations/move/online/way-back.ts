// The way back of a move, while the old copy follows the new one: the switch in the other direction (cross-back.ts), or the end of
// the following. Invariants: each step can be repeated after a kill, and the registry says where the tenant is served; the copy that
// is left is dropped when the tenant is served at its old place again.

import { TransferFailed, TransferRefused } from '../../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import type { TransferTenant } from '../../copying/journal.js'
import { instanceAt } from '../reach-instance.js'
import { markMoving, unmarkMoving } from '../registry-switch.js'
import { createSource } from '../source.js'
import { createTarget } from '../target.js'
import { crossBack } from './cross-back.js'
import { allowConnections } from './kept-copy.js'
import { routesOf } from './link.js'
import type { OnlineOptions } from './online-run.js'
import { createReplication } from './replication.js'
import { stateOf } from './state.js'
import { letGoOn } from './switch-over.js'
import { refreshed } from './views.js'

export interface WayBack {
  /** The tenant is at its old place again; what the move has made is dropped. @throws TRANSFER_REFUSED, TRANSFER_FAILED */
  goBack(row: TransferTenant): Promise<TransferTenant>
  /** What a killed way back has left: the tenant stays where it is served. */
  settle(row: TransferTenant): Promise<TransferTenant>
  /** The old copy follows no longer, and stays closed. Its instance need not be there. */
  finish(row: TransferTenant): Promise<TransferTenant>
}

export function createWayBack(options: OnlineOptions): WayBack {
  const { service, central, journal, run, from, to, report, admin } = options
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

  /** @returns the step of the journal. @throws TRANSFER_FAILED with both reasons */
  async function settledAfter(row: TransferTenant, error: Error): Promise<TransferTenant['step']> {
    try {
      const [{ step } = row] = await journal.tenants(run)
      if (step === 'returning') await stay(row)
      return step
    } catch (second) {
      throw new TransferFailed(
        `${error.message} It could not be let go on either (${(second as Error).message}): repeat the command, which begins with that.`,
      )
    }
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
          await instanceAt(options, to).withDirectConnection(
            held => crossBack({ options, replication, source }, now, held),
            database,
          )
        } catch (error) {
          if ((await settledAfter(now, error as Error)) !== 'returned') throw error
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
