// The names of the advisory locks, and how work is run under one. All are taken in the service's central database, but
// `template`, which is taken on each instance, and `migrate`, which is taken in the database that is migrated.
// Invariant: a lock belongs to a session or a transaction, so PostgreSQL frees it when the process dies.
import type { QueryClient, SessionClient } from './types.js'

export const lockNames = {
  /** A database's migrations are applied, or kept from being applied. */
  migrate: 'distributed_tenant.migrate',
  /** The group of tenants' roles is created. */
  group: 'distributed_tenant.group',
  init: 'distributed_tenant.init',
  template: 'distributed_tenant.template',
  /** The stream is created. */
  stream: 'distributed_tenant.stream',
  spares: 'distributed_tenant.spares',
  reconcile: 'distributed_tenant.reconcile',
  /** The connections that each process may open are shared out. */
  processes: 'distributed_tenant.processes',
  /** Shared by the sessions of one process for as long as it lives. The migration’s table has its id. */
  process: (id: string): string => `distributed_tenant.process:${id}`,
  /** A process of this service carries out a migration of its tenants. */
  migrationRun: 'distributed_tenant.migration_run',
  /** A move or an import of this service runs. */
  transfer: 'distributed_tenant.transfer',
  /** A process carries out this run of a journal. */
  run: (id: string): string => `distributed_tenant.run:${id}`,
  /** The tenant's database is created, repaired, moved, restored or dropped. The SQL function `take_spare` uses it too. */
  provision: (id: string): string => `distributed_tenant.provision:${id}`,
  restore: (id: string): string => `distributed_tenant.restore:${id}`,
  /** A database that a rehearsal has created and will drop. */
  rehearsal: (database: string): string => `distributed_tenant.rehearsal:${database}`,
} as const

/** Waits for the lock, which the session then holds until it ends. */
export async function lockSession(sql: SessionClient, name: string): Promise<void> {
  await sql`select pg_advisory_lock(hashtextextended(${name}, 0))`
}

/** @returns whether the session holds the lock now; false when another session does */
export async function tryLockSession(sql: SessionClient, name: string): Promise<boolean> {
  const [row] = await sql<{ locked: boolean }[]>`select pg_try_advisory_lock(hashtextextended(${name}, 0)) as locked`
  return row?.locked === true
}

/** A session that is lost has lost its lock as well; the error of the work says more. */
const unlock = (sql: SessionClient, name: string): Promise<unknown> =>
  sql`select pg_advisory_unlock(hashtextextended(${name}, 0))`.catch(() => {})

/** Waits for the lock, runs `work`, and unlocks. @throws what `work` throws */
export async function withLock<T>(sql: SessionClient, name: string, work: () => Promise<T>): Promise<T> {
  await lockSession(sql, name)
  try {
    return await work()
  } finally {
    await unlock(sql, name)
  }
}

/** Runs `work` under the lock, or `otherwise` without it when another session holds it. @throws what either throws */
export async function ifUnlocked<T>(
  sql: SessionClient,
  name: string,
  work: () => Promise<T>,
  otherwise: () => T,
): Promise<T> {
  if (!(await tryLockSession(sql, name))) return otherwise()
  try {
    return await work()
  } finally {
    await unlock(sql, name)
  }
}

/** Runs `work`, and returns what it does, while it is visible that a process carries out this run. */
export type CarryOut = <T>(run: string, work: () => Promise<T>) => Promise<T>

/** Shared: a process whose session was lost goes on with its run, and another may have resumed it meanwhile. */
export async function withRunLock<T>(sql: SessionClient, run: string, work: () => Promise<T>): Promise<T> {
  const name = lockNames.run(run)
  await sql`select pg_advisory_lock_shared(hashtextextended(${name}, 0))`
  try {
    return await work()
  } finally {
    await sql`select pg_advisory_unlock_shared(hashtextextended(${name}, 0))`.catch(() => {})
  }
}

/** @returns those of the locks that some session holds. None is taken for it. */
export async function locksHeld(sql: QueryClient, names: readonly string[]): Promise<Set<string>> {
  if (names.length === 0) return new Set()
  const rows = await sql<{ name: string }[]>`
    select name from unnest(${[...names]}::text[]) as name
    where hashtextextended(name, 0) in (
      select (classid::bigint << 32) | objid::bigint from pg_locks
      where locktype = 'advisory' and objsubid = 1 and granted
        and database = (select oid from pg_database where datname = current_database()))`
  return new Set(rows.map(({ name }) => name))
}

/** @returns those of the runs that some process carries out */
export async function runsCarriedOut(sql: QueryClient, runs: readonly string[]): Promise<Set<string>> {
  const held = await locksHeld(sql, runs.map(lockNames.run))
  return new Set(runs.filter(run => held.has(lockNames.run(run))))
}

/** Waits for the lock, which is held until the transaction ends. */
export async function lockTransaction(tx: QueryClient, name: string): Promise<void> {
  await tx`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`
}
