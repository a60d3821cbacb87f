// The move of one tenant's database between two instances while it is read and written: copied from the snapshot of a slot,
// compared at that snapshot, followed by a subscription, switched. Invariants: the tenant is served at one place at a time; each
// step is recorded before it is begun; what a run has made is dropped in every ending; a run that was killed before the switch
// begins anew, one that was killed after it goes on.

import { TransferRefused } from '../../../plugins/distributed-tenant/errors.js'
import { keptName } from '../../../plugins/distributed-tenant/instances/moved-database.js'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import type { SessionClient, TenantId } from '../../../plugins/distributed-tenant/types.js'
import { alike } from '../../copying/compare-contents.js'
import { localeOf } from '../../copying/empty-database.js'
import type { Instance } from '../../copying/external-instance.js'
import type { TransferTenant } from '../../copying/journal.js'
import { markMoving, unmarkMoving } from '../registry-switch.js'
import { createSource } from '../source.js'
import { createTarget } from '../target.js'
import { WITHOUT_TIMEOUTS } from './administrator.js'
import { attemptSwitch } from './attempt-switch.js'
import { catchUp } from './catch-up.js'
import { createChangeCheck } from './check-changes.js'
import { compareSnapshot, copySnapshot } from './copy-snapshot.js'
import { allowConnections } from './kept-copy.js'
import { createOnlineRun, type OnlineOptions } from './online-run.js'
import { createReporter } from './progress.js'
import { withSessions } from './sessions.js'
import { isRelocated, stateOf } from './state.js'
import { letGoOn } from './switch-over.js'
import { type CarriedTable, fingerprint, surveyTables } from './tables.js'
import { refreshed } from './views.js'
import { watchRoom } from './watch-room.js'

export interface OnlineMove {
  /** From wherever the journal says it is to the end. */
  carryOut(row: TransferTenant): Promise<TransferTenant>
  /** Takes it back. @throws TRANSFER_REFUSED after the switch */
  undo(row: TransferTenant, error: string | null): Promise<TransferTenant>
}

export function createOnlineMove(given: OnlineOptions): OnlineMove {
  const mustEnd = new AbortController()
  const options = { ...given, signal: signalsOf(given.signal, mustEnd.signal) }
  const { service, central, withDirectConnection, from, to, report, admin } = options
  const online = createOnlineRun(options)
  const { here, there, replication, linkOf, backOf, note } = online
  const source = createSource(options)
  const target = createTarget(options)
  const databaseOf = (id: TenantId): string => tenantDatabaseName(id, service)

  /** What a killed run has left, of both directions. The tenant is served meanwhile. */
  async function clear(row: TransferTenant): Promise<void> {
    const link = linkOf(row.id)
    const { identities } = stateOf(row)
    if (!(await letGoOn(options, link))) throw new TransferRefused(`${row.id} is on the instance ${to} already.`)
    // Where the tenant is comes first, and does not wait for the target.
    await replication.dropAtSource(link)
    await replication.unpublish(link, link.from, identities)
    await replication.drop(link)
    await replication.dropAtSource(backOf(row.id))
    await target.drop(row)
  }

  async function prepare(
    row: TransferTenant,
    held: SessionClient,
  ): Promise<{ row: TransferTenant; tables: readonly CarriedTable[] }> {
    const database = databaseOf(row.id)
    await source.keepMigrationsOut(held, row.id)
    const survey = await held.begin(async tx => {
      await tx.unsafe(alike)
      return surveyTables(tx, database)
    })
    const blocking = survey.obstacles.filter(({ blocks }) => blocks)
    if (blocking.length > 0) {
      throw new TransferRefused(
        `${database} ${blocking.map(({ what }) => what).join('; ')}. With --frozen it can be moved.`,
      )
    }
    const identities = survey.tables.flatMap(({ identity }) => (identity ? [identity] : []))
    const begun = await note(row, { step: 'preparing', error: null, online: { ...stateOf(row), identities } as never })
    await markMoving(central, row.id, { from, state: 'copying' })
    await target.drop(begun)
    await target.make(begun, await localeOf(held, database))
    return { row: await note(begun, { step: 'prepared' }), tables: survey.tables }
  }

  /** From its beginning to the switch. @param held a session in the source */
  async function bring(row: TransferTenant, held: SessionClient): Promise<TransferTenant> {
    await held.unsafe(WITHOUT_TIMEOUTS)
    const { row: prepared, tables } = await prepare(row, held)
    const link = linkOf(row.id)
    const publishing = await note(prepared, { step: 'publishing' })
    await replication.publish(link, tables, stateOf(publishing).identities)
    const print = await fingerprint(held)
    createReporter(report, row.id).phase('snapshot')
    await replication.makeSlot(link, link.checkSlot)
    const verified = await admin.withSlot(link.from, link.slot, async snapshot => {
      const published = await note(publishing, { step: 'published' })
      return compareSnapshot(online, await copySnapshot(online, published, snapshot), { snapshot, held })
    })
    const check = createChangeCheck({ slot: link.checkSlot, publication: link.publication, tables })
    return withSessions(admin, link, held, async sessions => {
      const caughtUp = await catchUp(online, verified, { sessions, check })
      return attemptSwitch(online, caughtUp, { sessions, check, print, accept: target.accept })
    })
  }

  /** After the switch: one direction ends, the other begins. The tenant is served meanwhile. */
  async function settle(row: TransferTenant): Promise<TransferTenant> {
    const link = linkOf(row.id)
    const back = backOf(row.id)
    const { follow, identities, views = [] } = stateOf(row)
    await replication.drop(link)
    await source.putAway(row.id)
    // For superusers alone: the worker of the way back is one.
    await admin.at(from, sql => allowConnections(sql, back.to.database, { allow: true, limit: 0 }))
    await replication.unpublish(link, back.to, identities)
    if (follow) {
      await replication.dropSubscription(back)
      await replication.subscribe(back)
      await replication.start(back)
    } else await closeKept(row)
    if (!follow) await replication.unpublish(link, link.to, identities)
    // They have the rows from before the switch, so the move ends all the same.
    const error = await withDirectConnection(link.to.database, inside => refreshed(inside, views), to)
    return note(row, { step: follow ? 'following' : 'switched', error })
  }

  /** @returns the stop */
  function watch(id: TenantId): () => void {
    const watched = (at: string, { address: { host, port } }: Instance) => ({ at, label: at, host, port })
    const [source, target] = [watched(from, here), watched(to, there)]
    return watchRoom(admin, linkOf(id), { source, target, end: reason => mustEnd.abort(reason) })
  }

  async function closeKept(row: TransferTenant): Promise<void> {
    const { connectionLimit: limit = -1 } = stateOf(row)
    await admin.at(from, sql => allowConnections(sql, keptName(row.id, service), { allow: false, limit }))
  }

  return {
    async carryOut(row) {
      let now = row
      if (!isRelocated(now)) {
        if (now.step !== 'pending') {
          await clear(now)
          now = await note(now, { step: 'pending' })
        }
        const stop = watch(now.id)
        now = await here.withDirectConnection(held => bring(now, held), databaseOf(now.id)).finally(stop)
      }
      return now.step === 'relocated' ? settle(now) : now
    },
    async undo(row, error) {
      if (isRelocated(row))
        throw new TransferRefused(`${row.id} is on the instance ${to} already: \`move ${row.id} --back\`.`)
      const begun = await note(row, { step: 'undoing', error })
      await clear(begun)
      await unmarkMoving(central, row.id)
      report({ type: 'removed', id: row.id })
      return note(begun, { step: 'undone', online: null })
    },
  }
}

const signalsOf = (...signals: readonly (AbortSignal | undefined)[]): AbortSignal =>
  AbortSignal.any(signals.filter(one => one !== undefined))
