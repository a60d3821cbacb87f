// The live stream of every change of a tenant to operators' clients: one reader for all of them, which queries when
// it is notified, four times a second at most, and every few seconds. Each event is the tenant's whole state, so a repeat does no harm. None is missed: a
// place in the stream is the oldest transaction that was still running, and the changes of any later one come again.
// No client holds a connection of the database; one that does not keep up is disconnected and comes back by its place.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Notifications, SqlClient } from '../../plugins/distributed-tenant/index.js'
import { every, later } from '../../timing/timers.js'
import { readPage } from '../http/paging.js'
import { LEDGER_CHANNEL } from './ledger.js'
import type { Presentation, Shown } from './presentation.js'
import type { Tenant } from './schemas/tenant.js'

export interface Client {
  /** One tenant, or all of them. */
  readonly only: string | undefined
  /** Sends a change; null only marks a place. @returns once the client has taken it; never rejects */
  readonly send: (place: string, tenant: Tenant | null) => Promise<void>
}

export interface Watch {
  readonly size: number
  /** @param place where to start; null: from now on. @returns how to unsubscribe; rejects when the database is down */
  join(client: Client, place: string | null): Promise<() => void>
  close(): void
}

const POLL_MS = 5_000
/** The first change after a rest is read at once, and the next ones together. */
const GATHER_MS = 250
const CHUNK = 200
/** How long a client is waited for while it takes what is sent; from then on it falls behind. */
const TAKE_MS = 2_000
/** The same for all that a client has missed. */
const CATCH_UP_MS = 60_000

export function createWatch(options: {
  readonly central: SqlClient
  readonly present: Presentation
  readonly notifications: Notifications
  readonly onError: (error: unknown) => void
}): Watch {
  const { central, present, notifications } = options
  const clients = new Set<Client>()
  /** All reads run one after the other: an older state is never sent after a newer one. */
  let chain: Promise<unknown> = Promise.resolve()
  let place = '0'
  /** The changes since `place`, by the transaction they came from. */
  const sent = new Map<string, string>()
  let due = false
  let lookedAt = Number.NEGATIVE_INFINITY
  let stopWaiting: (() => void) | undefined
  let stopPolling: (() => void) | undefined

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = chain.then(work)
    chain = done.catch(() => {})
    return done
  }

  /** Ids that a transaction not older than `from` has changed, and the place after them: one snapshot. */
  async function changed(from: string | null): Promise<{ place: string; ids: Map<string, string> }> {
    const rows = await central<{ place: string; behind: boolean; id: string | null; xact: string | null }[]>`
      with here as (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as place)
      select here.place, changed.id, changed.xact from here left join (
        select id, max(xact) as xact from (
          select tenant_id as id, xact from tenant_changes
          union all select tenant_id, changed_by from tenant_services
        ) as moved
        -- A place from before a restore may lie ahead of every transaction there is: then everything is sent.
        where xact >= (select case when ${from}::bigint > place then 0 else ${from}::bigint end from here)
        group by id
      ) as changed on true order by changed.xact`
    const ids = new Map(rows.flatMap(({ id, xact }) => (id !== null && xact !== null ? [[id, xact] as const] : [])))
    return { place: rows[0]?.place ?? '0', ids }
  }

  /** Reads about 1 MB at a time. Waits until it is taken, for each client `patience` in all, as others wait with it. */
  async function notify(ids: readonly string[], at: string, to: Iterable<Client>, patience: number): Promise<void> {
    const left = new Set(ids)
    const waits = new Map<Client, number>()
    while (left.size > 0) {
      const asked = [...left].slice(0, CHUNK)
      const { rows, whole } = await readPage(
        central,
        central<(Omit<Shown, 'version'> & { version: string })[]>`
          select id, name, domain, settings, lifecycle, version, created_at as "createdAt", updated_at as "updatedAt",
            deleted_at as "deletedAt", purge_after as "purgeAfter"
          from tenants where id in ${central(asked)}`,
      )
      for (const id of whole ? asked : rows.map(row => row.id)) left.delete(id)
      const shown = rows.map(row => ({ ...row, version: Number(row.version) }))
      for (const tenant of await present.many(shown)) {
        const receivers = [...to].filter(({ only }) => only === undefined || only === tenant.id)
        await Promise.all(receivers.map(client => sendIn(waits, patience, client, at, tenant)))
      }
    }
  }

  async function look(): Promise<void> {
    due = false
    lookedAt = performance.now()
    if (clients.size === 0) return
    const now = await changed(place)
    const fresh = [...now.ids].filter(([id, xact]) => sent.get(id) !== xact)
    // Not the new place while a part of it is still to be sent: a client that disconnects meanwhile gets all of it again.
    await notify(
      fresh.map(([id]) => id),
      place,
      clients,
      TAKE_MS,
    )
    for (const [id, xact] of sent) if (Number(xact) < Number(now.place)) sent.delete(id)
    for (const [id, xact] of fresh) sent.set(id, xact)
    place = now.place
    if (fresh.length > 0) for (const { send } of clients) void send(place, null)
  }

  function kick(): void {
    if (due || clients.size === 0) return
    due = true
    const left = lookedAt + GATHER_MS - performance.now()
    const begin = (): void => void inTurn(look).catch(options.onError)
    if (left <= 0) begin()
    else stopWaiting = later(left, begin)
  }

  const off = [LEDGER_CHANNEL, 'fdt_tenants'].map(channel => notifications.subscribe(channel, kick, kick))

  function leave(client: Client): void {
    clients.delete(client)
    if (clients.size > 0) return
    stopPolling?.()
    stopPolling = undefined
  }

  return {
    get size() {
      return clients.size
    },
    async join(client, from) {
      let at = from
      if (from !== null) {
        // Not in turn: how long it takes is this client’s own matter. What changes meanwhile follows.
        const missed = await changed(from)
        await notify([...missed.ids.keys()], from, [client], CATCH_UP_MS)
        at = missed.place
      }
      return inTurn(async () => {
        const now = await changed(at)
        if (at !== null) await notify([...now.ids.keys()], at, [client], TAKE_MS)
        void client.send(now.place, null)
        if (clients.size === 0) {
          place = now.place
          sent.clear()
        }
        clients.add(client)
        stopPolling ??= every(POLL_MS, kick, options.onError)
        return () => leave(client)
      })
    },
    close() {
      for (const stop of off) stop()
      stopWaiting?.()
      stopPolling?.()
      clients.clear()
    },
  }
}

/** Sends, and waits for it to be taken while there is patience left with this client. */
async function sendIn(
  waits: Map<Client, number>,
  patience: number,
  client: Client,
  at: string,
  tenant: Tenant,
): Promise<void> {
  const taken = client.send(at, tenant)
  const waited = waits.get(client) ?? 0
  if (waited >= patience) return
  const begun = performance.now()
  const timer = new AbortController()
  await Promise.race([taken, sleep(patience - waited, undefined, { signal: timer.signal }).catch(() => {})])
  timer.abort()
  waits.set(client, waited + performance.now() - begun)
}
