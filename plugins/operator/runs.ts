// The runs that a service's central database has a journal of: migrations of all tenants, moves, drains, imports and backups. Each names
// the commands that go on with it or take it back; migrations and drains the service can carry out itself, see run-routes.ts.
import { type InterruptedRun, type SqlClient, withInterrupted } from '../distributed-tenant/index.js'

export interface RunCommand {
  readonly what: string
  readonly command: string
}

export interface Run {
  readonly id: string
  readonly kind: InterruptedRun['kind']
  /** `interrupted`: its process is gone. */
  readonly state: 'running' | 'interrupted' | 'done' | 'stopped' | 'rolled_back'
  /** The version a migration leads to; the places of a move; the server of an import; the file or folder of a backup; the instance of a drain. */
  readonly goal: string
  readonly reason: string | null
  readonly startedAt: Date
  readonly endedAt: Date | null
  /** The newest change of a tenant's outcome, where the journal has it. */
  readonly changedAt: Date | null
  /** Tenants by how far they are. */
  readonly counts: Readonly<Record<string, number>>
  /** Whether the service can stop it and go on with it. */
  readonly here: boolean
  /** What is to be done about it; null where it goes on or is over. */
  readonly cure: string | null
  /** The commands that go on with it or take it back; null where there is nothing to do. */
  readonly resume: string | null
  readonly rollback: string | null
  /** What else may come next, like the way back of a move. */
  readonly next: readonly RunCommand[]
}

export interface RunTenant {
  /** Null: the central database, of a backup. */
  readonly id: string | null
  readonly state: string
  readonly error: string | null
  /** Milliseconds, where the journal has them. */
  readonly ms: number | null
  readonly bytes: number | null
}

type Row = Omit<Run, 'here' | 'cure' | 'resume' | 'rollback' | 'next' | 'counts'> & {
  counts: Record<string, number> | null
  /** The tenant of a move. */
  tenant: string | null
}

/** @param only `kind`: runs of it alone; `drains`: whether this service carries drains out */
export async function listRuns(
  central: SqlClient,
  service: string,
  limit: number,
  { kind = null, drains }: { kind?: Run['kind'] | null | undefined; drains: boolean },
): Promise<Run[]> {
  const rows = await central<Row[]>`
    select * from (
    select id, 'migrate' as kind, state, 'version ' || target as goal, reason, started_at as "startedAt",
      ended_at as "endedAt", null::timestamptz as "changedAt", null as tenant, (select json_object_agg(state, count) from (
        select state, count(*)::int as count from migration_run_tenants where run_id = id group by state) as by_state) as counts
    from migration_runs
    union all
    select id, kind, state, source, null, started_at, ended_at,
      (select max(updated_at) from transfer_tenants where transfer_id = id),
      case kind when 'move' then (select min(tenant_id) from transfer_tenants where transfer_id = id) end,
      (select json_object_agg(step, count) from (
        select step, count(*)::int as count from transfer_tenants where transfer_id = id group by step) as by_step)
    from transfers where kind in ('move', 'import')
    union all
    select id, 'backup', state, target, actor, started_at, ended_at,
      (select max(changed_at) from backup_archives where run_id = id), null, (select json_object_agg(state, count) from (
        select state, count(*)::int as count from backup_archives where run_id = id group by state) as by_state)
    from backup_runs
    union all
    select id, kind, state, coalesce(instance, ''), null, started_at, ended_at,
      (select max(updated_at) from move_batch_tenants where batch_id = id), null, (select json_object_agg(state, count) from (
        select state, count(*)::int as count from move_batch_tenants where batch_id = id group by state) as by_state)
    from move_batches) as runs
    where ${kind}::text is null or kind = ${kind}
    order by "startedAt" desc limit ${limit}`
  return (await withInterrupted(central, rows)).map(row => {
    const { tenant, ...run } = row
    const here = row.kind === 'migrate' || (row.kind === 'drain' && drains)
    const cure = row.state !== 'interrupted' ? null : here && row.kind === 'drain' ? drainGoesOn : cures[row.kind]
    return { ...run, counts: row.counts ?? {}, here, cure, ...waysOn(row, service) }
  })
}

export async function runTenants(central: SqlClient, id: string, limit: number): Promise<RunTenant[]> {
  return central<RunTenant[]>`
    select id, state, error, ms, bytes from (
      select tenant_id as id, state, error, ms::float8 as ms, null::float8 as bytes
      from migration_run_tenants where run_id = ${id}
      union all
      select tenant_id, step, error, frozen_ms, bytes::float8 from transfer_tenants where transfer_id = ${id}
      union all
      select tenant_id, state, error, null, bytes::float8 from backup_archives where run_id = ${id}
      union all
      select batch.tenant_id, batch.state, coalesce(batch.error, move.error), move.frozen_ms, batch.bytes::float8
      from move_batch_tenants as batch left join transfer_tenants as move using (transfer_id, tenant_id)
      where batch_id = ${id}
    ) as tenants order by error is null, id nulls first limit ${limit}`
}

/** The newest archive that has this tenant's database of this service; null without one in the time that the journal keeps. */
export async function newestBackup(central: SqlClient, tenant: string): Promise<{ at: Date; target: string } | null> {
  const [found] = await central<{ at: Date; target: string }[]>`
    select changed_at as at, target from backup_archives join backup_runs on backup_runs.id = run_id
    where tenant_id = ${tenant} and backup_archives.state = 'done' order by changed_at desc limit 1`
  return found ?? null
}

const goesOn =
  'Its process is gone. Resume goes on from the journal, in the service or by the command; Roll back takes it back.'
const byCommand = 'Its process is gone. Its command goes on from the journal'
const drainGoesOn =
  'Its process is gone. Resume goes on from the journal, in the service; the same command does it too.'
/** Of an interrupted run. */
export const cures: Readonly<Record<Run['kind'], string>> = {
  migrate: goesOn,
  move: `${byCommand}, or takes it back; until then its tenant may refuse writes.`,
  import: `${byCommand}, or takes it back; until then tenants under way are closed at their source.`,
  backup:
    'Its process is gone. Begin it again, a backup of all tenants in a new folder: archives that are done stay, and the next backup takes this one off the list.',
  drain: `${byCommand}: give it again.`,
  rebalance: `${byCommand}: give it again.`,
}

const nothing = { resume: null, rollback: null, next: [] }

function waysOn(row: Row, service: string): Pick<Run, 'resume' | 'rollback' | 'next'> {
  const { id, kind, state, goal, tenant } = row
  // A backup is begun again: what is written stays.
  if (kind === 'backup') return nothing
  const command = `distributed-tenant ${kind === 'import' ? 'import-hybrid' : kind}`
  // The user stands in no journal; `postgres` is the default of the command's examples.
  const on = kind === 'import' ? `--from postgres://postgres@${goal}` : `--service ${service}`
  const unfinished = state !== 'done' && state !== 'rolled_back'
  // The same command resumes it. Each of its tenants goes back by `move --back`.
  if (kind === 'drain' || kind === 'rebalance')
    return { ...nothing, resume: unfinished ? `${command} ${kind === 'drain' ? `${goal} ` : ''}${on}` : null }
  return {
    resume: unfinished ? `${command} ${on} --resume ${id}` : null,
    // A move that was switched goes back by `--back`, while its old database follows.
    rollback: state === 'rolled_back' || (kind === 'move' && !unfinished) ? null : `${command} ${on} --rollback ${id}`,
    next: kind === 'move' && tenant !== null ? afterMove(row.counts ?? {}, tenant, service) : [],
  }
}

function afterMove(steps: Readonly<Record<string, number>>, tenant: string, service: string): RunCommand[] {
  const move = `distributed-tenant move ${tenant} --service ${service}`
  const back = [
    { what: 'Take it back to where it was', command: `${move} --back` },
    { what: 'End the way back', command: `${move} --finish` },
  ]
  const drop = { what: 'Drop the database it came from, for good', command: `${move} --drop-source` }
  if (steps.following) return [...back, drop]
  return steps.switched ? [drop] : []
}
