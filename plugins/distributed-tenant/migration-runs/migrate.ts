// A migration run over all tenants of a service: canaries first, then some side by side, each tenant's outcome recorded
// as it happens. Invariants: a tenant is at a version entirely or not at all; one that fails keeps the version it had
// and stops others only by the stated rate; a killed run resumes from its records. If the central database is down:
// the run ends with its error and can be resumed.
import type { CarryOut } from '../../../postgres/advisory-locks.js'
import type { MigrationSet } from '../../../postgres/migrations/migration-files.js'
import { MigrationInvalid, MigrationRunNotFound } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import type { ServiceName, SqlClient, TenantId } from '../types.js'
import { createRecorder } from './recorder.js'
import { revert } from './revert.js'
import {
  beginRun,
  endRun,
  findRun,
  type Recorded,
  type Run,
  type RunTenant,
  recordTenants,
  runTenants,
  tenantsBehind,
} from './runs.js'
import { type After, migrateInVisit } from './visit.js'

export interface FleetParts {
  readonly service: ServiceName
  readonly central: SqlClient
  /** A direct client of a database, closed when the function has settled. */
  readonly withDirectConnection: <T>(database: string, fn: (sql: SqlClient) => Promise<T>) => Promise<T>
  /** Our own tables inside a tenant database, then the service's. */
  readonly sets: readonly MigrationSet[]
  readonly carryOut: CarryOut
}

export interface MigrateOptions {
  /** Tenants worked on side by side. Default 4: 4 to 8 is the knee (docs/benchmarks.md). */
  readonly concurrency?: number
  /**
   * Tenants migrated one after the other before all others; any failure among them stops the run. Default: the first one, none when
   * `stopAt` is 1.
   */
  readonly canaries?: readonly string[] | undefined
  /** Only these tenants. */
  readonly only?: readonly string[] | undefined
  /** The share of failures that stops the run, judged from {@link JUDGED_FROM} tenants on. Default 0.05; 1 never stops. */
  readonly stopAt?: number
  /** Called as each tenant is done. */
  readonly onTenant?: (outcome: TenantOutcome) => void
  /** Called inside each tenant's database after its migrations; an error counts as the tenant's failure. */
  readonly after?: After
  /** Called once, before the first tenant. */
  readonly onBegin?: (run: BegunRun) => void
  /** Stops after the tenants under way. */
  readonly signal?: AbortSignal | undefined
}

export interface BegunRun {
  readonly id: string
  readonly tenants: number
  /** The version that it leads to, of a rollback the lowest one. */
  readonly target: number
}

export interface TenantOutcome {
  readonly id: TenantId
  readonly state: 'done' | 'failed' | 'rolled_back'
  readonly error: string | null
  readonly ms: number
}

export interface RunResult {
  /** Null when there was nothing to do. */
  readonly run: Run | null
  readonly failed: readonly { readonly id: TenantId; readonly error: string | null }[]
}

/** Fewer tenants do not make a rate. */
export const JUDGED_FROM = 20
const CONCURRENCY = 4
const STOP_AT = 0.05
const LONGEST_ERROR = 500

export const NOTHING_TO_DO: RunResult = { run: null, failed: [] }

/** Brings every tenant that is behind to this release's schema. One query when there is none. */
export async function migrateFleet(parts: FleetParts, options: MigrateOptions = {}): Promise<RunResult> {
  const target = targetOf(parts)
  const ids = await tenantsBehind(parts.central, target, options.only)
  if (ids.length === 0) return NOTHING_TO_DO
  const id = await beginRun(parts.central, target, ids)
  return parts.carryOut(id, () => migrateTenants(parts, id, ['pending'], options))
}

/** Goes on with a run: those it had not come to, and those that failed. @throws MIGRATION_RUN_NOT_FOUND, MIGRATION_INVALID */
export async function resumeRun(parts: FleetParts, id: string, options: MigrateOptions = {}): Promise<RunResult> {
  const run = await requireRun(parts, id)
  if (run.target !== targetOf(parts)) {
    throw new MigrationInvalid(
      `Run ${id} leads to version ${run.target}, this release to ${targetOf(parts)}: resume it with that release, or begin a new run.`,
    )
  }
  return parts.carryOut(id, async () => {
    await endRun(parts.central, id, 'running', null)
    return migrateTenants(parts, id, ['pending', 'failed'], options)
  })
}

/**
 * Takes back what this run applied, tenant by tenant, by the undo files.
 * @throws MIGRATION_RUN_NOT_FOUND, and MIGRATION_INVALID before anything is touched when an undo file is missing
 */
export async function rollBackRun(parts: FleetParts, id: string, options: MigrateOptions = {}): Promise<RunResult> {
  const run = await requireRun(parts, id)
  const tenants = await runTenants(parts.central, id, ['done', 'failed'])
  const set = tenantSet(parts)
  const lowest = Math.min(run.target, ...tenants.map(({ fromVersion }) => fromVersion))
  for (const { version, name, undo } of set.migrations.slice(lowest, run.target)) {
    if (undo === null) {
      throw new MigrationInvalid(
        `Migration ${version} (${name}) has no undo file, so run ${id} cannot be rolled back: add one, or write a new migration.`,
      )
    }
  }
  return parts.carryOut(id, async () => {
    options.onBegin?.({ id, tenants: tenants.length, target: lowest })
    const failures = await eachTenant(parts, id, tenants, options, async (inside, { fromVersion }) => {
      await revert(inside, set, fromVersion)
      return { state: 'rolled_back', version: fromVersion }
    })
    if (!failures.stopped) await endRun(parts.central, id, 'rolled_back', null)
    return result(parts, id)
  })
}

const tenantSet = ({ sets }: FleetParts): MigrationSet => sets.at(-1) as MigrationSet
const targetOf = (parts: FleetParts): number => tenantSet(parts).version

async function requireRun({ central }: FleetParts, id: string): Promise<Run> {
  const run = await findRun(central, id)
  if (!run) throw new MigrationRunNotFound()
  return run
}

async function migrateTenants(
  parts: FleetParts,
  id: string,
  states: readonly ('pending' | 'failed')[],
  options: MigrateOptions,
): Promise<RunResult> {
  const target = targetOf(parts)
  const tenants = await runTenants(parts.central, id, states)
  options.onBegin?.({ id, tenants: tenants.length, target })
  const apply = async (inside: SqlClient): Promise<Outcome> => {
    await migrateInVisit(inside, parts.sets, options.after)
    return { state: 'done', version: target }
  }
  // A run that goes on past every failure must not stop at the first tenant.
  const byDefault = (options.stopAt ?? STOP_AT) < 1 ? tenants.slice(0, 1).map(tenant => tenant.id) : []
  const named = new Set<string>(options.canaries ?? byDefault)
  const canaries = tenants.filter(tenant => named.has(tenant.id))
  const how = { ...options, stoppable: true }
  const first = await eachTenant(parts, id, canaries, { ...how, concurrency: 1, stopAt: 0 }, apply)
  if (first.ended) return result(parts, id)
  if (first.failed > 0) {
    await endRun(parts.central, id, 'stopped', 'a canary failed')
    return result(parts, id)
  }
  const others = tenants.filter(tenant => !named.has(tenant.id))
  const rest = await eachTenant(parts, id, others, how, apply)
  if (rest.ended) return result(parts, id)
  const reason = options.signal?.aborted ? 'interrupted' : rest.stopped ? 'too many failures' : null
  await endRun(parts.central, id, reason ? 'stopped' : 'done', reason)
  return result(parts, id)
}

interface Course {
  readonly failed: number
  /** Some tenants were not reached. */
  readonly stopped: boolean
  /** An operator has stopped the run: its row has the reason already. */
  readonly ended: boolean
}

interface Outcome {
  readonly state: 'done' | 'rolled_back'
  readonly version: number
}

async function eachTenant(
  { service, central, withDirectConnection }: FleetParts,
  run: string,
  tenants: readonly RunTenant[],
  options: MigrateOptions & { readonly stoppable?: boolean },
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

async function result({ central }: FleetParts, id: string): Promise<RunResult> {
  const failed = await runTenants(central, id, ['failed'])
  return { run: await findRun(central, id), failed: failed.map(({ id, error }) => ({ id, error })) }
}
