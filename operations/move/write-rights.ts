// Revokes a tenant's right to write while its readers go on, and grants it again. Its role leaves the group that writes,
// and gets by itself the rights to read of the group: each new statement is checked against that, whatever its session has set.
// New sessions read only by default besides, which holds for functions that run as another role. Invariant: both can be
// repeated, each is one transaction, and a failed one leaves the rights as they were.

import { prepareRole } from '../../plugins/distributed-tenant/databases/roles.js'
import type { QueryClient, ServiceName, SessionClient } from '../../plugins/distributed-tenant/types.js'

export interface RightsOf {
  /** The tenant's role, which is called like its database. */
  readonly role: string
  readonly group: string
}

/** Runs in the tenant's database, as its owner. From the commit on no statement of the tenant's that begins may write. */
export async function takeWriting(inside: SessionClient, { role, group }: RightsOf): Promise<void> {
  await inside.begin(async tx => {
    await runEach(tx, await readingRights(tx, role, group))
    await runEach(
      tx,
      await tx<{ statement: string }[]>`
        select format('revoke %I from %I', ${group}::text, ${role}::text) as statement
        union all select format('alter role %I in database %I set default_transaction_read_only = on', ${role}::text, current_database())
        -- A role that is no member of another one sees that its sessions exist, and not their statements.
        union all select format('grant %I to current_user %s', ${role}::text,
          case when current_setting('server_version_num')::int >= 160000 then 'with inherit true, set false' end)`,
    )
  })
}

const readingRights = (sql: QueryClient, role: string, group: string) => sql<{ statement: string }[]>`
  with groups as (select oid from pg_roles where rolname = ${group}),
    places as (select * from pg_namespace where nspname <> 'distributed_tenant' and nspname !~ '^pg_' and nspname <> 'information_schema')
  select format('grant usage on schema %I to %I', nspname, ${role}::text) as statement
  from places, aclexplode(nspacl) where grantee in (select oid from groups) and privilege_type = 'USAGE'
  union all
  select format('grant select on %s %I.%I to %I', case relkind when 'S' then 'sequence' else 'table' end, nspname, relname, ${role}::text)
  from places join pg_class on relnamespace = places.oid, aclexplode(relacl)
  where grantee in (select oid from groups) and privilege_type = 'SELECT' and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  union all
  select format('grant select (%I) on table %I.%I to %I', attname, nspname, relname, ${role}::text)
  from places join pg_class on relnamespace = places.oid join pg_attribute on attrelid = pg_class.oid, aclexplode(attacl)
  where grantee in (select oid from groups) and privilege_type = 'SELECT'
  union all
  select format('grant execute on routine %I.%I(%s) to %I', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid), ${role}::text)
  from places join pg_proc on pronamespace = places.oid, aclexplode(proacl)
  where grantee in (select oid from groups) and privilege_type = 'EXECUTE'`

/** Revokes the role's own rights; those of its group stay. Runs in the tenant's database. */
export async function dropOwnRights(inside: Pick<SessionClient, 'begin'>, role: string): Promise<void> {
  await inside.begin(async tx => {
    await runEach(
      tx,
      await tx<{ statement: string }[]>`
        select format('revoke all on %s %I from %I', what, nspname, ${role}::text) as statement
        from pg_namespace, unnest(array['all tables in schema', 'all sequences in schema', 'all routines in schema', 'schema']) as what
        where nspname <> 'distributed_tenant' and nspname !~ '^pg_' and nspname <> 'information_schema'`,
    )
  })
}

/**
 * The tenant's role is as every tenant's again, and in its group. `at`: a session on its instance; what the role has by
 * itself inside is taken back afterwards, so that a reader is refused nothing in between.
 */
export async function giveWriting(at: SessionClient, { role }: RightsOf, service: ServiceName): Promise<void> {
  await prepareRole(at, role, service)
  await lookNoMore(at, role)
}

/** Revokes the membership by which the service saw the tenant's sessions. */
export async function lookNoMore(at: QueryClient, role: string): Promise<void> {
  const rows = await at<{ statement: string }[]>`
    select format('revoke %I from current_user', ${role}::text) as statement
    from pg_auth_members where roleid = (select oid from pg_roles where rolname = ${role})
      and member = (select oid from pg_roles where rolname = current_user) and not admin_option`
  for (const { statement } of rows) await at.unsafe(statement)
}

async function runEach(sql: QueryClient, rows: readonly { statement: string }[]): Promise<void> {
  for (const { statement } of rows) await sql.unsafe(statement)
}
