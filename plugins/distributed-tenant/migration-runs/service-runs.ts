// The migration runs that the service itself carries out, for the operator API: one at a time in all processes of the service,
// beside its requests. Invariants: a run is in the journal before it is answered; it ends with the process, and is then gone on
// with from its records. If the central database is down: the run ends with its error, and counts as interrupted when it is back.

import { ifUnlocked, lockNames, withRunLock } from '../../../postgres/advisory-locks.js'
import { within } from '../../../timing/deadline.js'
import type { Session } from '../databases/instance-access.js'
import { MigrationRunning } from '../errors.js'
import {
  type BegunRun,
  type FleetParts,
  type MigrateOptions,
  migrateFleet,
  type RunResult,
  resumeRun,
  rollBackRun,
} from './migrate.js'
import { stopRun } from './runs.js'

export interface ServiceRuns {
  /** @returns null when no tenant is behind. @throws MIGRATION_RUNNING */
  start(options: Pick<MigrateOptions, 'only' | 'canaries'>): Promise<BegunRun | null>
  /** @throws MIGRATION_RUNNING, MIGRATION_RUN_NOT_FOUND, MIGRATION_INVALID */
  resume(id: string): Promise<BegunRun | null>
  /** @throws MIGRATION_RUNNING, MIGRATION_RUN_NOT_FOUND, MIGRATION_INVALID when an undo file is missing */
  rollBack(id: string): Promise<BegunRun | null>
  /** In any process, the command's too, after the tenants under way. @returns false for a run that does not go on */
  stop(id: string, reason: string): Promise<boolean>
  /** Interrupts a run of this process and waits for the tenants under way. */
  close(deadlineMs: number): Promise<void>
}

/** Connections beside the budget while a run goes on. */
const CONCURRENCY = 2

export function createServiceRuns(
  parts: Omit<FleetParts, 'carryOut'>,
  { session, onEnd }: { session: Session; onEnd: (result: RunResult | null, error: unknown) => void },
): ServiceRuns {
  const closing = new AbortController()
  const running = new Set<Promise<unknown>>()

  /** Settles when the run is in the journal, or has nothing to do, or is refused; the run goes on. */
  function begin(work: (parts: FleetParts, how: MigrateOptions) => Promise<RunResult>): Promise<BegunRun | null> {
    return new Promise((resolve, reject) => {
      let begun = false
      const onBegin = (run: BegunRun): void => {
        begun = true
        resolve(run)
      }
      const locked = session(sql =>
        ifUnlocked(
          sql,
          lockNames.migrationRun,
          () =>
            work(
              { ...parts, carryOut: (run, carried) => withRunLock(sql, run, carried) },
              { concurrency: CONCURRENCY, signal: closing.signal, onBegin },
            ),
          () => {
            throw new MigrationRunning()
          },
        ),
      )
      const ended = locked.then(
        result => {
          if (begun) onEnd(result, null)
          else resolve(null)
        },
        error => {
          if (begun) onEnd(null, error)
          else reject(error)
        },
      )
      running.add(ended)
      void ended.finally(() => running.delete(ended))
    })
  }

  return {
    start: options => begin((mine, how) => migrateFleet(mine, { ...how, ...options })),
    resume: id => begin((mine, how) => resumeRun(mine, id, how)),
    rollBack: id => begin((mine, how) => rollBackRun(mine, id, how)),
    stop: (id, reason) => stopRun(parts.central, id, reason),
    async close(deadlineMs) {
      closing.abort()
      await within(deadlineMs, Promise.all(running), () => [])
    },
  }
}
