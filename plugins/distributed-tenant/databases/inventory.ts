// The inventory of the whole fleet: each tenant's database, mark, rights and role in the catalogues, compared with the
// registry. No connection to a tenant's database; it changes nothing. Invariant: the registry's rows are read in pages, and
// what was read of the catalogues is let go with its page, so that the memory of a service does not grow by all of them.
// If an instance is down: the others are inspected all the same.

import type { TenantId } from '../../../events/index.js'
import { DEFAULT_INSTANCE } from '../config/instances.js'
import { tenantDatabaseName } from '../names.js'
import type { JsonValue, Lifecycle, Provisioned, QueryClient, ServiceName } from '../types.js'
import { type Finding, findingsOf, type InspectedRow } from './findings.js'
import type { InstanceAccess } from './instance-access.js'
import { unmanagedRoles } from './roles.js'

export interface TenantStanding {
  readonly id: TenantId
  readonly database: string
  readonly instance: string
  /** It is being moved: its rights and its role are those of the move, and no other part changes them. */
  readonly moving: 'copying' | 'frozen' | 'closing' | null
  readonly lifecycle: Lifecycle
  readonly provisioned: Provisioned
  readonly schemaVersion: number | null
  /** Empty when all is well, and for a tenant that has not been made yet. */
  readonly findings: readonly Finding[]
}

/** Objects on an instance that are no tenant's there. */
export interface Strays {
  /** With a tenant's name and in no row of the registry. */
  readonly strayDatabases: readonly string[]
  readonly strayRoles: readonly string[]
  /**
   * Databases with CONNECT for PUBLIC; not those of tenants being made, whose maker closes them right after, nor another
   * service's on this instance, which that one inspects.
   */
  readonly openDatabases: readonly string[]
  /** Roles of tenants that our role may neither grant, rename nor drop: PostgreSQL 16 and later, after pg_upgrade. */
  readonly unmanagedRoles: readonly string[]
}

/** Strays are the home instance's. */
export interface Inventory extends Strays {
  /** Every tenant of the registry, in order of id, deleted ones too. */
  readonly tenants: readonly TenantStanding[]
  /** The other instances', of those that answered. */
  readonly otherInstances: readonly (Strays & { readonly instance: string })[]
}

export interface InspectOptions {
  readonly service: ServiceName
  readonly roleKey: string
  /** The instances beside home. */
  readonly otherInstances?: readonly Pick<InstanceAccess, 'name' | 'look'>[]
}

export async function inspectFleet(sql: QueryClient, options: InspectOptions): Promise<Inventory> {
  const { otherInstances = [] } = options
  const tenants: TenantStanding[] = []
  const elsewhere: InspectedRow[] = []
  for await (const page of pages(sql, options)) {
    for (const row of page) {
      if (row.instance === DEFAULT_INSTANCE) tenants.push(standingOf(row, options))
      else elsewhere.push(row)
    }
  }
  const strays = await readStrays(sql, options, null)
  const others = await Promise.all(
    otherInstances.map(async ({ name: instance, look }) => {
      const mine = elsewhere.filter(row => row.instance === instance)
      try {
        return await look(async at => {
          // Its catalogues may be behind, and nothing that they are found to lack can be mended there.
          if (await isStandby(at))
            return { standing: mine.map(row => unknown(row, options, 'instance_standby')), strays: [] }
          return {
            standing: (await readRows(at, options, mine)).map(row => standingOf(row, options)),
            strays: [{ instance, ...(await readStrays(at, options, await named(sql, at, options), instance)) }],
          }
        })
      } catch {
        return { standing: mine.map(row => unknown(row, options, 'instance_unreachable')), strays: [] }
      }
    }),
  )
  const knownInstances = new Set([DEFAULT_INSTANCE, ...otherInstances.map(({ name }) => name)])
  const lost = elsewhere
    .filter(({ instance }) => !knownInstances.has(instance))
    .map(row => unknown(row, options, 'instance_unknown'))
  const all = [...tenants, ...others.flatMap(({ standing }) => standing), ...lost]
  return {
    ...strays,
    tenants: all.length === tenants.length ? tenants : all.sort((a, b) => (a.id < b.id ? -1 : 1)),
    otherInstances: others.flatMap(one => one.strays),
  }
}

/** Whether the server is a standby, which takes no writes. */
export async function isStandby(sql: QueryClient): Promise<boolean> {
  const [row] = await sql<{ standby: boolean }[]>`select pg_is_in_recovery() as standby`
  return row?.standby === true
}

/** Without a registry its rows are passed as an argument, and the catalogues are the server's own. */
const rowsFrom = (sql: QueryClient, rows: readonly object[] | null) =>
  rows === null
    ? sql`tenants`
    : sql`jsonb_to_recordset(${sql.json(rows as unknown as JsonValue as never)}) as tenants(id text, instance text,
        moving text, lifecycle text, provisioned text, schema_version integer, certificate text, incarnation text,
        role_key text)`

const PAGE = 500

/** The registry's rows, each with what the server has in its catalogues. */
async function* pages(sql: QueryClient, options: InspectOptions): AsyncGenerator<InspectedRow[]> {
  let after = ''
  for (;;) {
    const page = await readRows(sql, options, null, after)
    yield page
    const last = page[PAGE - 1]
    if (!last) return
    after = last.id
  }
}

/** @param given of another instance; else a page of the registry behind `after`, in order of id */
async function readRows(
  sql: QueryClient,
  { service }: InspectOptions,
  given: readonly InspectedRow[] | null,
  after = '',
): Promise<InspectedRow[]> {
  if (given?.length === 0) return []
  const rows = given?.map(({ schemaVersion, roleKey, ...row }) => ({
    ...row,
    schema_version: schemaVersion,
    role_key: roleKey,
  }))
  return sql<InspectedRow[]>`
    with named as (
      select *, format('tenant_%s_%s', id, ${service}::text)::name as target from ${rowsFrom(sql, rows ?? null)}
      where id > ${after} order by id limit ${rows ? null : PAGE}
    )
    select id, instance, moving, lifecycle, provisioned, schema_version as "schemaVersion", certificate, incarnation,
      role_key as "roleKey",
      datconnlimit as connections, pg_has_role(current_user, datdba, 'MEMBER') as ours,
      shobj_description(database.oid, 'pg_database') as comment,
      coalesce(rights.to_public, false) as "toPublic", coalesce(rights.to_others, false) as "toOthers",
      coalesce(rights.to_role, false) as "toRole",
      rolcanlogin as login,
      rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls as powerful,
      array(select distinct roles.rolname::text from pg_auth_members join pg_roles roles on roles.oid = roleid
            where member = role.oid) as groups,
      rolconfig is distinct from array['idle_in_transaction_session_timeout=60s']
        or exists (select from pg_db_role_setting where setrole = role.oid and setdatabase <> 0) as settings
    from named
    left join pg_database database on datname = target
    left join pg_roles role on rolname = target
    left join lateral (
      select bool_or(grantee = 0) as to_public,
        -- The login of an old copy that follows. Only a superuser makes one that may replicate.
        bool_or(grantee not in (0, datdba, coalesce(role.oid, 0)) and not (privilege_type = 'CONNECT' and exists (
          select from pg_roles mover where mover.oid = grantee and mover.rolreplication and starts_with(mover.rolname, 'fdt_move_')))) as to_others,
        bool_or(grantee = role.oid and privilege_type = 'CONNECT') as to_role
      from aclexplode(coalesce(datacl, acldefault('d', datdba)))) rights on datname is not null
    order by id`
}

const patternOf = (service: ServiceName): string => `^tenant_[^_]*_${service}$`

/** The registry's rows of the tenants whose names another instance has. */
async function named(sql: QueryClient, at: QueryClient, { service }: InspectOptions): Promise<object[]> {
  const names = await at<{ name: string }[]>`
    select datname as name from pg_database where datname ~ ${patternOf(service)}
    union select rolname from pg_roles where rolname ~ ${patternOf(service)}`
  return sql`
    select id, instance, certificate, lifecycle from tenants where 'tenant_' || id || '_' || ${service}::text = any(${names.map(one => one.name)}::text[])`
}

async function readStrays(
  sql: QueryClient,
  { service }: InspectOptions,
  given: readonly object[] | null,
  instance: string = DEFAULT_INSTANCE,
): Promise<Strays> {
  const pattern = patternOf(service)
  const others = await sql<{ kind: 'database' | 'role' | 'open'; name: string }[]>`
    select 'database' as kind, datname as name from pg_database
    where datname ~ ${pattern}
      and not exists (select from ${rowsFrom(sql, given)}
        where datname = format('tenant_%s_%s', id, ${service}::text) and instance = ${instance})
    union all
    select 'role', rolname from pg_roles
    where rolname ~ ${pattern}
      and not exists (select from ${rowsFrom(sql, given)} where rolname = format('tenant_%s_%s', id, ${service}::text))
    union all
    select distinct 'open', datname from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
    where grantee = 0 and privilege_type = 'CONNECT' and datallowconn
      and (datname !~ '^(tenant_[^_]+|spare|template)_[a-z0-9]+' or pg_has_role(current_user, datdba, 'MEMBER'))
      and not exists (select from ${rowsFrom(sql, given)}
        where datname = format('tenant_%s_%s', id, ${service}::text) and certificate is null and lifecycle <> 'deleted')
    order by 1, 2`
  const of = (kind: string) => others.filter(other => other.kind === kind).map(other => other.name)
  const [me] = await sql<{ name: string }[]>`select current_user::text as name`
  return {
    strayDatabases: of('database'),
    strayRoles: of('role'),
    openDatabases: of('open'),
    unmanagedRoles: await unmanagedRoles(sql, service, me?.name as string),
  }
}

function standingOf(row: InspectedRow, { service, roleKey }: InspectOptions): TenantStanding {
  const { id, instance, moving, lifecycle, provisioned, schemaVersion } = row
  const database = tenantDatabaseName(id, service)
  const findings = moving === null ? findingsOf(row, service, roleKey) : []
  return { id, database, instance, moving, lifecycle, provisioned, schemaVersion, findings }
}

function unknown(row: InspectedRow, options: InspectOptions, finding: Finding): TenantStanding {
  const standing = standingOf({ ...row, certificate: null }, options)
  return { ...standing, findings: row.certificate === null ? [] : [finding] }
}
