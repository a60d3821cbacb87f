// Owns the SQL of the audit log: partitions by the month, batches written through the role that may only insert, changes
// of tenants taken from their inbox, heads and retention. Everything here is safe to repeat and to run in several replicas.
import type { QueryClient, SqlClient } from '../distributed-tenant/index.js'
import type { AuditRecord, AuditRow } from './rows.js'

/** The first day of the month `offset` months after `of`, in UTC. */
export function monthOf(of: Date, offset = 0): Date {
  return new Date(Date.UTC(of.getUTCFullYear(), of.getUTCMonth() + offset, 1))
}

const day = (date: Date): string => date.toISOString().slice(0, 10)
const partitionName = (month: Date): string => `audit_log_${day(month).slice(0, 7).replace('-', '_')}`

/** The first day of the oldest month there is a partition for, as in {@link Head.month}. */
export async function oldestPartition(sql: QueryClient): Promise<string | null> {
  const [row] = await sql<{ name: string | null }[]>`
    select min(relname::text) as name from pg_inherits join pg_class on pg_class.oid = inhrelid
    where inhparent = 'audit_log'::regclass`
  const [, year, month] = /^audit_log_(\d{4})_(\d{2})$/.exec(row?.name ?? '') ?? []
  return year === undefined ? null : `${year}-${month}-01`
}

/** Makes the partitions of this month and the next. */
export async function ensurePartitions(sql: SqlClient, now: Date): Promise<void> {
  await sql.begin(async tx => {
    await tx`select pg_advisory_xact_lock(hashtextextended('distributed_tenant.audit', 0))`
    for (const offset of [0, 1]) {
      const from = monthOf(now, offset)
      const name = partitionName(from)
      const [known] = await tx`select 1 from pg_class where oid = to_regclass(${name})`
      if (known) continue
      // Bounds take no parameters; both are dates of our own making.
      await tx.unsafe(`create table ${name} partition of audit_log
        for values from ('${day(from)}T00:00:00Z') to ('${day(monthOf(from, 1))}T00:00:00Z')`)
    }
    // A partition has the row triggers of its table, but not the one against TRUNCATE.
    const open = await tx<{ name: string }[]>`
      select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
      where inhparent = 'audit_log'::regclass and not exists (
        select from pg_trigger where tgrelid = pg_class.oid and tgname = 'audit_log_no_truncate')`
    for (const { name } of open) {
      await tx`create trigger audit_log_no_truncate before truncate on ${tx(name)}
        for each statement execute function audit_refuse()`
    }
  })
}

/** From now on changes of tenants are written into the inbox. A look, unless they were not before. */
export async function switchOn(sql: SqlClient): Promise<void> {
  const off = await sql`
    select 1 from pg_trigger
    where tgrelid = 'tenants'::regclass and tgname in ('audit_tenant_insert', 'audit_tenant_update') and tgenabled = 'D'`
  if (off.length === 0) return
  await sql.begin(async tx => {
    await tx`alter table tenants enable trigger audit_tenant_insert`
    await tx`alter table tenants enable trigger audit_tenant_update`
  })
}

async function insert(tx: QueryClient, rows: readonly AuditRow[]): Promise<void> {
  await tx`
    insert into audit_log (chain, seq, at, kind, result, tenant_id, actor, request_id, detail, hash)
    select chain, seq, at, kind, result, "tenantId", actor, "requestId", detail::json, hash
    from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as
      row(chain uuid, seq bigint, at timestamptz, kind text, result text, "tenantId" text, actor text, "requestId" text,
          detail text, hash text)
    on conflict do nothing`
}

const writeThrough = (tx: QueryClient) =>
  tx.unsafe(`do $$ begin
  execute format('set local role %I', current_user || '_audit'); end $$`)

/** Writes rows as the role that may only insert. A row that is there already, its answer having been lost, is no error. */
export async function writeRows(sql: SqlClient, rows: readonly AuditRow[], timeoutMs: number): Promise<void> {
  await sql.begin(async tx => {
    await tx.unsafe(
      `set local statement_timeout = ${Math.ceil(timeoutMs)}; set local lock_timeout = ${Math.ceil(timeoutMs)}`,
    )
    await writeThrough(tx)
    await insert(tx, rows)
  })
}

interface InboxRow {
  readonly id: string
  readonly at: Date
  readonly kind: 'tenant'
  readonly tenantId: string
  readonly actor: string | null
  readonly detail: Record<string, unknown>
}

/**
 * Moves at most `limit` changes from the inbox into the log, in one transaction; other replicas take others.
 * @param place gives them their place in a chain
 * @returns the rows written
 */
export async function moveInbox(
  sql: SqlClient,
  limit: number,
  place: (records: readonly AuditRecord[]) => readonly AuditRow[],
): Promise<readonly AuditRow[]> {
  return sql.begin(async tx => {
    const rows = await tx<InboxRow[]>`
      delete from audit_inbox where id in (
        select id from audit_inbox order by id limit ${limit} for update skip locked)
      returning id, at, kind, tenant_id as "tenantId", actor, detail`
    if (rows.length === 0) return []
    const ordered = [...rows].sort((a, b) => Number(a.id) - Number(b.id))
    const placed = place(ordered.map(({ id: _, ...record }) => ({ ...record, result: 'ok' })))
    await writeThrough(tx)
    await insert(tx, placed)
    return placed
  })
}

/** How far a chain had come in a month. */
export interface Head {
  /** `2026-11-01`. */
  readonly month: string
  readonly chain: string
  readonly seq: number
  readonly hash: string
}

/** Writes down how far every chain had come by the end of each month that is over, and returns what is new. */
export async function sealMonths(sql: SqlClient, now: Date): Promise<Head[]> {
  const rows = await sql<(Omit<Head, 'seq'> & { seq: string })[]>`
    insert into audit_heads (month, chain, seq, hash)
    select distinct on (month, chain) date_trunc('month', at at time zone 'UTC')::date as month, chain, seq, hash
    from audit_log where at < ${monthOf(now).toISOString()}
    order by month, chain, seq desc
    on conflict do nothing
    returning to_char(month, 'YYYY-MM-DD') as month, chain, seq, hash`
  return rows.map(row => ({ ...row, seq: Number(row.seq) }))
}

/** Drops sealed months that ended more than `keepMonths` ago. @returns the names of the partitions dropped */
export async function dropExpired(sql: SqlClient, now: Date, keepMonths: number): Promise<string[]> {
  const oldest = partitionName(monthOf(now, -keepMonths))
  return sql.begin(async tx => {
    await tx`select pg_advisory_xact_lock(hashtextextended('distributed_tenant.audit', 0))`
    const rows = await tx<{ name: string }[]>`
      select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
      where inhparent = 'audit_log'::regclass and relname < ${oldest} order by relname`
    for (const { name } of rows) await tx`drop table ${tx(name)}`
    return rows.map(({ name }) => name)
  })
}
