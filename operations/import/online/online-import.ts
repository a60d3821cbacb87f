// The import of one tenant's data into one service while the old application writes it: copied from the snapshot of a slot, compared
// at that snapshot, followed by a subscription, and closed at the source for the switch alone (switch-over.ts). The old application knows nothing of us:
// it is refused from the switch on, by the server. Invariants: the source takes writes until every service of the tenant has
// caught up; from the last session's end to the proof it accepts no connection; any doubt opens it again before anything else.
// If either server is down: it is taken back, at the source once that answers.

import { TransferFailed, TransferRefused } from '../../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { alike, type Contents, contentsOf } from '../../copying/compare-contents.js'
import type { Instance } from '../../copying/external-instance.js'
import { admitSuperusers } from '../../copying/freeze.js'
import type { Change, TransferTenant } from '../../copying/journal.js'
import type { TransferParts } from '../../copying/parts.js'
import { refuseUnlike } from '../../copying/rehearsal.js'
import { OF_THE_SERVER } from '../../copying/schema-shape.js'
import { type Administrator, WITHOUT_TIMEOUTS } from '../../move/online/administrator.js'
import { cancelledOn } from '../../move/online/cancel-on.js'
import { catchUp } from '../../move/online/catch-up.js'
import { createChangeCheck } from '../../move/online/check-changes.js'
import { createReporter } from '../../move/online/progress.js'
import { createReplication } from '../../move/online/replication.js'
import { withSessions } from '../../move/online/sessions.js'
import { type CarriedTable, fingerprint, surveyTables } from '../../move/online/tables.js'
import { watchRoom } from '../../move/online/watch-room.js'
import type { Target } from '../target.js'
import type { Meeting } from './meeting.js'
import { linkOfImport, SOURCE, stateOf, TARGET } from './places.js'
import { type SwitchOptions, switchOver } from './switch-over.js'

export interface OnlineImportOptions extends SwitchOptions, Pick<TransferParts, 'database'> {
  readonly source: Instance
  readonly admin: Administrator
  readonly target: Target
  /** Fills the target, which is made and empty, from that snapshot. */
  readonly copy: (row: TransferTenant, snapshot: string, signal: AbortSignal) => Promise<TransferTenant>
  /** The source's definitions as they are spelled at the target. */
  readonly again: (row: TransferTenant) => Promise<Contents>
}

export interface OnlineImport {
  /**
   * From its beginning to the proof: then it has the step `verified`, and the source accepts no connection.
   * @throws TRANSFER_FAILED, TRANSFER_REFUSED, and then the source is open
   */
  bring(row: TransferTenant, meeting: Meeting): Promise<TransferTenant>
  /**
   * After the proof, or before it: ends the replication, and drops all that it had. Safe to repeat.
   * @param keeps the target, whose tables get back what they had at the source
   */
  clear(row: TransferTenant, how: { readonly keeps: boolean }): Promise<void>
}

export function createOnlineImport(options: OnlineImportOptions): OnlineImport {
  const { service, withDirectConnection, report, transfer, source, admin, target } = options
  const mustEnd = new AbortController()
  // Of the room, or of another service that has failed.
  const signal = AbortSignal.any([mustEnd.signal, ...(options.signal ? [options.signal] : [])])
  const placeOf = () => source
  const replication = createReplication(placeOf, admin)
  const link = (row: TransferTenant) => linkOfImport(row, { service, transfer })

  /** Of another service, or another tenant of the group. */
  let failed: Error | null = null

  function goOn(id: string): void {
    if (failed) throw failed
    if (!signal.aborted) return
    const why = signal.reason instanceof TransferFailed ? ` (${signal.reason.message})` : ''
    throw new TransferFailed(`The import of ${id} was interrupted${why}.`)
  }

  const note = async (row: TransferTenant, change: Change): Promise<TransferTenant> => {
    goOn(row.id)
    return options.note(row, change)
  }

  async function clear(row: TransferTenant, { keeps }: { readonly keeps: boolean }): Promise<void> {
    const { identities } = stateOf(row)
    const to = link(row)
    const there = await source.withDirectConnection(
      sql => sql`select from pg_database where datname = ${row.sourceDatabase}`,
    )
    if (there.length === 0) return replication.drop(to)
    // The publication is dropped from within; all but superusers stay outside.
    if (row.frozen?.shut) await source.withDirectConnection(sql => admitSuperusers(sql, row.sourceDatabase))
    await replication.drop(to)
    await replication.unpublish(to, to.from, identities)
    if (keeps) await replication.unpublish(to, to.to, identities)
  }

  async function survey(row: TransferTenant, held: SessionClient): Promise<readonly CarriedTable[]> {
    const { tables, obstacles } = await held.begin(async tx => {
      await tx.unsafe(alike)
      return surveyTables(tx, row.sourceDatabase)
    })
    const blocking = obstacles.filter(({ blocks }) => blocks)
    if (blocking.length === 0) return tables
    throw new TransferRefused(
      `${row.sourceDatabase} ${blocking.map(({ what }) => what).join('; ')}. Without --online it can be imported.`,
    )
  }

  /** Both sides at the snapshot: the target's own is taken before the subscription begins. */
  async function compareSnapshot(row: TransferTenant, snapshot: string, held: SessionClient): Promise<void> {
    const repeatable = 'set transaction isolation level repeatable read, read only;'
    createReporter(report, row.id).phase('comparing')
    const compare = (inTarget: SessionClient): Promise<[Contents, Contents]> =>
      inTarget.begin(async tx => {
        await tx.unsafe(`${repeatable} select 1 from pg_class limit 1`)
        await tx.unsafe(WITHOUT_TIMEOUTS)
        await replication.subscribe(link(row))
        await replication.start(link(row))
        report({ type: 'replicating', id: row.id })
        return Promise.all([
          held.begin(old =>
            contentsOf(old, { settings: `${repeatable} set transaction snapshot '${snapshot}'; ${alike}` }),
          ),
          contentsOf(tx),
        ])
      })
    const [original, copied] = await withDirectConnection(tenantDatabaseName(row.id, service), inTarget => {
      const sessions = [
        { at: SOURCE, sql: held },
        { at: TARGET, sql: inTarget },
      ]
      return cancelledOn(signal, { admin, sessions }, () => compare(inTarget))
    })
    // Values of sequences are of no snapshot: they are carried and compared at the switch.
    const rowsOf = (contents: Contents): Contents => ({ ...contents, sequences: [] })
    const again = () => options.again(row)
    const how = { database: row.sourceDatabase, without: OF_THE_SERVER, again }
    await refuseUnlike(rowsOf(original), rowsOf(copied), how)
  }

  const bring = (row: TransferTenant, meeting: Meeting): Promise<TransferTenant> =>
    source.withDirectConnection(async held => {
      await held.unsafe(WITHOUT_TIMEOUTS)
      const to = link(row)
      const tables = await survey(row, held)
      const identities = tables.flatMap(({ identity }) => (identity ? [identity] : []))
      const online = { ...stateOf(row), identities } as never
      const preparing = await note(row, { step: 'preparing', error: null, online })
      await target.create(preparing)
      const publishing = await note(preparing, { step: 'publishing' })
      await replication.publish(to, tables, identities)
      const print = await fingerprint(held)
      await replication.makeSlot(to, to.checkSlot)
      const copied = await admin.withSlot(to.from, to.slot, async snapshot => {
        const published = await note(publishing, { step: 'published' })
        const filled = await options.copy(published, snapshot, signal)
        await compareSnapshot(filled, snapshot, held)
        return filled
      })
      const check = createChangeCheck({ slot: to.checkSlot, publication: to.publication, tables })
      return withSessions(admin, to, held, async sessions => {
        const run = {
          options: { from: source.label, to: service, report, signal },
          here: source,
          linkOf: () => to,
          goOn,
          note,
        }
        const enough = () => meeting.arrive(`${row.id} ${service}`)
        const caughtUp = await catchUp(run, copied, { sessions, check, enough })
        return switchOver({ ...options, note, signal }, caughtUp, { sessions, link: to, check, print })
      })
    }, row.sourceDatabase)

  /** @returns the stop */
  function watch(row: TransferTenant): () => void {
    const { host, port } = options.database
    return watchRoom(admin, link(row), {
      source: { at: SOURCE, label: source.label, host: source.address.host, port: source.address.port },
      target: { at: TARGET, label: service, host, port },
      end: reason => mustEnd.abort(reason),
    })
  }

  return {
    clear,
    async bring(row, meeting) {
      const stop = watch(row)
      const giveUp = (): void => {
        failed = meeting.failed.reason as Error
        mustEnd.abort(failed)
      }
      if (meeting.failed.aborted) giveUp()
      meeting.failed.addEventListener('abort', giveUp)
      try {
        return await bring(row, meeting)
      } catch (error) {
        // A program or a statement that was ended for it reports that alone.
        goOn(row.id)
        throw error
      } finally {
        stop()
        meeting.failed.removeEventListener('abort', giveUp)
      }
    },
  }
}
