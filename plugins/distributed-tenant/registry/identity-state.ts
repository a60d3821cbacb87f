// Owns the SQL by which identity's word overwrites what a registry holds. Invariants: a word that is older than the local
// row is applied only when identity was asked again after the row was read, since identity's version never falls and is
// published after it is committed; what only this service knows (`provisioned`, certificate, schema) is never touched.
import type { TenantId } from '../../../events/index.js'
import type { JsonObject, JsonValue, Lifecycle, Provisioned, QueryClient, SqlClient } from '../types.js'

/** A row that identity's word has changed. */
export interface Applied {
  readonly id: TenantId
  /** The version it had here, null when it was not known. */
  readonly was: number | null
  readonly version: number
  readonly lifecycle: Lifecycle
  readonly provisioned: Provisioned
  /** It said something else under the same version: nobody but a forger or a hand in this database does that. */
  readonly drift: boolean
}

/** A local row of a higher version than identity's word: an event that overtook the feed, or a forged one. */
export interface Ahead {
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
}

/** One statement per page, whatever its length; rows that say the same already are not written. */
export async function applyTold(
  sql: QueryClient,
  told: readonly Told[],
): Promise<{ applied: Applied[]; ahead: Ahead[] }> {
  if (told.length === 0) return { applied: [], ahead: [] }
  const rows = await sql<Compared[]>`
    with said as (
      select id collate "C" as id, version, name, domain collate "C" as domain, settings, lifecycle,
        "purgeAfter" as purge_after
      from jsonb_to_recordset(${sql.json(told as unknown as JsonValue as never)}) as s(
        id text, version bigint, name text, domain text, settings jsonb, lifecycle text, "purgeAfter" timestamptz)
    ), known as (
      select t.id, t.version, t.revision, t.version = said.version and
        (t.name, t.domain, t.settings, t.lifecycle)
          is distinct from (said.name, said.domain, said.settings, said.lifecycle) as drift
      from tenants t join said using (id)
    ), applied as (
      insert into tenants as mine (id, version, name, domain, settings, lifecycle, purge_after)
      select id, version, name, domain, settings, lifecycle, purge_after from said order by id
      on conflict (id) do update set version = excluded.version, name = excluded.name, domain = excluded.domain,
        settings = excluded.settings, lifecycle = excluded.lifecycle, purge_after = excluded.purge_after
      where mine.version <= excluded.version
        and (mine.version, mine.name, mine.domain, mine.settings, mine.lifecycle, mine.purge_after)
          is distinct from (excluded.version, excluded.name, excluded.domain, excluded.settings, excluded.lifecycle,
            excluded.purge_after)
      returning id, version, lifecycle, provisioned
    )
    select said.id, known.version as was, known.revision, known.drift, applied.version, applied.lifecycle,
      applied.provisioned
    from said left join known using (id) left join applied using (id)
    where applied.id is not null or known.version > said.version`
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
      })),
    ahead: rows
      .filter(row => row.version === null)
      .map(row => ({ id: row.id, version: Number(row.was), revision: Number(row.revision) })),
  }
}

/**
 * Puts a forged row back to what identity said after that row was read; one that has changed since is left for the next
 * look. @returns whether it was overwritten
 */
export async function overwriteAhead(sql: QueryClient, told: Told, ahead: Ahead): Promise<boolean> {
  const rows = await sql`
    update tenants set version = ${told.version}, name = ${told.name}, domain = ${told.domain},
      settings = ${sql.json(told.settings as never)}, lifecycle = ${told.lifecycle}, purge_after = ${told.purgeAfter}
    where id = ${told.id} and revision = ${ahead.revision} and version > ${told.version}
    returning id`
  return rows.length > 0
}

/** Rows older than `graceMs` of tenants that are not among `known`: identity never heard of them. */
export async function strangers(
  sql: QueryClient,
  known: readonly string[],
  graceMs: number,
): Promise<{ id: TenantId; version: number }[]> {
  const rows = await sql<{ id: TenantId; version: string }[]>`
    select id, version from tenants
    where created_at < now() - ${graceMs} * interval '1 millisecond'
      and not exists (select 1 from unnest(${known as string[]}::text[]) as k(id) where k.id collate "C" = tenants.id)
    order by id limit 1000`
  return rows.map(row => ({ id: row.id, version: Number(row.version) }))
}

export async function readCursor(sql: QueryClient): Promise<number> {
  const [row] = await sql<{ seq: string }[]>`select seq from feed_cursor`
  return Number(row?.seq ?? 0)
}

/** Applies a page and moves the cursor behind it, both or neither. */
export async function applyPage(sql: SqlClient, told: readonly Told[], next: number) {
  return sql.begin(async tx => {
    const outcome = await applyTold(tx, told)
    await tx`update feed_cursor set seq = ${next}, read_at = now()`
    return outcome
  })
}

/** What identity says of a tenant now, and the number of its newest change. */
export interface Told {
  readonly seq: number
  readonly id: TenantId
  readonly version: number
  readonly name: string
  readonly domain: string | null
  readonly settings: JsonObject
  readonly lifecycle: Lifecycle
  /** ISO 8601; null unless deleted. */
  readonly deletedAt: string | null
  readonly purgeAfter: string | null
  /** Deleted and the retention over, by identity's own clock when it answered. */
  readonly purgeable: boolean
}
