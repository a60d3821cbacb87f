// The ledger: the progress of each service with each tenant, as the service reports it. Statuses arrive at least once and in
// any order; the newest by the service's own revision stays, so a late `failed` of an older attempt never undoes `ready`,
// however clocks differ.
import type { StatusEvent } from '../../events/index.js'
import type { SqlClient } from '../../plugins/distributed-tenant/index.js'

/** Called with the id of a tenant whose ledger changed. */
export const LEDGER_CHANNEL = 'fdt_ledger'

export type ServiceStatus = 'pending' | 'provisioning' | 'ready' | 'failed' | 'foreign' | 'removed'

/** The last status of one service for one tenant. */
export interface ServiceProgress {
  status: ServiceStatus
  step: string | null
  steps: { step: string; at: string }[]
  attempts: number
  lastError: string | null
  nextTryAt: Date | null
  updatedAt: Date | null
  readyAt: Date | null
}

export type Progress = Record<string, ServiceProgress>

/** For a service without a status yet. */
const silent: ServiceProgress = {
  status: 'pending',
  step: null,
  steps: [],
  attempts: 0,
  lastError: null,
  nextTryAt: null,
  updatedAt: null,
  readyAt: null,
}

/**
 * Stores a service's status and notifies waiters, in one statement; an older or repeated one changes nothing, nor one about
 * an earlier tenant of the same id.
 */
export async function applyStatus(event: StatusEvent, central: SqlClient): Promise<void> {
  const failed = event.status === 'failed'
  const { incarnation = null } = event
  const status: ServiceStatus = failed && event.foreign === true ? 'foreign' : event.status
  await central`
    with applied as (
      insert into tenant_services as known
        (tenant_id, service, status, step, steps, attempts, last_error, next_try_at, version, revision,
         schema_version, updated_at, ready_at, incarnation)
      select 
        ${event.id}, ${event.service}, ${status}, ${event.step ?? null}, ${central.json([...(event.steps ?? [])])},
        ${event.attempts ?? 0}, ${failed ? (event.error ?? null) : null}, ${failed ? (event.nextTryAt ?? null) : null},
        ${event.version}, ${event.revision}, ${event.schemaVersion ?? null}, ${event.at},
        ${event.status === 'ready' ? event.at : null}::timestamptz, ${incarnation}::text
      where not exists (
        select from tenants where id = ${event.id} and incarnation <> ${incarnation}::text)
      on conflict (tenant_id, service) do update set
        status = excluded.status, step = excluded.step, steps = excluded.steps, attempts = excluded.attempts,
        last_error = excluded.last_error, next_try_at = excluded.next_try_at, version = excluded.version,
        revision = excluded.revision, schema_version = coalesce(excluded.schema_version, known.schema_version),
        updated_at = excluded.updated_at, changed_by = excluded.changed_by,
        ready_at = case when known.incarnation <> excluded.incarnation then excluded.ready_at
          else coalesce(known.ready_at, excluded.ready_at) end,
        incarnation = coalesce(excluded.incarnation, known.incarnation)
      where known.revision < excluded.revision or known.incarnation <> excluded.incarnation
      returning tenant_id
    )
    select pg_notify(${LEDGER_CHANNEL}, tenant_id) from applied`
}

export type Ledger = ReturnType<typeof createLedger>

/** Reads the ledger; `required` are the services a tenant needs before it is ready. */
export function createLedger(central: SqlClient, required: readonly string[]) {
  // A status of an earlier tenant of the same id does not count for this one.
  const isOfThisTenant = central`not exists (
    select from tenants where tenants.id = said.tenant_id and tenants.incarnation <> said.incarnation)`
  return {
    /** The statuses of all services for these tenants; the required ones are there even without a status yet. */
    async read(ids: readonly string[]): Promise<Map<string, Progress>> {
      const found = new Map<string, Progress>(ids.map(id => [id, expected(required)]))
      if (ids.length === 0) return found
      const rows = await central<(ServiceProgress & { tenantId: string; service: string })[]>`
        select tenant_id as "tenantId", service, status, step, steps, attempts, last_error as "lastError",
          next_try_at as "nextTryAt", updated_at as "updatedAt", ready_at as "readyAt"
        from tenant_services said where tenant_id in ${central(ids)} and ${isOfThisTenant} order by service`
      for (const { tenantId, service, ...progress } of rows) {
        const services = found.get(tenantId)
        if (services) services[service] = progress
      }
      return found
    },

    /** Those of these tenants that are ready in every required service. */
    async ready(ids: readonly string[]): Promise<string[]> {
      if (ids.length === 0) return []
      const rows = await central<{ tenantId: string }[]>`
        select tenant_id as "tenantId" from tenant_services said
        where tenant_id in ${central(ids)} and ${isOfThisTenant} and service in ${central(required)} and status = 'ready'
        group by tenant_id having count(*) = ${required.length}`
      return rows.map(({ tenantId }) => tenantId)
    },

    /** One status for all: `failed` while any required service has failed, `ready` or `removed` when all are. */
    summarize(services: Progress): 'pending' | 'ready' | 'failed' | 'removed' {
      const statuses = required.map(service => services[service]?.status ?? 'pending')
      if (statuses.every(status => status === 'removed')) return 'removed'
      if (statuses.some(status => status === 'failed' || status === 'foreign')) return 'failed'
      return statuses.every(status => status === 'ready') ? 'ready' : 'pending'
    },
  }
}

function expected(required: readonly string[]): Progress {
  return Object.fromEntries(required.map(service => [service, { ...silent }]))
}
