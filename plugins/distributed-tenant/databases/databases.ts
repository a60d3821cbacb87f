// Owns CREATE, DROP, rights and marks of databases on this service's instance. Invariants: names reach SQL only through
// the driver's quoting of a parsed id; "already exists" is never taken for "ours" without looking at the mark.
// Runs on a session of the central database: CREATE DATABASE takes no transaction.

import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseForeign } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import type { QueryClient, ServiceName, SessionClient, TenantId } from '../types.js'

/** What stands under a name. `invalid`: an interrupted DROP left it (`datconnlimit = -2`); only DROP is possible. */
export type Found =
  | { readonly state: 'absent' | 'invalid' }
  | { readonly state: 'present'; readonly comment: string | null; readonly ours: boolean }

/** The comment that binds a database to its tenant: the owner alone can write it, so a tenant's SQL cannot forge it. */
export interface Mark {
  readonly tenant: TenantId
  readonly service: ServiceName
  readonly certificate: string
  /** Of one that was brought and not taken over yet: what is in it already, see {@link builtBy}. */
  readonly built?: string
}

/** A mark is this and its JSON. */
export const MARK_PREFIX = 'distributed-tenant:v1 '

export const markText = (mark: Mark): string => MARK_PREFIX + JSON.stringify(mark)

/** Null when the comment is missing or not one of ours. */
export function parseMark(comment: string | null): Mark | null {
  if (!comment?.startsWith(MARK_PREFIX)) return null
  try {
    const { tenant, service, certificate, built } = JSON.parse(comment.slice(MARK_PREFIX.length))
    const whole = [tenant, service, certificate].every(part => typeof part === 'string')
    return whole ? { tenant, service, certificate, ...(typeof built === 'string' && { built }) } : null
  } catch {
    return null
  }
}

/** Whether a mark is this tenant's; the certificate counts once the registry has one. */
export function markFits(
  mark: Mark,
  { tenant, service, certificate }: { tenant: TenantId; service: ServiceName; certificate: string | null },
): boolean {
  return mark.tenant === tenant && mark.service === service && (certificate ?? mark.certificate) === mark.certificate
}

/** Looks a name up in `pg_database`. `ours`: our role owns it. */
export async function inspectDatabase(sql: QueryClient, name: string): Promise<Found> {
  const [row] = await sql<{ limit: number; comment: string | null; ours: boolean }[]>`
    select datconnlimit as limit, shobj_description(oid, 'pg_database') as comment,
           pg_has_role(current_user, datdba, 'MEMBER') as ours
    from pg_database where datname = ${name}`
  if (!row) return { state: 'absent' }
  return row.limit === -2 ? { state: 'invalid' } : { state: 'present', comment: row.comment, ours: row.ours }
}

const DUPLICATE = new Set(['42P04', '23505'])
const IN_USE = '55006'

/**
 * Clones `template` under `name`. Losing a race counts as done (42P04 or 23505, facts 0.5): the caller looks at the mark.
 * A template in use is waited for, up to five tries of the server's own 5 s.
 * @returns whether this call made it
 */
export async function createDatabase(sql: SessionClient, name: string, template: string): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      // WAL_LOG writes no checkpoint and is the faster one wherever fsync is on (limits 1.1).
      await sql`create database ${sql(name)} template ${sql(template)} strategy wal_log`
      return true
    } catch (error) {
      const { code } = error as { code?: string }
      if (DUPLICATE.has(code as string)) return false
      if (code !== IN_USE || attempt === 5) throw error
      await sleep(100 * attempt + Math.random() * 200)
    }
  }
}

/** Ends its sessions and drops it; absent is fine. A template is released first. */
export async function dropDatabase(sql: SessionClient, name: string): Promise<void> {
  const found = await inspectDatabase(sql, name)
  if (found.state === 'absent') return
  // ALTER on an invalid database kills the session (faults rule 7).
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
  { id, service, certificate }: { id: TenantId; service: ServiceName; certificate: string | null },
): Promise<boolean> {
  const name = tenantDatabaseName(id, service)
  const found = await inspectDatabase(sql, name)
  if (found.state === 'present') {
    const mark = parseMark(found.comment)
    if (!found.ours || !mark || !markFits(mark, { tenant: id, service, certificate })) {
      throw new DatabaseForeign(
        `The database ${name} does not carry this tenant’s mark and was not dropped: look into it and drop it by hand.`,
      )
    }
  }
  await dropDatabase(sql, name)
  await dropRole(sql, name)
  return found.state !== 'absent'
}

/** Only after its database: what it may do there went with it. Absent is fine. */
export async function dropRole(sql: SessionClient, name: string): Promise<void> {
  await sql`drop role if exists ${sql(name)}`
}

/** A new database is open to everybody; the template's rights are not copied (faults B5). */
export async function closeToPublic(sql: QueryClient, name: string): Promise<void> {
  await sql`revoke all on database ${sql(name)} from public`
}

/** COMMENT takes no parameters, so the text is quoted by the server. */
export async function commentDatabase(sql: QueryClient, name: string, text: string): Promise<void> {
  const [row] = await sql<{ statement: string }[]>`
    select format('comment on database %I is %L', ${name}::text, ${text}::text) as statement`
  await sql.unsafe((row as { statement: string }).statement)
}
