// CREATE, DROP, rights and marks of databases on this service's instance. Runs on a session of the central database: CREATE
// DATABASE takes no transaction.
// Invariant: names reach SQL only through the driver's quoting of a parsed id; "already exists" is never taken for "ours"
// without a check of the mark; a new database takes no connection before PUBLIC has lost CONNECT on it.

import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseEntered, DatabaseForeign } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import type { QueryClient, ServiceName, SessionClient, TenantId } from '../types.js'
import { markFits, parseMark } from './marks.js'

/** The database of a name. `invalid`: an interrupted DROP left it (`datconnlimit = -2`); only DROP is possible. */
export type Found =
  | { readonly state: 'absent' | 'invalid' }
  | {
      readonly state: 'present'
      readonly comment: string | null
      readonly ours: boolean
      /** As a killed {@link createDatabase} leaves it: takes no connections, never opened, no comment. */
      readonly unfinished: boolean
      /** PUBLIC may connect. */
      readonly toPublic: boolean
    }

/** Looks a name up in `pg_database`. `ours`: our role owns it. */
export async function inspectDatabase(sql: QueryClient, name: string): Promise<Found> {
  const [row] = await sql<
    { limit: number; comment: string | null; ours: boolean; untouched: boolean; toPublic: boolean }[]
  >`
    select datconnlimit as limit, shobj_description(oid, 'pg_database') as comment,
           pg_has_role(current_user, datdba, 'MEMBER') as ours, datacl is null and not datallowconn as untouched,
           has_database_privilege('public', oid, 'CONNECT') and datallowconn as "toPublic"
    from pg_database where datname = ${name}`
  if (!row) return { state: 'absent' }
  if (row.limit === -2) return { state: 'invalid' }
  const { comment, ours, untouched, toPublic } = row
  return { state: 'present', comment, ours, unfinished: untouched && comment === null, toPublic }
}

/** How a database was made, as the server writes it. */
export interface Locale {
  readonly encoding: string
  readonly collate: string
  readonly ctype: string
  /** Null where the C library sorts. */
  readonly icuLocale: string | null
}

export interface Creation {
  readonly template: string
  /** Default: the role of the session. */
  readonly owner?: string
  /** Default: the template's. */
  readonly locale?: Locale
  /** Written in the transaction that opens it. */
  readonly comment?: string
  /** Called while it exists and takes no connections yet. */
  readonly onMade?: () => void
}

const IN_USE = '55006'

/**
 * Makes a database that only its owner may enter. The server gives CONNECT to PUBLIC and copies no rights of the template,
 * and REVOKE ends no session, so it takes no connections until PUBLIC has lost the right. Killed in between, it leaves a
 * database that {@link inspectDatabase} calls unfinished. A template in use is waited for, up to five tries of the server's
 * own 5 s.
 * @throws 42P04 or 23505 when the name is taken, DATABASE_ENTERED
 */
export async function createDatabase(sql: SessionClient, name: string, creation: Creation): Promise<void> {
  const statement = await creationStatement(sql, name, creation)
  for (let attempt = 1; ; attempt++) {
    try {
      await sql.unsafe(statement)
      break
    } catch (error) {
      if ((error as { code?: string }).code !== IN_USE || attempt === 5) throw error
      await sleep(100 * attempt + Math.random() * 200)
    }
  }
  creation.onMade?.()
  await openToOwner(sql, name, creation.comment)
}

/** Names and locales may hold anything; the server quotes them. */
async function creationStatement(sql: QueryClient, name: string, creation: Creation): Promise<string> {
  const { template, owner = null, locale } = creation
  // WAL_LOG writes no checkpoint and is the faster one wherever fsync is on. A server before 15 does not know it: the start
  // refuses such a server by name, after `init` has made its databases.
  const parts = ['create database %1$I template %2$I %8$s allow_connections false']
  if (owner !== null) parts.push('owner %3$I')
  if (locale) parts.push('encoding %4$L lc_collate %5$L lc_ctype %6$L')
  if (locale && locale.icuLocale !== null) parts.push('locale_provider icu icu_locale %7$L')
  const { encoding = null, collate = null, ctype = null, icuLocale = null } = locale ?? {}
  const [row] = await sql<{ statement: string }[]>`
    select format(${parts.join(' ')}, ${name}::text, ${template}::text, ${owner}::text, ${encoding}::text,
      ${collate}::text, ${ctype}::text, ${icuLocale}::text,
      case when current_setting('server_version_num')::int >= 150000 then 'strategy wal_log' end) as statement`
  return (row as { statement: string }).statement
}

/**
 * Opens a database that takes no connections to its owner, and not to PUBLIC: one transaction, so that no session sees the
 * one without the other. @throws DATABASE_ENTERED when a session is in it all the same
 */
export async function openToOwner(sql: SessionClient, name: string, comment: string | null = null): Promise<void> {
  const [row] = await sql<{ opening: string; inside: string | null }[]>`
    select concat_ws(';', format('revoke all on database %I from public', ${name}::text),
        case when ${comment}::text is not null then format('comment on database %I is %L', ${name}::text, ${comment}::text) end,
        format('alter database %I allow_connections true', ${name}::text)) as opening,
      (select string_agg(pid::text, ', ') from pg_stat_activity where datname = ${name} and usesysid is not null) as inside`
  const { opening, inside } = row as { opening: string; inside: string | null }
  if (inside !== null) throw new DatabaseEntered(name, inside)
  await sql.unsafe(opening)
}

/** Ends its sessions and drops it; absent is fine. A template is released first. */
export async function dropDatabase(sql: SessionClient, name: string): Promise<void> {
  const found = await inspectDatabase(sql, name)
  if (found.state === 'absent') return
  // ALTER on an invalid database kills the session (docs/decisions/0004).
  if (found.state === 'present') await sql`alter database ${sql(name)} is_template false`
  await sql`drop database if exists ${sql(name)} with (force)`
}

/**
 * Ends the sessions of a tenant's database, drops it, and then its role. Each can be repeated; absent is fine.
 * @returns whether there was a database
 * @throws TENANT_DATABASE_FOREIGN when the name is held by a database without this tenant's mark
 */
export async function dropTenantDatabase(
  sql: SessionClient,
  {
    id,
    service,
    certificate,
    incarnation,
  }: { id: TenantId; service: ServiceName; certificate: string | null; incarnation: string | null },
): Promise<boolean> {
  const name = tenantDatabaseName(id, service)
  const found = await inspectDatabase(sql, name)
  if (found.state === 'present') {
    const mark = parseMark(found.comment)
    if (!found.ours || !mark || !markFits(mark, { tenant: id, service, certificate, incarnation })) {
      throw new DatabaseForeign(
        `The database ${name} does not carry this tenant’s mark and was not dropped: inspect it and drop it by hand.`,
      )
    }
  }
  await dropDatabase(sql, name)
  await dropRole(sql, name)
  return found.state !== 'absent'
}

/** Only after its database, with which the role's rights are dropped. Absent is fine. */
export async function dropRole(sql: SessionClient, name: string): Promise<void> {
  await sql`drop role if exists ${sql(name)}`
}

/** Takes CONNECT from PUBLIC on a database that was open to it, and ends the sessions that connected by that right. */
export async function closeToPublic(sql: QueryClient, name: string): Promise<void> {
  await sql`revoke all on database ${sql(name)} from public`
  await endUninvited(sql, name)
}

const END_MS = 20_000
const BETWEEN_LOOKS_MS = 100

/**
 * Ends the sessions of roles that may not connect: REVOKE ends none. A session that was starting at the revoke shows only
 * later, so two checks in a row must find none. @throws DATABASE_ENTERED when they do not end
 */
export async function endUninvited(sql: QueryClient, name: string): Promise<void> {
  const deadline = performance.now() + END_MS
  for (let clean = 0; clean < 2; ) {
    const left = await sql<{ pid: number }[]>`
      select pid, pg_terminate_backend(pid) from pg_stat_activity
      where datname = ${name} and usesysid is not null and not has_database_privilege(usesysid, datid, 'CONNECT')`
    clean = left.length === 0 ? clean + 1 : 0
    if (left.length > 0 && performance.now() > deadline) {
      throw new DatabaseEntered(name, left.map(({ pid }) => pid).join(', '))
    }
    if (clean < 2) await sleep(BETWEEN_LOOKS_MS)
  }
}

/** COMMENT takes no parameters, so the text is quoted by the server. */
export async function commentDatabase(sql: QueryClient, name: string, text: string): Promise<void> {
  const [row] = await sql<{ statement: string }[]>`
    select format('comment on database %I is %L', ${name}::text, ${text}::text) as statement`
  await sql.unsafe((row as { statement: string }).statement)
}
