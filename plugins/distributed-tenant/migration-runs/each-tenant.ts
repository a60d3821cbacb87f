// The work of a run on its tenants, some side by side: each tenant's outcome is recorded as it happens. Invariants: a failure stops the
// others only by the stated rate, or an operator does; a tenant under way is finished; a worker has one outcome at most that is not
// recorded. If the central database is down: its error is thrown once the tenants under way are finished.
import { tenantDatabaseName } from '../names.js'
import type { ServiceName, SqlClient, TenantId } from '../types.js'
import { createRecorder } from './recorder.js'
import { type Recorded, type RunTenant, recordTenants } from './runs.js'

export interface CourseParts {
  readonly service: ServiceName
  readonly central: SqlClient
  /** A direct client of a database, closed when the function has settled. */
  readonly withDirectConnection: <T>(database: string, fn: (sql: SqlClient) => Promise<T>) => Promise<T>
}

export interface CourseOptions {
  /** Tenants worked on side by side. Default 4: 4 to 8 is the knee (docs/benchmarks.md). */
  readonly concurrency?: number
  /** The share of failures that stops the run, judged from {@link JUDGED_FROM} tenants on. Default 0.05; 1 never stops. */
  readonly stopAt?: number
  /** Called as each tenant is done. */
  readonly onTenant?: (outcome: TenantOutcome) => void
  /** Stops after the tenants under way. */
  readonly signal?: AbortSignal | undefined
  /** Also when an operator has stopped the run. */
  readonly stoppable?: boolean
}

export interface TenantOutcome {
  readonly id: TenantId
  readonly state: 'done' | 'failed' | 'rolled_back'
  readonly error: string | null
  readonly ms: number
}

export interface Course {
  readonly failed: number
  /** Some tenants were not reached. */
  readonly stopped: boolean
  /** An operator has stopped the run: its row has the reason already. */
  readonly ended: boolean
}

export interface Outcome {
  readonly state: 'done' | 'rolled_back'
  readonly version: number
}

/** Fewer tenants do not make a rate. */
const JUDGED_FROM = 20
const CONCURRENCY = 4
export const STOP_AT = 0.05
const LONGEST_ERROR = 500

export async function eachTenant(
  { service, central, withDirectConnection }: CourseParts,
  run: string,
  tenants: readonly RunTenant[],
  options: CourseOptions,
  work: (inside: SqlClient, tenant: RunTenant) => Promise<Outcome>,
): Promise<Course> {
  const { concurrency = CONCURRENCY, stopAt = STOP_AT, signal, onTenant, stoppable = false } = options
  const line = tenants[Symbol.iterator]()
  let over = 0
  let failed = 0
  let stopped = false
  let ended = false

  const record = createRecorder(async outcomes => {
    const state = await recordTenants(central, run, outcomes)
    if (stoppable && state === 'stopped') ended = true
  })

  async function one(tenant: RunTenant): Promise<Recorded> {
    const { id } = tenant
    const started = performance.now()
    const ms = () => Math.round((performance.now() - started) * 10) / 10
    try {
      const outcome = await withDirectConnection(tenantDatabaseName(id, service), inside => work(inside, tenant))
      return { id, ...outcome, error: null, ms: ms() }
    } catch (error) {
      const message = (error instanceof Error ? error.message : String(error)).slice(0, LONGEST_ERROR)
      failed++
      return { id, state: 'failed', version: null, error: message, ms: ms() }
    }
  }

  async function recorded({ version, ...outcome }: Recorded): Promise<void> {
    await record({ version, ...outcome })
    onTenant?.(outcome)
  }

  async function worker(): Promise<void> {
    /** Of the tenant before: a worker has at most one outcome that is not recorded. */
    let recording: Promise<void> = Promise.resolve()
    for (const tenant of line) {
      const outcome = await one(tenant)
      await recording
      recording = recorded(outcome)
      // Its failure is thrown behind the next tenant, or at the end.
      recording.catch(() => {})
      over++
      const judged = stopAt === 0 || over >= Math.min(JUDGED_FROM, tenants.length)
      if (stopAt < 1 && judged && failed / over > stopAt) stopped = true
      if (stopped || ended || signal?.aborted) {
        stopped = true
        break
      }
    }
    await recording
  }

  const workers = Array.from({ length: Math.max(1, concurrency) }, worker)
  // A worker that cannot record an outcome ends the run; the others finish their present tenant.
  const outcomes = await Promise.allSettled(workers)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return { failed, stopped, ended }
}
