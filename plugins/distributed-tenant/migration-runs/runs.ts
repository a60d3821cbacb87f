// The SQL of migration runs: the goal of a run, and the progress of its tenants. A tenant's outcome and
// its schema version in the registry are one statement, so that a killed run can resume exactly.
import { randomBytes } from 'node:crypto'
import { withInterrupted } from '../registry/interrupted-runs.js'
import type { QueryClient, SqlClient, TenantId } from '../types.js'

export type RunState = 'running' | 'done' | 'stopped' | 'rolled_back'
export type TenantState = 'pending' | 'done' | 'failed' | 'rolled_back'

export interface Run {
  readonly id: string
  /** The version of the tenants' schema that it leads to. */
  readonly target: number
  readonly state: RunState
  readonly reason: string | null
  readonly startedAt: Date
  readonly endedAt: Date | null
  /** Tenants by their state. */
  readonly counts: Readonly<Record<TenantState, number>>
}

export interface RunTenant {
  readonly id: TenantId
  readonly fromVersion: number
  readonly state: TenantState
  readonly error: string | null
}

/** Tenants that are served here and whose schema is behind `target`: one query, whatever their number. */
export async function tenantsBehind(sql: QueryClient, target: number, only?: readonly string[]): Promise<TenantId[]> {
  const rows = await sql<{ id: TenantId }[]>`
    select id from tenants
    where provisioned = 'ready' and lifecycle <> 'deleted' and coalesce(schema_version, 0) < ${target}
      and moving is null
      ${only ? sql`and id in ${sql([...only])}` : sql``}
    order by id`
  return rows.map(({ id }) => id)
}

/** Records a new run over these tenants. @returns its id */
export async function beginRun(sql: SqlClient, target: number, ids: readonly TenantId[]): Promise<string> {
  const id = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(3).toString('hex')}`
  await sql.begin(async tx => {
    await tx`insert into migration_runs (id, target) values (${id}, ${target})`
    await tx`
      insert into migration_run_tenants (run_id, tenant_id, from_version)
      select ${id}, tenants.id, coalesce(schema_version, 0) from tenants where tenants.id = any(${[...ids]}::text[])`
  })
  return id
}

export async function findRun(sql: QueryClient, id: string): Promise<Run | null> {
  const [run] = await runs(sql, sql`where id = ${id}`)
  return run ?? null
}

export interface ListedRun extends Omit<Run, 'state'> {
  /** `interrupted` stands in no row: its process is gone. */
  readonly state: RunState | 'interrupted'
}

/** The newest first. */
export async function listRuns(sql: QueryClient, limit: number): Promise<ListedRun[]> {
  return withInterrupted(sql, await runs(sql, sql``, limit))
}

async function runs(sql: QueryClient, where: ReturnType<QueryClient>, limit = 1): Promise<Run[]> {
  const rows = await sql<(Omit<Run, 'counts'> & Record<TenantState, number>)[]>`
    select id, target, state, reason, started_at as "startedAt", ended_at as "endedAt",
      (select count(*) from migration_run_tenants where run_id = id and state = 'pending')::int as pending,
      (select count(*) from migration_run_tenants where run_id = id and state = 'done')::int as done,
      (select count(*) from migration_run_tenants where run_id = id and state = 'failed')::int as failed,
      (select count(*) from migration_run_tenants where run_id = id and state = 'rolled_back')::int as rolled_back
    from migration_runs ${where} order by started_at desc limit ${limit}`
  return rows.map(({ pending, done, failed, rolled_back, ...run }) => ({
    ...run,
    counts: { pending, done, failed, rolled_back },
  }))
}

export async function runTenants(sql: QueryClient, id: string, states: readonly TenantState[]): Promise<RunTenant[]> {
  return sql<RunTenant[]>`
    select tenant_id as id, from_version as "fromVersion", state, error from migration_run_tenants
    where run_id = ${id} and state in ${sql([...states])} order by tenant_id`
}

export async function endRun(sql: QueryClient, id: string, state: RunState, reason: string | null): Promise<void> {
  await sql`
    update migration_runs set state = ${state}, reason = ${reason},
      ended_at = case when ${state} = 'running' then null else now() end
    where id = ${id}`
}

/** Stops a run that goes on, here or in any other process, after the tenants under way. @returns whether it was running */
export async function stopRun(sql: QueryClient, id: string, reason: string): Promise<boolean> {
  const { count } = await sql`
    update migration_runs set state = 'stopped', reason = ${reason}, ended_at = now()
    where id = ${id} and state = 'running'`
  return count > 0
}

export interface Recorded {
  readonly id: TenantId
  readonly state: Exclude<TenantState, 'pending'>
  /** The version that its schema has now; null leaves the registry as it is. */
  readonly version: number | null
  readonly error: string | null
  readonly ms: number
}

/** The outcomes of tenants, and the versions of their schemas. @returns the state of the run, which an operator may have stopped */
export async function recordTenants(
  sql: QueryClient,
  run: string,
  outcomes: readonly Recorded[],
): Promise<RunState | undefined> {
  const [found] = await sql<{ state: RunState }[]>`
    with outcome as (
      select * from json_to_recordset(${JSON.stringify(outcomes)}::text::json) as
        one (id text, state text, version integer, error text, ms real)),
    recorded as (
      update migration_run_tenants set state = outcome.state, error = outcome.error, ms = outcome.ms
      from outcome where run_id = ${run} and tenant_id = outcome.id),
    versioned as (
      update tenants set schema_version = outcome.version
      from outcome
      where tenants.id = outcome.id and outcome.version is not null and schema_version is distinct from outcome.version)
    select state from migration_runs where id = ${run}`
  return found?.state
}
