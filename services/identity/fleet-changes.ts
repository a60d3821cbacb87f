// The changes of tenants since a place, for a caller that asks again and again: it waits until there is one. Each is the tenant's
// whole state, so a repeat does no harm. Invariants: a place is a snapshot of the database, so that every change behind it comes and
// none before it comes again, however long other transactions run; a caller that waits costs one query when changes come, however
// many there are, and one every few seconds. After too many changes no row is read, and the caller reads its list anew.
import type { Notifications, SqlClient } from '../../plugins/distributed-tenant/index.js'
import { later } from '../../timing/timers.js'
import { type FleetRow, rowOf } from './fleet.js'
import { LEDGER_CHANNEL } from './ledger.js'
import type { Presentation, Shown } from './presentation.js'

export interface FleetChanges {
  /** Ask with it next time. */
  readonly place: string
  readonly items: readonly FleetRow[]
  /** More changed than is sent: read the list anew. */
  readonly reset: boolean
}

export interface FleetChangeReader {
  /** @param place null: from now on */
  since(place: string | null, waitMs: number): Promise<FleetChanges>
  /** Answers those that wait. */
  close(): void
}

/** Of a place: a snapshot like `731:735:731,733`, or the number alone that a release before had. */
export const PLACE = '^\\d{1,18}(:\\d{1,18}:(\\d{1,18}(,\\d{1,18})*)?)?$'
export const PLACE_LENGTH = 2_000

const MOST = 500
/** Read at a time. */
const CHUNK = 100
/** The statuses that one action causes come together. */
const GATHER_MS = 100
/** After a notification that was lost. */
const POLL_MS = 5_000

export function createFleetChanges(options: {
  readonly central: SqlClient
  readonly present: Presentation
  readonly notifications: Notifications
}): FleetChangeReader {
  const { central, present, notifications } = options
  const sleepers = new Set<() => void>()
  let notices = 0
  let closed = false

  const notice = (): void => {
    notices++
    for (const wake of sleepers) wake()
  }
  const off = [LEDGER_CHANNEL, 'fdt_tenants'].map(channel => notifications.subscribe(channel, notice, notice))

  const pause = (ms: number): Promise<void> =>
    new Promise(resolve => {
      const wake = (): void => {
        stop()
        sleepers.delete(wake)
        resolve()
      }
      const stop = later(ms, wake)
      sleepers.add(wake)
    })

  /** Returns at the first notification after `known`, `ms` later at the latest. */
  async function noticed(known: number, ms: number): Promise<void> {
    if (!closed && notices === known) await pause(ms)
  }

  /** At most one id more than is sent, and the place behind them: one snapshot. */
  async function changed(from: string | null): Promise<{ place: string; ids: string[] }> {
    const { xmin, xmax, text } = snapshotOf(from)
    const rows = await central<{ place: string; id: string | null }[]>`
      with here as materialized (select pg_current_snapshot() as now)
      select here.now::text as place, changed.id from here left join (
        select id from (
          select tenant_id as id, xact from tenant_changes
          union all select tenant_id, changed_by from tenant_services
        ) as moved
        -- A place from before a restore may lie ahead of every transaction there is: then everything is sent.
        where ${from !== null}::boolean
          and xact >= (select case when ${xmax}::bigint > pg_snapshot_xmax(now)::text::bigint then 0 else ${xmin}::bigint end from here)
          and (not pg_visible_in_snapshot(xact::text::xid8, ${text}::pg_snapshot)
            or ${xmax}::bigint > (select pg_snapshot_xmax(now)::text::bigint from here))
        group by id limit ${MOST + 1}
      ) as changed on true`
    return { place: shortened(rows[0]?.place ?? '1:1:'), ids: rows.flatMap(({ id }) => (id === null ? [] : [id])) }
  }

  async function rowsOf(ids: readonly string[]): Promise<FleetRow[]> {
    const found: FleetRow[] = []
    for (let at = 0; at < ids.length; at += CHUNK) {
      const rows = await central<(Omit<Shown, 'version'> & { version: string })[]>`
        select id, name, domain, '{}'::jsonb as settings, lifecycle, version, created_at as "createdAt",
          updated_at as "updatedAt", deleted_at as "deletedAt", purge_after as "purgeAfter"
        from tenants where id in ${central(ids.slice(at, at + CHUNK))}`
      const shown = await present.many(rows.map(row => ({ ...row, version: Number(row.version) })))
      for (const tenant of shown) found.push(rowOf(tenant))
    }
    return found
  }

  return {
    async since(place, waitMs) {
      const end = performance.now() + waitMs
      let from = place
      for (;;) {
        const known = notices
        const { place: at, ids } = await changed(from)
        if (ids.length > MOST) return { place: at, items: [], reset: true }
        if (ids.length > 0) return { place: at, items: await rowsOf(ids), reset: false }
        const left = end - performance.now()
        if (left <= 0 || closed) return { place: at, items: [], reset: false }
        from = at
        await noticed(known, Math.min(left, POLL_MS))
        if (!closed && notices !== known) await gathered()
      }
    },
    close() {
      closed = true
      for (const stop of off) stop()
      for (const wake of sleepers) wake()
    },
  }
}

const gathered = (): Promise<void> => new Promise(resolve => setTimeout(resolve, GATHER_MS).unref())

/** A place that no snapshot of a server can be counts as the first. */
function snapshotOf(place: string | null): { xmin: string; xmax: string; text: string } {
  const [xmin = '1', xmax = xmin, running = ''] = (place ?? '1').split(':')
  const ids = [xmin, ...running.split(',').filter(Boolean), xmax].map(BigInt)
  const isOrdered = ids.every((id, at) => at === 0 || id > (ids[at - 1] as bigint) || (at === 1 && id === ids[0]))
  if (!isOrdered || ids[0] === 0n) return { xmin: '1', xmax: '1', text: '1:1:' }
  return { xmin, xmax, text: `${xmin}:${xmax}:${running}` }
}

/** Some changes come again then. */
const shortened = (place: string): string => {
  const [xmin] = place.split(':')
  return place.length <= PLACE_LENGTH ? place : `${xmin}:${xmin}:`
}
