// The switch of a tenant back to its old place, whose copy follows the new one. Invariants: it is refused once a definition was changed
// since the move; rows and definitions are compared as the move did; until the registry's row is committed the tenant is served at its
// new place, and a switch that took too long is tried again.
// If either server is down: it is thrown, and the caller lets the tenant go on at its new place.

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
import { switchPlace } from '../registry-switch.js'
import type { Source } from '../source.js'
import { WITHOUT_TIMEOUTS } from './administrator.js'
import { createChangeCheck } from './check-changes.js'
import { HoldTooLong } from './hold.js'
import { allowConnections } from './kept-copy.js'
import { type Link, routesOf } from './link.js'
import type { OnlineOptions } from './online-run.js'
import { createApplyWatch, lagOf, positionOf, waitApplied } from './position.js'
import { createReporter } from './progress.js'
import type { Replication } from './replication.js'
import { withSessions } from './sessions.js'
import { stateOf } from './state.js'
import { switchOver } from './switch-over.js'
import { fingerprint, surveyTables } from './tables.js'
import { populatedViews, refreshed } from './views.js'

export interface CrossingParts {
  readonly options: OnlineOptions
  readonly replication: Pick<Replication, 'dropSubscription'>
  /** The place that the tenant was moved from. */
  readonly source: Pick<Source, 'keepMigrationsOut'>
}

const ATTEMPTS = 6
const CATCH_UP_MS = 600_000
const ENDS_WITHIN_MS = 3_000

/**
 * @param held a session in the tenant's database at its new place
 * @throws TRANSFER_REFUSED, TRANSFER_FAILED; the journal says whether it was committed
 */
export async function crossBack(parts: CrossingParts, row: TransferTenant, held: SessionClient): Promise<void> {
  const { options, source } = parts
  const { central, journal, run, from, to, report, admin, credentials, signal } = options
  await held.unsafe(WITHOUT_TIMEOUTS)
  const { limits, printThere = '' } = stateOf(row)
  const link = routesOf(options).backOf(row.id)
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
        if (signal?.aborted) throw new TransferFailed(`The way back of ${row.id} was interrupted.`)
        if (performance.now() > until)
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
            await reopen(parts, row, link)
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

/** The old database has the tenant's name and mark again. Its worker has ended before: nothing may be connected. */
async function reopen({ options, replication }: CrossingParts, row: TransferTenant, link: Link): Promise<void> {
  const { service, central, from, admin, credentials } = options
  const database = tenantDatabaseName(row.id, service)
  const { to: kept } = link
  const known = await findTenant(central, row.id)
  await replication.dropSubscription(link)
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
  await options.sessionAt(from)(async sql => {
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
