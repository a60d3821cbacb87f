// The audit log in the database: monthly partitions, batches written through the role that may only insert (insert-rows.ts), changes of
// tenants taken from their inbox, heads and retention. Invariant: everything here is safe to repeat and to run in several replicas.
import type { QueryClient, SqlClient } from '../distributed-tenant/index.js'
import { insertRows } from './insert-rows.js'
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

/** The database's clock, read now. */
async function databaseClock(sql: QueryClient): Promise<Date> {
  const [row] = await sql<{ now: Date }[]>`select clock_timestamp() as now`
  return (row as { now: Date }).now
}

/** The earlier of both clocks: an irreversible step needs both clocks to agree that it is due. */
async function earlierClock(sql: QueryClient, now: Date): Promise<Date> {
  const database = await databaseClock(sql)
  return database < now ? database : now
}

/** Makes the partitions of this month and the next, by the clock of this process and by that of the database. */
export async function ensurePartitions(sql: SqlClient, now: Date): Promise<void> {
  const database = await databaseClock(sql)
  await makePartitions(sql, [now, monthOf(now, 1), database, monthOf(database, 1)])
}

/** @param timeoutMs how long a statement may take, and wait for a lock; default: without bound */
async function makePartitions(sql: SqlClient, dates: readonly Date[], timeoutMs?: number): Promise<void> {
  const months = new Map(dates.map(date => [partitionName(date), monthOf(date)]))
  await sql.begin(async tx => {
    if (timeoutMs !== undefined) await tx.unsafe(limits(timeoutMs))
    await tx`select pg_advisory_xact_lock(hashtextextended('distributed_tenant.audit', 0))`
    for (const [name, from] of months) {
      const [known] = await tx`select 1 from pg_class where oid = to_regclass(${name})`
      if (known) continue
      // Bounds take no parameters; both are dates computed here.
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

const limits = (timeoutMs: number): string =>
  `set local statement_timeout = ${Math.ceil(timeoutMs)}; set local lock_timeout = ${Math.ceil(timeoutMs)}`

/** PostgreSQL has no code of its own for a row without a partition: it reports a violated check without a name. */
function lacksPartition(error: unknown): boolean {
  const { code, constraint_name: name } = error as { code?: string; constraint_name?: string }
  return code === '23514' && !name
}

/**
 * Runs `write`, and once more with the partitions of its rows' months if one was missing: a clock that jumped dates rows
 * where no partition was made ahead.
 * @param rows the rows that `write` tried to insert
 */
async function withPartitions<T>(
  sql: SqlClient,
  write: () => Promise<T>,
  rows: () => readonly AuditRow[],
  timeoutMs: number,
): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!lacksPartition(error)) throw error
    const dates = rows().map(({ at }) => new Date(at))
    await makePartitions(sql, dates, timeoutMs)
    return write()
  }
}

/** From now on changes of tenants are written into the inbox. Only reads, unless that was off before. */
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

const asWriter = `do $$ begin
  execute format('set local role %I', current_user || '_audit'); end $$`

/**
 * Writes rows as the role that may only insert. A row that is there already, because its answer was lost, is no error. Makes
 * the partition that a row lacks.
 */
export async function writeRows(sql: SqlClient, rows: readonly AuditRow[], timeoutMs: number): Promise<void> {
  const write = () =>
    sql.begin(async tx => {
      // Started, as queries are lazy, and not awaited: where it fails, the server refuses the rows behind it.
      const role = tx.unsafe(`${limits(timeoutMs)}; ${asWriter}`).execute()
      await Promise.all([role, insertRows(tx, rows)])
    })
  await withPartitions(sql, write, () => rows, timeoutMs)
}

interface InboxRow {
  readonly id: string
  readonly at: Date
  readonly kind: 'tenant'
  readonly tenantId: string
  readonly actor: string | null
  readonly detail: Record<string, unknown>
}

/** Milliseconds that making a partition for changes of the inbox may take. */
const INBOX_PARTITIONS_MS = 5_000

/**
 * Moves at most `limit` changes from the inbox into the log, in one transaction; other replicas take others. Makes the
 * partition that a row lacks.
 * @param place gives them their place in a chain; called again for a second try
 * @returns the rows written
 */
export async function moveInbox(
  sql: SqlClient,
  limit: number,
  place: (records: readonly AuditRecord[]) => readonly AuditRow[],
): Promise<readonly AuditRow[]> {
  let placed: readonly AuditRow[] = []
  const move = () =>
    sql.begin(async tx => {
      const rows = await tx<InboxRow[]>`
        delete from audit_inbox where id in (
          select id from audit_inbox order by id limit ${limit} for update skip locked)
        returning id, at, kind, tenant_id as "tenantId", actor, detail`
      if (rows.length === 0) return []
      const ordered = [...rows].sort((a, b) => Number(a.id) - Number(b.id))
      placed = place(ordered.map(({ id: _, ...record }) => ({ ...record, result: 'ok' })))
      await tx.unsafe(asWriter)
      await insertRows(tx, placed)
      return placed
    })
  return withPartitions(sql, move, () => placed, INBOX_PARTITIONS_MS)
}

/** How far a chain had come in a month. */
export interface Head {
  /** `2026-11-01`. */
  readonly month: string
  readonly chain: string
  readonly seq: number
  readonly hash: string
}

/**
 * Stores how far every chain had come by the end of each month that is over by this clock and by the database's, and
 * returns what is new. A month sealed before its end would keep that head permanently.
 */
export async function sealMonths(sql: SqlClient, now: Date): Promise<Head[]> {
  const time = await earlierClock(sql, now)
  const rows = await sql<(Omit<Head, 'seq'> & { seq: string })[]>`
    insert into audit_heads (month, chain, seq, hash)
    select distinct on (month, chain) date_trunc('month', at at time zone 'UTC')::date as month, chain, seq, hash
    from audit_log where at < ${monthOf(time).toISOString()}
    order by month, chain, seq desc
    on conflict do nothing
    returning to_char(month, 'YYYY-MM-DD') as month, chain, seq, hash`
  return rows.map(row => ({ ...row, seq: Number(row.seq) }))
}

/**
 * Drops sealed months that ended more than `keepMonths` ago by this clock and by the database's.
 * @returns the names of the partitions dropped
 */
export async function dropExpired(sql: SqlClient, now: Date, keepMonths: number): Promise<string[]> {
  const oldest = partitionName(monthOf(await earlierClock(sql, now), -keepMonths))
  return sql.begin(async tx => {
    await tx`select pg_advisory_xact_lock(hashtextextended('distributed_tenant.audit', 0))`
    const rows = await tx<{ name: string }[]>`
      select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
      where inhparent = 'audit_log'::regclass and relname < ${oldest} order by relname`
    for (const { name } of rows) await tx`drop table ${tx(name)}`
    return rows.map(({ name }) => name)
  })
}
