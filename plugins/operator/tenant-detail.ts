// What one service knows about one tenant: the registry's row, its database's size and sessions, its connections in this process,
// and its last audit rows, of changes and of others each. If the tenant's instance is down: size and sessions are null, the rest is there.
import {
  type OperatorAccess,
  parseTenantId,
  type RegistryRow,
  type SqlClient,
  type Tenants,
  tenantDatabaseName,
} from '../distributed-tenant/index.js'
import { newestBackup } from './runs.js'

/** The registry's columns that operators read; a certificate is none of them. */
export type RegistryView = Pick<
  RegistryRow,
  | 'id'
  | 'lifecycle'
  | 'provisioned'
  | 'instance'
  | 'moving'
  | 'schemaVersion'
  | 'version'
  | 'revision'
  | 'attempts'
  | 'step'
  | 'lastError'
  | 'nextAttemptAt'
  | 'createdAt'
  | 'updatedAt'
  | 'readyAt'
  | 'deletedAt'
  | 'purgeAfter'
>

export interface AuditView {
  readonly at: Date
  readonly kind: string
  readonly result: string
  readonly actor: string | null
  readonly detail: unknown
}

export function viewOf(row: RegistryRow): RegistryView {
  const { id, lifecycle, provisioned, instance, moving, schemaVersion, version, revision, attempts, step } = row
  const { lastError, nextAttemptAt, createdAt, updatedAt, readyAt, deletedAt, purgeAfter } = row
  return {
    ...{ id, lifecycle, provisioned, instance, moving, schemaVersion, version, revision, attempts, step },
    ...{ lastError, nextAttemptAt, createdAt, updatedAt, readyAt, deletedAt, purgeAfter },
  }
}

interface DatabaseView {
  readonly name: string
  readonly bytes: number | null
  readonly sessions: number | null
}

export interface TenantDetail {
  readonly service: string
  readonly schemaVersion: number
  readonly registry: RegistryView | null
  readonly database: DatabaseView
  readonly connections: { readonly open: number; readonly inUse: number; readonly waiting: number }
  /** The newest archive that has its database; null without one in the journal's time. */
  readonly backup: { readonly at: Date; readonly target: string } | null
  readonly audit: readonly AuditView[]
}

/** Of changes, and of other rows: many calls and views push no change out. */
const AUDIT_ROWS = 30
/** Rows that are looked through for them: a busy tenant has an access row for every request. */
const AUDIT_DEPTH = 2_000

export async function tenantDetail(
  id: string,
  { tenants, access, central }: { tenants: Tenants; access: OperatorAccess; central: SqlClient },
): Promise<TenantDetail> {
  const tenant = parseTenantId(id)
  const row = await tenants.find(tenant)
  const name = tenantDatabaseName(tenant, access.service)
  const [audit, database, backup] = await Promise.all([
    auditOf(central, tenant),
    databaseOf(access, row, name),
    newestBackup(central, tenant),
  ])
  const { open = 0, inUse = 0, waiting = 0 } = tenants.connectionInfo().tenants[name] ?? {}
  return {
    service: access.service,
    schemaVersion: access.schemaVersion,
    registry: row && viewOf(row),
    database,
    connections: { open, inUse, waiting },
    backup,
    audit,
  }
}

function auditOf(central: SqlClient, id: string): Promise<AuditView[]> {
  return central<AuditView[]>`
    select at, kind, result, actor, detail from (
      select *, row_number() over (partition by kind = 'tenant' order by at desc) as nth from (
        select at, kind, result, actor, detail from audit_log where tenant_id = ${id} order by at desc limit ${AUDIT_DEPTH}
      ) as newest where kind <> 'access'
    ) as numbered where nth <= ${AUDIT_ROWS} order by at desc`
}

async function databaseOf(access: OperatorAccess, row: RegistryRow | null, name: string): Promise<DatabaseView> {
  const unknown = { name, bytes: null, sessions: null }
  const instance = access.instances.find(one => one.name === row?.instance)
  if (!instance) return unknown
  try {
    const [found] = await instance.look(
      sql => sql<{ bytes: number; sessions: number }[]>`
        select pg_database_size(oid)::float8 as bytes,
          (select count(*)::int from pg_stat_activity where datid = pg_database.oid) as sessions
        from pg_database where datname = ${name} and datconnlimit <> -2`,
    )
    return { ...unknown, ...found }
  } catch {
    // Its state is on the overview; this page has the rest all the same.
    return unknown
  }
}

/** The rows of several tenants, in no order; unknown ids are left out. */
export async function registryRows(tenants: Tenants, ids: readonly string[]): Promise<RegistryView[]> {
  const rows = await Promise.all(ids.map(id => tenants.find(id)))
  return rows.flatMap(row => (row ? [viewOf(row)] : []))
}

/** Of all rows, by id; deleted tenants too. */
export async function registryPage(
  tenants: Tenants,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<{ items: RegistryView[]; next: string | null }> {
  const rows = await tenants.list({ limit, ...(after !== undefined && { after }) })
  return { items: rows.map(viewOf), next: rows.length === limit ? (rows.at(-1)?.id ?? null) : null }
}
