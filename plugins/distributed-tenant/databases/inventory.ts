// Owns the look at the whole fleet: what the registry says against what the instance holds, with a constant number of
// queries on the central database and no connection to a tenant's. It changes nothing.
import type { SessionClient } from '../request/client.js'
import type { Lifecycle, Provisioned, QueryClient, ServiceName, TenantId } from '../types.js'
import { closeToPublic, parseMark } from './databases.js'
import { tenantDatabaseName } from './names.js'

export type Finding =
  | 'database_missing'
  | 'database_invalid'
  | 'database_foreign'
  | 'mark_missing'
  | 'mark_wrong'
  | 'open_to_public'

export interface TenantStanding {
  readonly id: TenantId
  readonly database: string
  readonly lifecycle: Lifecycle
  readonly provisioned: Provisioned
  readonly schemaVersion: number | null
  readonly findings: readonly Finding[]
}

export interface Inventory {
  readonly tenants: readonly TenantStanding[]
  readonly strayDatabases: readonly string[]
  readonly strayRoles: readonly string[]
  readonly openDatabases: readonly string[]
}

export const repairable: ReadonlySet<Finding> = new Set<Finding>(['open_to_public'])

export async function inspectFleet(sql: QueryClient, { service }: { service: ServiceName }): Promise<Inventory> {
  const databases = await sql<{ name: string; limit: number; comment: string | null; ours: boolean; open: boolean }[]>`
    select datname as name, datconnlimit as limit, shobj_description(oid, 'pg_database') as comment,
      pg_has_role(current_user, datdba, 'MEMBER') as ours,
      datacl is null or exists (select 1 from aclexplode(datacl) where grantee = 0) as open
    from pg_database where datname like ${`tenant\\_%\\_${service}`}`
  const rows = await sql<
    {
      id: TenantId
      lifecycle: Lifecycle
      provisioned: Provisioned
      schemaVersion: number | null
      certificate: string | null
    }[]
  >`select id, lifecycle, provisioned, schema_version as "schemaVersion", certificate from tenants order by id`
  const byName = new Map(databases.map(one => [one.name, one]))
  const tenants = rows.map(({ certificate, ...row }) => {
    const database = tenantDatabaseName(row.id, service)
    const found = byName.get(database)
    byName.delete(database)
    const findings: Finding[] = []
    const mark = parseMark(found?.comment ?? null)
    if (!found) findings.push('database_missing')
    else if (found.limit === -2) findings.push('database_invalid')
    else if (!found.ours) findings.push('database_foreign')
    else if (certificate !== null) {
      if (found.comment === null) findings.push('mark_missing')
      else if (mark?.tenant !== row.id || mark.service !== service || mark.certificate !== certificate)
        findings.push('mark_wrong')
      if (found.open) findings.push('open_to_public')
    }
    return { ...row, database, findings }
  })
  return { tenants, strayDatabases: [...byName.keys()], strayRoles: [], openDatabases: [] }
}

export async function repairTenant(
  sql: SessionClient,
  id: TenantId,
  { service }: { service: ServiceName },
): Promise<void> {
  await closeToPublic(sql, tenantDatabaseName(id, service))
}
