// The SQL that overwrites registry rows with identity's state. Invariants: a state that is older than the local row is
// applied only when identity was read again after the row was, since identity's version never falls and is published after
// it is committed; this service's own columns (`provisioned`, certificate, schema) are never changed.
import type { TenantId } from '../../../events/index.js'
import type { JsonObject, JsonValue, Lifecycle, Provisioned, QueryClient, SqlClient } from '../types.js'

/** A row that identity's state has changed. */
export interface Applied {
  readonly id: TenantId
  /** The version it had here, null when it was not known. */
  readonly was: number | null
  readonly version: number
  readonly lifecycle: Lifecycle
  readonly provisioned: Provisioned
  /** It had other content under the same version: only a forged event or a change by hand in this database causes that. */
  readonly drift: boolean
  /** The id is another tenant's than it was here. */
  readonly reborn: boolean
}

/** A local row of a higher version than identity's state: an event that overtook the feed, or a forged one. */
export interface LocalAhead {
  readonly id: TenantId
  readonly version: number
  readonly revision: number
}

interface Compared {
  id: TenantId
  was: string | null
  revision: string | null
  version: string | null
  lifecycle: Lifecycle | null
  provisioned: Provisioned | null
  drift: boolean | null
  reborn: boolean | null
}

/**
 * One statement per page, whatever its length; rows that are equal already are not written. A row gets its incarnation once.
 * Where identity has another one, the id is another tenant's: its state replaces the row's whatever their versions, and the
 * columns about a database are cleared, so that only a database marked for this tenant is taken for it.
 */
export async function applyFeedTenants(
  sql: QueryClient,
  tenants: readonly FeedTenant[],
): Promise<{ applied: Applied[]; ahead: LocalAhead[] }> {
  if (tenants.length === 0) return { applied: [], ahead: [] }
  const rows = await sql<Compared[]>`
    with said as (
      select id collate "C" as id, version, name, domain collate "C" as domain, settings, lifecycle,
        "purgeAfter" as purge_after, incarnation collate "C" as incarnation
      from jsonb_to_recordset(${sql.json(tenants as unknown as JsonValue as never)}) as s(
        id text, version bigint, name text, domain text, settings jsonb, lifecycle text, "purgeAfter" timestamptz,
        incarnation text)
    ), known as (
      select t.id, t.version, t.revision, coalesce(t.incarnation <> said.incarnation, false) as reborn,
        t.version = said.version and coalesce(t.incarnation = said.incarnation, true) and
        (t.name, t.domain, t.settings, t.lifecycle)
          is distinct from (said.name, said.domain, said.settings, said.lifecycle) as drift
      from tenants t join said using (id)
    ), applied as (
      insert into tenants as mine (id, version, name, domain, settings, lifecycle, purge_after, incarnation)
      select id, version, name, domain, settings, lifecycle, purge_after, incarnation from said order by id
      on conflict (id) do update set version = excluded.version, name = excluded.name, domain = excluded.domain,
        settings = excluded.settings, lifecycle = excluded.lifecycle, purge_after = excluded.purge_after,
        incarnation = coalesce(excluded.incarnation, mine.incarnation),
        ${forgetting(sql)}
      where (mine.version <= excluded.version or mine.incarnation <> excluded.incarnation)
        and (mine.version, mine.name, mine.domain, mine.settings, mine.lifecycle, mine.purge_after, mine.incarnation)
          is distinct from (excluded.version, excluded.name, excluded.domain, excluded.settings, excluded.lifecycle,
            excluded.purge_after, coalesce(excluded.incarnation, mine.incarnation))
      returning id, version, lifecycle, provisioned
    ), settled as (
      delete from feed_doubts using said, tenants
      where feed_doubts.id = said.id and tenants.id = said.id and tenants.version <= said.version
    )
    select said.id, known.version as was, known.revision, known.drift, known.reborn, applied.version, applied.lifecycle,
      applied.provisioned
    from said left join known using (id) left join applied using (id)
    where applied.id is not null or (known.version > said.version and not known.reborn)`
  return {
    applied: rows
      .filter(row => row.version !== null)
      .map(row => ({
        id: row.id,
        was: row.was === null ? null : Number(row.was),
        version: Number(row.version),
        lifecycle: row.lifecycle as Lifecycle,
        provisioned: row.provisioned as Provisioned,
        drift: row.drift ?? false,
        reborn: row.reborn ?? false,
      })),
    ahead: rows
      .filter(row => row.version === null)
      .map(row => ({ id: row.id, version: Number(row.was), revision: Number(row.revision) })),
  }
}

/** In a row whose id is another tenant's now: clears the columns about the earlier one's database. */
const forgetting = (sql: QueryClient) => {
  const reborn = sql`when mine.incarnation <> excluded.incarnation`
  return sql`
    provisioned = case ${reborn} then 'pending' else mine.provisioned end,
    certificate = case ${reborn} then null else mine.certificate end,
    schema_version = case ${reborn} then null else mine.schema_version end,
    ready_at = case ${reborn} then null else mine.ready_at end,
    attempts = case ${reborn} then 0 else mine.attempts end,
    step = case ${reborn} then 'incarnation' else mine.step end,
    last_error = case ${reborn} then 'the id is another tenant’s now' else mine.last_error end,
    next_attempt_at = case ${reborn} then now() else mine.next_attempt_at end,
    moving = case ${reborn} then null else mine.moving end`
}

/**
 * Overwrites a forged row with identity's state, which was read after that row; one that has changed since is left for the
 * next pass. @returns whether it was overwritten
 */
export async function overwriteAhead(sql: QueryClient, tenants: FeedTenant, ahead: LocalAhead): Promise<boolean> {
  const rows = await sql`
    update tenants set version = ${tenants.version}, name = ${tenants.name}, domain = ${tenants.domain},
      settings = ${sql.json(tenants.settings as never)}, lifecycle = ${tenants.lifecycle}, purge_after = ${tenants.purgeAfter}
    where id = ${tenants.id} and revision = ${ahead.revision} and version > ${tenants.version}
    returning id`
  return rows.length > 0
}

/**
 * Rows of tenants that are not among `known`: identity does not know them. One that it never confirmed may be a request that
 * is still on its way, for `graceMs`. They are recorded for the operator.
 */
export async function unknownTenants(
  sql: QueryClient,
  known: readonly string[],
  graceMs: number,
): Promise<{ id: TenantId; version: number }[]> {
  const rows = await sql<{ id: TenantId; version: string }[]>`
    with unknown as materialized (
      select id, version from tenants
      where (created_at < now() - ${graceMs} * interval '1 millisecond' or incarnation is not null)
        and not exists (select 1 from unnest(${known as string[]}::text[]) as k(id) where k.id collate "C" = tenants.id)
      order by id limit 1000
    ), noted as (
      insert into feed_doubts (id, kind) select id, 'unknown' from unknown on conflict (id) do update set kind = 'unknown'
      where feed_doubts.kind <> 'unknown'
    ), over as (
      delete from feed_doubts where kind = 'unknown' and not exists (select from unknown where unknown.id = feed_doubts.id)
    )
    select id, version from unknown order by id`
  return rows.map(row => ({ id: row.id, version: Number(row.version) }))
}

/** Tenants that an event has changed and the feed has not confirmed since, the oldest first. */
export async function unconfirmedIds(sql: QueryClient, limit: number): Promise<TenantId[]> {
  const rows = await sql<{ id: TenantId }[]>`
    select id from feed_doubts where kind = 'event' order by since limit ${limit}`
  return rows.map(row => row.id)
}

/**
 * After a numbered event about a tenant that identity does not know and never confirmed: the row becomes an unconfirmed
 * request again. @returns the version it had, null when there was nothing to do
 */
export async function withdrawUnconfirmed(sql: QueryClient, id: TenantId): Promise<number | null> {
  const [row] = await sql<{ version: string }[]>`
    with doubt as (delete from feed_doubts where id = ${id}),
      known as (select id, version from tenants where id = ${id} and version > 0 and incarnation is null)
    update tenants set version = 0, purge_after = null from known where tenants.id = known.id returning known.version`
  return row ? Number(row.version) : null
}

/** Rows of ours that the ledger lacks or has otherwise, unchanged for `sinceMs`, and the ledger's revision. */
export async function missingInLedger(
  sql: QueryClient,
  tenants: readonly FeedTenant[],
  sinceMs: number,
): Promise<{ id: TenantId; revision: number }[]> {
  const said = tenants.flatMap(({ id, ledger }) =>
    ledger === undefined ? [] : [{ id, status: ledger?.status ?? 'pending', revision: ledger?.revision ?? 0 }],
  )
  if (said.length === 0) return []
  const rows = await sql<{ id: TenantId; revision: string }[]>`
    select t.id, said.revision from tenants t
    join jsonb_to_recordset(${sql.json(said)}) as said(id text, status text, revision bigint) on said.id = t.id
    where t.provisioned in ('ready', 'failed', 'foreign', 'removed')
      and (said.status <> t.provisioned or said.revision > t.revision)
      and t.updated_at < now() - ${sinceMs} * interval '1 millisecond'
      and not exists (select from outbox where tenant_id = t.id and published_at is null and refused_at is null)`
  return rows.map(row => ({ id: row.id, revision: Number(row.revision) }))
}

export interface Cursor {
  readonly seq: number
  /** Of identity's database, as it was when the feed was read last. */
  readonly history: string | null
}

export async function readCursor(sql: QueryClient): Promise<Cursor> {
  const [row] = await sql<{ seq: string; history: string | null }[]>`select seq, history from feed_cursor`
  return { seq: Number(row?.seq ?? 0), history: row?.history ?? null }
}

/** Applies a page and moves the cursor behind it, both or neither. */
export async function applyPage(sql: SqlClient, tenants: readonly FeedTenant[], next: number, history?: string) {
  return sql.begin(async tx => {
    const outcome = await applyFeedTenants(tx, tenants)
    await tx`update feed_cursor set seq = ${next}, read_at = now(), history = coalesce(${history ?? null}, history)`
    return outcome
  })
}

/** Identity's present state of a tenant, and the number of its newest change. */
export interface FeedTenant {
  readonly seq: number
  readonly id: TenantId
  readonly version: number
  readonly name: string
  readonly domain: string | null
  readonly settings: JsonObject
  readonly lifecycle: Lifecycle
  /** The incarnation of the tenant; absent from a release before there were incarnations. */
  readonly incarnation?: string | null
  /** This service's newest status for it, where a ledger is kept. */
  readonly ledger?: { readonly status: string; readonly revision: number } | null
  /** ISO 8601; null unless deleted. */
  readonly deletedAt: string | null
  readonly purgeAfter: string | null
  /** Deleted and the retention over, by identity's own clock when it answered. */
  readonly purgeable: boolean
}
