// The SQL of the table `tenants`: one function per query or change. Invariant: lifecycle moves by version only (an equal or
// lower version changes nothing), and every change raises the row's revision in the database itself.
import type { TenantId } from '../../../events/index.js'
import { TenantUnconfirmed } from '../errors.js'
import type { JsonObject, JsonValue, Lifecycle, QueryClient, RegistryRow } from '../types.js'

type Raw = Omit<RegistryRow, 'version' | 'revision'> & { version: string; revision: string }

/** bigint arrives as text; both stay far below 2^53. */
const row = (raw: Raw): RegistryRow => ({ ...raw, version: Number(raw.version), revision: Number(raw.revision) })

const first = (rows: readonly Raw[]): RegistryRow | null => (rows[0] ? row(rows[0]) : null)

const columns = (sql: QueryClient) => sql`
  id, name, domain, settings, version, lifecycle, provisioned, instance, moving, schema_version as "schemaVersion", incarnation, certificate, revision,
  attempts, step, last_error as "lastError", next_attempt_at as "nextAttemptAt", created_at as "createdAt",
  updated_at as "updatedAt", ready_at as "readyAt", deleted_at as "deletedAt", purge_after as "purgeAfter"`

export async function findTenant(sql: QueryClient, id: TenantId): Promise<RegistryRow | null> {
  return first(await sql<Raw[]>`select ${columns(sql)} from tenants where id = ${id}`)
}

/** Those that are there, in any order. */
export async function findTenants(sql: QueryClient, ids: readonly TenantId[]): Promise<RegistryRow[]> {
  const rows = await sql<Raw[]>`select ${columns(sql)} from tenants where id = any(${[...ids]}::text[])`
  return rows.map(row)
}

/** Not deleted and confirmed by identity; more than one is drift between services, and the right one is unknown. */
export async function findByDomain(sql: QueryClient, domain: string): Promise<RegistryRow[]> {
  const rows = await sql<Raw[]>`
    select ${columns(sql)} from tenants
    where domain = ${domain} and lifecycle <> 'deleted' and version > 0 limit 2`
  return rows.map(row)
}

export async function listTenants(
  sql: QueryClient,
  page: { after?: string; limit: number; lifecycle?: Lifecycle },
): Promise<RegistryRow[]> {
  const rows = await sql<Raw[]>`
    select ${columns(sql)} from tenants
    where id > ${page.after ?? ''} ${page.lifecycle ? sql`and lifecycle = ${page.lifecycle}` : sql``}
    order by id limit ${page.limit}`
  return rows.map(row)
}

/** Revisions of the rows changed within the last `ms`: a fresh replica must load them before it trusts Redis. */
export async function revisionsSince(sql: QueryClient, ms: number): Promise<{ id: string; revision: number }[]> {
  const rows = await sql<{ id: string; revision: string }[]>`
    select id, revision from tenants where updated_at > now() - ${ms} * interval '1 millisecond'`
  return rows.map(({ id, revision }) => ({ id, revision: Number(revision) }))
}

/**
 * The history of the registry: another one after the database was restored from a dump or from its log, or its server was
 * replaced by a promoted one. Revisions of two histories cannot be compared.
 */
export async function readHistory(sql: QueryClient): Promise<string> {
  const [row] = await sql<{ history: string }[]>`
    select md5(concat_ws(' ', (select system_identifier from pg_control_system()),
      left(pg_walfile_name(pg_current_wal_lsn()), 8), 'tenants'::regclass::oid,
      (select oid from pg_database where datname = current_database()))) as history`
  return (row as { history: string }).history
}

/** Identity's state of a tenant. */
export interface TenantState {
  readonly id: TenantId
  readonly version: number
  readonly name: string
  readonly domain: string | null
  readonly settings: JsonObject
  readonly lifecycle: Lifecycle
  /** Absent where identity has not published it. */
  readonly incarnation?: string | null | undefined
}

const json = (sql: QueryClient, value: JsonValue) => sql.json(value as never)

/** Inserts the tenant unless the id is known in any state. @returns the new row, null when it was known */
export async function insertTenant(sql: QueryClient, state: TenantState): Promise<RegistryRow | null> {
  return first(
    await sql<Raw[]>`
      insert into tenants (id, version, name, domain, settings, lifecycle, incarnation)
      values (${state.id}, ${state.version}, ${state.name}, ${state.domain}, ${json(sql, state.settings)}, ${state.lifecycle},
        ${state.incarnation ?? null})
      on conflict (id) do nothing returning ${columns(sql)}`,
  )
}

/**
 * Applies an event if it is newer than the row, and records that the feed has not confirmed it; columns that it does not name
 * stay, and so does the incarnation, which only the feed sets. Deleted is for ever.
 */
export async function applyTenantState(
  sql: QueryClient,
  state: Pick<TenantState, 'id' | 'version' | 'lifecycle'> & Partial<TenantState>,
): Promise<RegistryRow | null> {
  const { id, version, lifecycle, name, domain, settings } = state
  return first(
    await sql<Raw[]>`
      with applied as (
      insert into tenants as known (id, version, name, domain, settings, lifecycle)
      values (${id}, ${version}, ${name ?? id}, ${domain ?? null}, ${json(sql, settings ?? {})}, ${lifecycle})
      on conflict (id) do update set version = excluded.version, lifecycle = excluded.lifecycle
        ${name === undefined ? sql`` : sql`, name = excluded.name`}
        ${domain === undefined ? sql`` : sql`, domain = excluded.domain`}
        ${settings === undefined ? sql`` : sql`, settings = excluded.settings`}
      where known.version < excluded.version and known.lifecycle <> 'deleted'
      returning ${columns(sql)}
      ), doubted as (
        insert into feed_doubts (id, kind) select id, 'event' from applied
        on conflict (id) do update set kind = excluded.kind, since = excluded.since
      )
      select * from applied`,
  )
}

/**
 * The source's own change: raises the version. A deleted tenant is not changed, nor one that has the wanted lifecycle
 * already.
 * @returns null when nothing was changed
 */
export async function changeTenant(
  sql: QueryClient,
  id: TenantId,
  change: {
    name?: string
    domain?: string | null
    settings?: JsonObject
    lifecycle?: Lifecycle
    /** With `deleted`: milliseconds its databases are kept. */
    retention?: number
  },
): Promise<RegistryRow | null> {
  return first(
    await sql<Raw[]>`
      update tenants set version = version + 1
        ${change.name !== undefined ? sql`, name = ${change.name}` : sql``}
        ${change.domain !== undefined ? sql`, domain = ${change.domain}` : sql``}
        ${change.settings !== undefined ? sql`, settings = ${json(sql, change.settings)}` : sql``}
        ${change.lifecycle !== undefined ? sql`, lifecycle = ${change.lifecycle}` : sql``}
        ${change.retention !== undefined ? sql`, purge_after = ${after(sql, change.retention)}` : sql``}
      where id = ${id} and lifecycle <> 'deleted'
        ${change.lifecycle !== undefined ? sql`and lifecycle <> ${change.lifecycle}` : sql``}
      returning ${columns(sql)}`,
  )
}

/**
 * The source's undo of a deletion: the id is the same tenant's again, under a higher version. Where its database was dropped
 * the provisioner looks for it once more.
 * @returns null when there is no deleted tenant of this id
 */
export async function restoreTenant(
  sql: QueryClient,
  id: TenantId,
  change: { lifecycle: 'active' | 'suspended'; domain?: string | null },
): Promise<RegistryRow | null> {
  return first(
    await sql<Raw[]>`
      update tenants set version = version + 1, lifecycle = ${change.lifecycle}
        ${change.domain !== undefined ? sql`, domain = ${change.domain}` : sql``}
        , next_attempt_at = case when provisioned = 'removed' then now() else next_attempt_at end
        , provisioned = case when provisioned = 'removed' then 'pending' else provisioned end
      where id = ${id} and lifecycle = 'deleted' returning ${columns(sql)}`,
  )
}

/** Whole milliseconds, as in JSON: readers of the feed compare their value with the feed's. */
const after = (sql: QueryClient, ms: number) =>
  sql`date_trunc('milliseconds', now() + ${ms} * interval '1 millisecond')`

/** A local change of lifecycle; identity's next state wins over it. */
export async function setLifecycle(sql: QueryClient, id: TenantId, lifecycle: Lifecycle): Promise<RegistryRow | null> {
  return first(
    await sql<Raw[]>`
      update tenants set lifecycle = ${lifecycle}
      where id = ${id} and lifecycle <> 'deleted' returning ${columns(sql)}`,
  )
}

/** @throws when identity's feed has meanwhile brought another tenant of this id: then the transaction must not commit */
export async function recordReady(
  sql: QueryClient,
  { id, incarnation }: Pick<RegistryRow, 'id' | 'incarnation'>,
  facts: { certificate: string; schemaVersion: number },
): Promise<RegistryRow> {
  const rows = await sql<Raw[]>`
    update tenants set provisioned = 'ready', certificate = ${facts.certificate},
      schema_version = ${facts.schemaVersion}, step = 'ready', last_error = null, next_attempt_at = null,
      ready_at = coalesce(ready_at, now())
    where id = ${id} and (${incarnation}::text is null or incarnation = ${incarnation}) returning ${columns(sql)}`
  const ready = first(rows)
  if (!ready) throw new TenantUnconfirmed()
  return ready
}

/**
 * A tenant that was ready stays so: its schema is behind, but works as it is. Foreign is never served.
 * `retryInMs` null: no attempt is scheduled.
 */
export async function recordFailure(
  sql: QueryClient,
  id: TenantId,
  failure: { provisioned: 'failed' | 'foreign'; step: string; error: string; retryInMs: number | null },
): Promise<RegistryRow> {
  const rows = await sql<Raw[]>`
    update tenants set
      provisioned = case when provisioned = 'ready' and ${failure.provisioned} = 'failed' then 'ready'
                         else ${failure.provisioned} end, step = ${failure.step}, last_error = ${failure.error},
      next_attempt_at = now() + ${failure.retryInMs}::float8 * interval '1 millisecond'
    where id = ${id} returning ${columns(sql)}`
  return first(rows) as RegistryRow
}

/** The database of a deleted tenant is dropped; the row stays, so that its id is never used again. */
export async function recordRemoved(sql: QueryClient, id: TenantId): Promise<RegistryRow> {
  const rows = await sql<Raw[]>`
    update tenants set provisioned = 'removed', step = 'removed', last_error = null, next_attempt_at = null
    where id = ${id} returning ${columns(sql)}`
  return first(rows) as RegistryRow
}

/**
 * A tenant that was ready is so no longer, because of the state of its database.
 * @returns null when it has changed meanwhile
 */
export async function demoteReady(
  sql: QueryClient,
  id: TenantId,
  doubt: { provisioned: 'pending' | 'failed' | 'foreign'; step: string; error: string },
): Promise<RegistryRow | null> {
  return first(
    await sql<Raw[]>`
      update tenants set provisioned = ${doubt.provisioned}, step = ${doubt.step}, last_error = ${doubt.error},
        next_attempt_at = null
      where id = ${id} and provisioned = 'ready' and lifecycle <> 'deleted' returning ${columns(sql)}`,
  )
}
