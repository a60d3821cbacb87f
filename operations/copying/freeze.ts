// Closes a source database to writers, and opens it again as it was. Frozen: every new transaction is read only, only
// superusers (and the transfer's own role) may connect, and every session from before has ended, which is verified. Shut: it accepts no connection.
// Invariant: the caller has the data that undoes it before anything is changed. All statements run from another
// database of the same instance. If the instance goes down in between: both directions are safe to repeat.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import type { QueryClient, SessionClient } from '../../plugins/distributed-tenant/types.js'

/** The former state of a database: the roles that might connect, and its own default for transactions. */
export interface Before {
  /** Null stands for PUBLIC. */
  readonly connect: readonly { readonly role: string | null; readonly grantable: boolean }[]
  readonly readOnly: string | null
  /** The time from which it was closed, as the server writes it; absent while it is not. */
  readonly at?: string
  /** Of a move: how many rows had ever been written there. */
  readonly written?: string | null
  /** It accepts no connection, of superusers neither: of an import without a freeze, at its switch. */
  readonly shut?: boolean
}

const SETTING = 'default_transaction_read_only'

/** @throws TRANSFER_REFUSED when it is not there */
export async function readBefore(sql: QueryClient, database: string): Promise<Before> {
  const [found] = await sql<Before[]>`
    select (select split_part(entry, '=', 2) from pg_db_role_setting, unnest(setconfig) as entry
            where setdatabase = d.oid and setrole = 0 and entry like ${`${SETTING}=%`}) as "readOnly",
      (select coalesce(jsonb_agg(allowed), '[]') from (${grants(sql, database)}) allowed) as connect
    from pg_database d where datname = ${database}`
  if (!found) throw gone(database)
  return found
}

const gone = (database: string): Error =>
  new TransferRefused(`The source has no database ${database}: was it renamed? Make the plan again.`)

const grants = (sql: QueryClient, database: string) => sql<{ role: string | null; grantable: boolean }[]>`
  select rolname as role, bool_or(is_grantable) as grantable
  from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) left join pg_roles on pg_roles.oid = grantee
  where datname = ${database} and privilege_type = 'CONNECT' and (grantee = 0 or rolname is not null)
  group by rolname`

const PROOF_MS = 20_000
const BETWEEN_LOOKS_MS = 100

/**
 * Closes it and proves that no session from before is left.
 * @returns from when on it is closed
 * @throws TRANSFER_FAILED, TRANSFER_REFUSED; it may be closed in part then
 */
export async function freeze(sql: SessionClient, database: string): Promise<string> {
  // In one go, which the server takes for one transaction.
  await sql.unsafe(await closingOf(sql, database))
  const [closed] = await sql<{ at: string; left: number[] }[]>`
    with closed as materialized (select clock_timestamp() as at)
    select at::text, array(${sessions(sql, database, sql`at`)}) as left from closed`
  const { at, left } = closed as { at: string; left: number[] }
  await endSessions(sql, { database, at, left })
  return at
}

/**
 * Closes it to everybody, superusers too, and ends no session: the caller does. Within `withinMs`, or not at all.
 * @returns from when on it is closed. @throws TRANSFER_REFUSED
 */
export async function shut(sql: SessionClient, database: string, withinMs: number): Promise<string> {
  const closing = await closingOf(sql, database)
  return sql.begin(async tx => {
    await tx.unsafe(`set local statement_timeout = ${Math.ceil(withinMs)}`)
    await tx.unsafe(closing)
    await say(tx, 'alter database %I allow_connections false', database)
    const [closed] = await tx<{ at: string }[]>`select clock_timestamp()::text as at`
    return (closed as { at: string }).at
  })
}

/** One that was shut is closed as a freeze closes it: superusers may connect, and read. */
export const admitSuperusers = (sql: QueryClient, database: string): Promise<void> =>
  say(sql, 'alter database %I allow_connections true', database)

/** The statements that close it. */
async function closingOf(sql: SessionClient, database: string): Promise<string> {
  // A role that may do all this without being a superuser must still be able to copy.
  const [found] = await sql<{ prepared: boolean; closing: string }[]>`
    select exists (select from pg_prepared_xacts where database = datname) as prepared,
      concat_ws('; ', format('alter database %I set default_transaction_read_only = on', datname),
        (select string_agg(format('revoke connect on database %I from %s', datname, coalesce(quote_ident(role), 'public')), '; ')
         from (${grants(sql, database)}) allowed),
        case when not rolsuper then format('grant connect on database %I to current_user', datname) end) as closing
    from pg_database, pg_roles where datname = ${database} and rolname = current_user`
  if (!found) throw gone(database)
  if (found.prepared) {
    throw new TransferRefused(
      `${database} has prepared transactions, which survive every closing: commit or roll them back first.`,
    )
  }
  return found.closing
}

/** A session that was starting during the close shows only later, so two checks in a row must find none. */
async function endSessions(
  sql: SessionClient,
  { database, at, left: first }: { database: string; at: string; left: number[] },
): Promise<void> {
  const deadline = performance.now() + PROOF_MS
  for (let clean = 0, left = first; ; left = await sessionsFrom(sql, database, at)) {
    clean = left.length === 0 ? clean + 1 : 0
    if (clean === 2) return
    if (performance.now() > deadline) {
      throw new TransferFailed(
        `Sessions of ${database} do not end (process ${left.join(', ')}): end them by hand, then go on with --resume.`,
      )
    }
    for (const pid of left) await sql`select pg_terminate_backend(${pid})`
    await sleep(BETWEEN_LOOKS_MS)
  }
}

/** Process ids of possible writers: every session that began before the database was closed. */
async function sessionsFrom(sql: QueryClient, database: string, before: string): Promise<number[]> {
  const rows = await sessions(sql, database, sql`${before}::timestamptz`)
  return rows.map(({ pid }) => pid)
}

/** From within: whether it has stayed closed since, and every possible writer has ended. */
export async function isFrozen(sql: QueryClient, database: string, since: string): Promise<boolean> {
  const [row] = await sql<{ frozen: boolean }[]>`
    select current_setting('default_transaction_read_only') = 'on'
      and not exists (${sessions(sql, database, sql`${since}::timestamptz`)}) as frozen`
  return row?.frozen === true
}

/** From another database: whether it is closed, as a freeze or more closes it. */
export async function isClosed(sql: QueryClient, database: string): Promise<boolean> {
  const { connect, readOnly } = await readBefore(sql, database)
  return readOnly === 'on' && !connect.some(({ role }) => role === null)
}

const sessions = (sql: QueryClient, database: string, before: ReturnType<typeof sql>) => sql<{ pid: number }[]>`
  select pid from pg_stat_activity
  where datname = ${database} and pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender', 'logical replication worker')
    and backend_start <= ${before}`

/** Opens it as it was; a database that is missing is fine. */
export async function thaw(sql: SessionClient, database: string, before: Before): Promise<void> {
  const [found] = await sql`select 1 from pg_database where datname = ${database}`
  if (!found) return
  await sql.begin(async tx => {
    if (before.shut) await admitSuperusers(tx, database)
    if (before.readOnly === null) await say(tx, `alter database %I reset ${SETTING}`, database)
    else await say(tx, `alter database %I set ${SETTING} = %L`, database, before.readOnly)
    const roles = new Set((await tx<{ name: string }[]>`select rolname as name from pg_roles`).map(({ name }) => name))
    for (const { role } of await grants(tx, database)) {
      if (!before.connect.some(one => one.role === role)) await revoke(tx, database, role)
    }
    for (const { role, grantable } of before.connect) {
      // One that was dropped meanwhile needs none.
      if (role === null) await tx`grant connect on database ${tx(database)} to public`
      else if (roles.has(role)) {
        await say(tx, `grant connect on database %I to %I ${grantable ? 'with grant option' : ''}`, database, role)
      }
    }
  })
}

const revoke = (sql: QueryClient, database: string, role: string | null) =>
  role === null
    ? sql`revoke connect on database ${sql(database)} from public`
    : say(sql, 'revoke connect on database %I from %I', database, role)

/** Names may hold anything, so the server quotes them itself. */
async function say(sql: QueryClient, statement: string, ...names: string[]): Promise<void> {
  const [row] = await sql<{ text: string }[]>`select format(${statement}, variadic ${names}::text[]) as text`
  await sql.unsafe((row as { text: string }).text)
}
