// The list of all tenants for operators: searched, filtered and sorted in the database, with the ledger's statuses.
// Invariant: a page costs one query that reads no settings, and the ledger of that page's tenants alone.
import type { Lifecycle, SqlClient, TenantId } from '../../plugins/distributed-tenant/index.js'
import type { Presentation, Shown } from './presentation.js'
import type { Tenant } from './schemas/tenant.js'

export type FleetStatus = 'pending' | 'ready' | 'failed' | 'removed'

export interface FleetFilter {
  /** A part of the id, the name or the domain. */
  readonly q?: string | undefined
  readonly status?: FleetStatus | undefined
  /** The status is this service's alone. */
  readonly service?: string | undefined
  /** Without one: all that are not deleted. */
  readonly lifecycle?: Lifecycle | undefined
}

export const sorts = ['id', 'name', 'created', 'updated', 'status'] as const
export type FleetSort = (typeof sorts)[number]

export interface FleetPage extends FleetFilter {
  /** Only ids behind it. */
  readonly after?: string | undefined
  readonly sort: FleetSort
  readonly descending: boolean
  /** From 0. */
  readonly offset: number
  readonly limit: number
}

/** A tenant without its settings. */
export type FleetRow = Omit<Tenant, 'settings'>

export interface Fleet {
  page(page: FleetPage): Promise<{ items: FleetRow[]; total: number }>
  /** The tenants that a filter fits, `most` at the most; by id. */
  ids(filter: FleetFilter, most: number): Promise<TenantId[]>
  counts(): Promise<Record<FleetStatus | 'suspended' | 'deleted' | 'all', number>>
}

export const rowOf = ({ settings: _, ...row }: Tenant): FleetRow => row

export function createFleet(central: SqlClient, present: Presentation, required: readonly string[]): Fleet {
  /** `s` is a row of this tenant, and not of one that had its id before. */
  const ofTenant = (s: string) => central`${central(s)}.tenant_id = t.id
    and (${central(s)}.incarnation is null or t.incarnation is null or ${central(s)}.incarnation = t.incarnation)`

  /** Tenants, each with its status as the ledger sums it up: a join for each service, which is faster than one that is grouped. */
  const withProgress = (services: readonly string[]) => {
    const rows = services.map((service, at) => ({ service, s: `s${at}` }))
    return central`from tenants t
      ${rows.map(({ service, s }) => central`left join tenant_services ${central(s)} on ${ofTenant(s)} and ${central(s)}.service = ${service} `)}
      cross join lateral (select array[${rows.map(({ s }, at) => central`${at === 0 ? central`` : central`, `}${central(s)}.status`)}] as found) as f
      cross join lateral (select case
        when 'removed' = all (f.found) then 'removed'
        when f.found && array['failed', 'foreign'] then 'failed'
        when 'ready' = all (f.found) then 'ready'
        else 'pending' end as status) as p`
  }

  const contains = (q: string): string => `%${q.replace(/[\\%_]/g, found => `\\${found}`)}%`

  /** Without the sum over all: failed rows are few, and found in a seventh of the time (docs/benchmarks.md#the-console). */
  const failing = (services: readonly string[]) => central`exists (
    select from tenant_services s where ${ofTenant('s')} and s.service in ${central(services)}
      and s.status in ('failed', 'foreign'))`

  const servicesOf = ({ service }: FleetFilter): readonly string[] => (service ? [service] : required)

  const matching = ({ q, status, lifecycle, service }: FleetFilter) => central`
    where ${lifecycle ? central`t.lifecycle = ${lifecycle}` : central`t.lifecycle <> 'deleted'`}
      ${q ? central`and (t.id like ${contains(q.toLowerCase())} or t.name ilike ${contains(q)} or t.domain like ${contains(q.toLowerCase())})` : central``}
      ${status === 'failed' ? central`and ${failing(servicesOf({ service }))}` : status ? central`and p.status = ${status}` : central``}`

  const from = (filter: FleetFilter, sort: FleetSort) =>
    (filter.status && filter.status !== 'failed') || sort === 'status'
      ? withProgress(servicesOf(filter))
      : central`from tenants t`

  const order: Record<FleetSort, () => ReturnType<typeof central>> = {
    id: () => central`t.id`,
    name: () => central`lower(t.name)`,
    created: () => central`t.created_at`,
    updated: () => central`t.updated_at`,
    status: () => central`p.status`,
  }

  return {
    async page({ sort, descending, offset, limit, after, ...filter }) {
      const rows = await central<(Omit<Shown, 'version'> & { version: string; total: string })[]>`
        select t.id, t.name, t.domain, '{}'::jsonb as settings, t.lifecycle, t.version, t.created_at as "createdAt",
          t.updated_at as "updatedAt", t.deleted_at as "deletedAt", t.purge_after as "purgeAfter",
          count(*) over () as total
        ${from(filter, sort)} ${matching(filter)} ${after === undefined ? central`` : central`and t.id > ${after}`}
        order by ${order[sort]()} ${descending ? central`desc` : central``}, t.id limit ${limit} offset ${offset}`
      const shown = rows.map(({ total: _, ...row }) => ({ ...row, version: Number(row.version) }))
      const items = (await present.many(shown)).map(rowOf)
      const total = rows[0] ? Number(rows[0].total) : offset > 0 ? await count(filter) : 0
      return { items, total }
    },
    async ids(filter, most) {
      const rows = await central<{ id: TenantId }[]>`
        select t.id ${from(filter, 'id')} ${matching(filter)} order by t.id limit ${most}`
      return rows.map(({ id }) => id)
    },
    async counts() {
      const [row] = await central<[Awaited<ReturnType<Fleet['counts']>>]>`
        select count(*) filter (where t.lifecycle <> 'deleted')::int as all,
          count(*) filter (where t.lifecycle = 'suspended')::int as suspended,
          count(*) filter (where t.lifecycle = 'deleted')::int as deleted,
          count(*) filter (where t.lifecycle <> 'deleted' and p.status = 'ready')::int as ready,
          count(*) filter (where t.lifecycle <> 'deleted' and p.status = 'pending')::int as pending,
          count(*) filter (where t.lifecycle <> 'deleted' and p.status = 'failed')::int as failed,
          count(*) filter (where p.status = 'removed')::int as removed
        ${withProgress(required)}`
      return row
    },
  }

  /** Of a page behind the last one, whose rows have no total. */
  async function count(filter: FleetFilter): Promise<number> {
    const [row] = await central<[{ total: number }]>`
      select count(*)::int as total ${from(filter, 'id')} ${matching(filter)}`
    return row.total
  }
}
