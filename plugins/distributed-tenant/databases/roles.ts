// The login roles of tenants and the group they are members of. Invariants: a tenant's role owns nothing, may connect to its
// one database, and has its group's rights there; only the service's role makes and changes them. Everything here runs on the
// central database and is safe to repeat.

import { lockNames, lockTransaction } from '../../../postgres/advisory-locks.js'
import type { Credentials } from '../credentials/role-credentials.js'
import { RoleKeyUnknown } from '../errors.js'
import { tenantDatabaseName, tenantGroupName } from '../names.js'
import type { QueryClient, ServiceName, SessionClient, TenantId } from '../types.js'

/** Also made by `init`; here for a service whose `init` was of an earlier release. */
export async function ensureTenantGroup(sql: SessionClient, service: ServiceName): Promise<void> {
  const name = tenantGroupName(service)
  const [known] = await sql`select 1 from pg_roles where rolname = ${name}`
  if (known) return
  // Two replicas at their first start: one waits and finds the group made.
  await sql.begin(async tx => {
    await lockTransaction(tx, lockNames.group)
    const [made] = await tx`select 1 from pg_roles where rolname = ${name}`
    if (!made) await tx`create role ${tx(name)} nologin`
  })
}

/** Makes or repairs the role of a database, and the rights on it. It cannot log in yet. */
export async function prepareRole(sql: QueryClient, database: string, service: ServiceName): Promise<void> {
  await sql`select prepare_tenant_role(${database}, ${database}, ${tenantGroupName(service)})`
}

/**
 * Takes a tenant's role out of every database but its own: one that was renamed by hand keeps the rights of its earlier
 * name, and a later tenant of the same id has the same role.
 */
export async function closeOtherDatabases(sql: QueryClient, role: string): Promise<void> {
  const rows = await sql<{ database: string }[]>`
    select distinct datname as database from pg_database, aclexplode(datacl)
    where datname <> ${role} and grantee = (select oid from pg_roles where rolname = ${role})
      and pg_has_role(current_user, datdba, 'MEMBER')`
  for (const { database } of rows) await sql`revoke all on database ${sql(database)} from ${sql(role)}`
}

/**
 * Lets the tenant's role log in by the current key, and records the key in the registry. `central` is `at` on the home
 * instance, where both are one statement. Not over a key that this process
 * does not have: two processes with different secrets would alternately lock each other out, and every request of both.
 * @throws TENANT_ROLE_KEY_UNKNOWN
 */
export async function openRole(
  at: QueryClient,
  central: QueryClient,
  id: TenantId,
  options: RoleOptions,
): Promise<void> {
  if (at !== central) {
    await openRoleAt(at, central, id, options)
    return noteKey(central, id, options)
  }
  const { service, credentials } = options
  await requireKey(at, id, credentials)
  const role = tenantDatabaseName(id, service)
  await at`select open_tenant_role(${id}, ${role}, ${credentials.verifier(id)}, ${credentials.current})`
}

export interface RoleOptions {
  readonly service: ServiceName
  readonly credentials: Credentials
}

/**
 * {@link openRole} on an instance that is not the registry's, in two parts: the key is recorded by {@link noteKey}. Each can
 * be repeated. @throws TENANT_ROLE_KEY_UNKNOWN
 */
export async function openRoleAt(
  at: QueryClient,
  central: QueryClient,
  id: TenantId,
  { service, credentials }: RoleOptions,
): Promise<void> {
  await requireKey(central, id, credentials)
  const role = tenantDatabaseName(id, service)
  // The server quotes it, as ALTER ROLE takes no parameters; a verifier is no password.
  const [row] = await at<{ statement: string }[]>`
    select format('alter role %I login password %L', ${role}::text, ${credentials.verifier(id)}::text) as statement`
  await at.unsafe((row as { statement: string }).statement)
}

export async function noteKey(central: QueryClient, id: TenantId, { credentials }: RoleOptions): Promise<void> {
  await central`update tenants set role_key = ${credentials.current} where id = ${id}`
}

async function requireKey(central: QueryClient, id: TenantId, credentials: Credentials): Promise<void> {
  const [row] = await central<{ key: string | null }[]>`select role_key as key from tenants where id = ${id}`
  const key = row?.key ?? credentials.current
  if (!credentials.keys.includes(key)) throw new RoleKeyUnknown(key)
}

/** The roles that a service makes: of its tenants and spares, and their group. */
const ofTenants = (sql: QueryClient, service: ServiceName) =>
  sql`(rolname = ${tenantGroupName(service)} or rolname ~ ${`^(tenant_[^_]*|spare)_${service}(_[0-9]+)?$`})`

/**
 * The roles that `user` has made and may neither grant, rename nor drop. PostgreSQL 16 and later want ADMIN OPTION on each,
 * which they give to the maker of a role, and pg_upgrade from an older version to no role.
 */
export async function unmanagedRoles(sql: QueryClient, service: ServiceName, user: string): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select rolname as name from pg_roles
    where ${ofTenants(sql, service)} and current_setting('server_version_num')::int >= 160000
      and not pg_has_role(${user}::name, oid, 'USAGE WITH ADMIN OPTION')
    order by 1`
  return rows.map(row => row.name)
}

/**
 * Gives `user` the right over its roles, as a superuser, and each of its tenants' roles the group's rights without the right to
 * become the group, as on PostgreSQL 16 and later from the start.
 * @returns the roles that were without it
 */
export async function manageRoles(sql: SessionClient, service: ServiceName, user: string): Promise<string[]> {
  const roles = await unmanagedRoles(sql, service, user)
  if (roles.length === 0) return roles
  const group = tenantGroupName(service)
  const members = await sql<{ name: string }[]>`
    select distinct roles.rolname as name from pg_auth_members join pg_roles roles on roles.oid = member
    where roleid = (select oid from pg_roles where rolname = ${group}) and ${ofTenants(sql, service)}`
  await sql.begin(async tx => {
    for (const role of roles) await tx`grant ${tx(role)} to ${tx(user)} with admin true, inherit false, set false`
    for (const { name } of members) await tx`grant ${tx(group)} to ${tx(name)} with inherit true, set false`
  })
  return roles
}

/** Roles of tenants with more rights than work in their database needs; there are none unless they were granted by hand. */
export async function powerfulRoles(sql: QueryClient, service: ServiceName): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select rolname as name from pg_roles
    where ${ofTenants(sql, service)}
      and (rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls)
    order by 1`
  return rows.map(row => row.name)
}
