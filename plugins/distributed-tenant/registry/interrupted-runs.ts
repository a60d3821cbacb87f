// The runs of a service's journals that have not ended, though no process carries them out: their process was killed, or has lost its
// machine. Invariant: a run that goes on is none of them, as its process holds a lock that PostgreSQL frees with the process; a run
// that has just begun takes it within the grace.
import { runsCarriedOut } from '../../../postgres/advisory-locks.js'
import type { QueryClient } from '../types.js'

export interface InterruptedRun {
  readonly id: string
  readonly kind: 'migrate' | 'move' | 'import' | 'backup' | 'drain' | 'rebalance'
}

/** Between the first row of a run and its lock. */
const GRACE_SECONDS = 5

/** None where the central database is of a release before the journals. */
export async function interruptedRuns(sql: QueryClient): Promise<InterruptedRun[]> {
  try {
    const before = await running(sql)
    if (before.length === 0) return []
    // A move of a drain is carried out by the drain.
    const held = await runsCarriedOut(sql, [
      ...new Set(before.flatMap(({ id, batch }) => (batch ? [id, batch] : [id]))),
    ])
    const silent = before.filter(({ id, batch }) => !held.has(id) && !(batch !== null && held.has(batch)))
    if (silent.length === 0) return []
    // A run that has ended meanwhile has written its end before it freed its lock.
    const after = new Set((await running(sql)).map(({ id }) => id))
    return silent.filter(({ id }) => after.has(id)).map(({ id, kind }) => ({ id, kind }))
  } catch (error) {
    if ((error as { code?: string }).code === UNDEFINED_TABLE) return []
    throw error
  }
}

/** As they are shown: `interrupted` stands in no row. */
export async function withInterrupted<T extends { readonly id: string; readonly state: string }>(
  sql: QueryClient,
  listed: readonly T[],
): Promise<(Omit<T, 'state'> & { readonly state: T['state'] | 'interrupted' })[]> {
  if (!listed.some(({ state }) => state === 'running')) return [...listed]
  const interrupted = new Set((await interruptedRuns(sql)).map(({ id }) => id))
  return listed.map(run => (interrupted.has(run.id) ? { ...run, state: 'interrupted' as const } : run))
}

const UNDEFINED_TABLE = '42P01'

const running = (sql: QueryClient) => sql<(InterruptedRun & { batch: string | null })[]>`
  select id, kind, (select min(batch_id) from move_batch_tenants where transfer_id = id) as batch from (
    select id, 'migrate' as kind, started_at from migration_runs where state = 'running'
    union all select id, kind, started_at from transfers where state = 'running'
    union all select id, 'backup', started_at from backup_runs where state = 'running'
    union all select id, kind, started_at from move_batches where state = 'running'
  ) as runs
  where started_at < now() - make_interval(secs => ${GRACE_SECONDS}::int) order by started_at`
