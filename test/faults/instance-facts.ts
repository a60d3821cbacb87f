// The state of one service's PostgreSQL instance, asked as superuser and in queries of its own: no query comes from
// the code that is judged by it. Every reading has connections of its own; an instance that is down throws.
import postgres from 'postgres'
import type { ServiceName } from '../../stack/names.js'
import type { RunningStack } from '../../stack/stack.js'

export interface DatabaseFact {
  readonly name: string
  readonly invalid: boolean
  readonly template: boolean
  readonly connectable: boolean
  readonly owner: string
  readonly comment: string | null
  /** A role without any grant may enter or use it. */
  readonly openToPublic: boolean
  /** The roles that may connect besides its owner. */
  readonly guests: readonly string[]
}

export interface TenantFact {
  readonly id: string
  readonly name: string
  readonly domain: string | null
  readonly settings: string
  readonly version: number
  readonly lifecycle: string
  readonly provisioned: string
  readonly schemaVersion: number | null
  readonly certificate: string | null
  readonly lastError: string | null
}

export interface OutboxFact {
  readonly messageId: string
  readonly tenant: string
  readonly subject: string
  readonly published: boolean
  readonly refused: boolean
  /** A status that was published before, because identity's ledger lacked it. */
  readonly repeated: boolean
  readonly lastError: string | null
}

export interface RoleFact {
  readonly name: string
  readonly superuser: boolean
  readonly login: boolean
  /** May create roles or databases. */
  readonly maker: boolean
  readonly groups: readonly string[]
}

export interface InstanceFacts {
  readonly databases: readonly DatabaseFact[]
  readonly roles: readonly RoleFact[]
  readonly tenants: readonly TenantFact[]
  readonly outbox: readonly OutboxFact[]
  /** Names of the spares that are on offer. */
  readonly spares: readonly string[]
  readonly dead: readonly { readonly subject: string; readonly reason: string }[]
  /** Sessions that hold a transaction open without a statement. */
  readonly idleInTransaction: number
}

/** The contents of a tenant's database. */
export interface InsideFacts {
  readonly certificates: readonly string[]
  readonly tenantSchema: number
  readonly markSchema: number
}

export async function readInstance(stack: RunningStack, service: ServiceName): Promise<InstanceFacts> {
  const [cluster, central] = [superuser(stack, service, 'postgres'), superuser(stack, service, `${service}_central`)]
  try {
    return {
      databases: await cluster<DatabaseFact[]>`
        select datname as name, datconnlimit = -2 as invalid, datistemplate as template, datallowconn as connectable,
          pg_get_userbyid(datdba) as owner, shobj_description(oid, 'pg_database') as comment,
          exists (select from aclexplode(coalesce(datacl, acldefault('d', datdba))) where grantee = 0) as "openToPublic",
          array(select distinct pg_get_userbyid(grantee)::text from aclexplode(datacl)
                where privilege_type = 'CONNECT' and grantee not in (0, datdba)) as guests
        from pg_database where datname <> 'template0'`,
      roles: await cluster<RoleFact[]>`
        select rolname as name, rolsuper as superuser, rolcanlogin as login, rolcreaterole or rolcreatedb as maker,
          array(select pg_get_userbyid(roleid)::text from pg_auth_members where member = pg_roles.oid) as groups
        from pg_roles where rolname !~ '^pg_'`,
      tenants: await central<TenantFact[]>`
        select id, name, domain, settings::text, version::int, lifecycle, provisioned, schema_version as "schemaVersion",
          certificate, last_error as "lastError" from tenants order by id`,
      outbox: await central<OutboxFact[]>`
        select message_id as "messageId", tenant_id as tenant, subject, published_at is not null as published,
          refused_at is not null as refused, coalesce((payload->>'repeated')::boolean, false) as repeated, last_error as "lastError" from outbox order by seq`,
      spares: (await central<{ name: string }[]>`select name from spares`).map(row => row.name),
      dead: await central<{ subject: string; reason: string }[]>`select subject, reason from dead_events order by id`,
      idleInTransaction: await idle(cluster),
    }
  } finally {
    await Promise.all([cluster.end({ timeout: 1 }), central.end({ timeout: 1 })])
  }
}

export async function readInside(stack: RunningStack, service: ServiceName, database: string): Promise<InsideFacts> {
  const sql = superuser(stack, service, database)
  try {
    const certificates = await sql<{ certificate: string }[]>`select certificate from distributed_tenant.certificate`
    const versions = await sql<{ set: string; version: number }[]>`
      select set, max(version) as version from distributed_tenant.schema_migrations group by set`
    const of = (name: string) => versions.find(({ set }) => set === name)?.version ?? 0
    return {
      certificates: certificates.map(row => row.certificate),
      tenantSchema: of('tenant'),
      markSchema: of('mark'),
    }
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** In a service's central database. */
export async function asSuperuser<T>(
  stack: RunningStack,
  service: ServiceName,
  ask: (sql: postgres.Sql) => PromiseLike<T>,
): Promise<T> {
  const sql = superuser(stack, service, `${service}_central`)
  try {
    return await ask(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

async function idle(sql: postgres.Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from pg_stat_activity
    where state like 'idle in transaction%' and state_change < now() - interval '5 seconds'`
  return row?.count ?? 0
}

function superuser(stack: RunningStack, service: ServiceName, database: string): postgres.Sql {
  const server = stack.servers?.postgres[service]
  if (!server) throw new Error('the ledger is checked as superuser, on servers of its own')
  const { host, port, user, password } = server
  return postgres({ host, port, user, password, database, max: 1, connect_timeout: 60, onnotice() {} })
}
