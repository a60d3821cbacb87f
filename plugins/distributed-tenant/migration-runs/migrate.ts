// A migration run over all tenants of a service: begun, resumed or rolled back; canaries first, then the others (each-tenant.ts).
// Invariants: a tenant is at a version entirely or not at all; one that fails keeps the version it had; a killed run resumes from its
// records. If the central database is down:
// the run ends with its error and can be resumed.
import type { CarryOut } from '../../../postgres/advisory-locks.js'
import type { MigrationSet } from '../../../postgres/migrations/migration-files.js'
import { MigrationInvalid, MigrationRunNotFound } from '../errors.js'
import type { SqlClient, TenantId } from '../types.js'
import { type CourseOptions, type CourseParts, eachTenant, type Outcome, STOP_AT } from './each-tenant.js'
import { revert } from './revert.js'
import { beginRun, endRun, findRun, type Run, runTenants, tenantsBehind } from './runs.js'
import { type After, migrateInVisit } from './visit.js'

export interface FleetParts extends CourseParts {
  /** Our own tables inside a tenant database, then the service's. */
  readonly sets: readonly MigrationSet[]
  readonly carryOut: CarryOut
}

export interface MigrateOptions extends Omit<CourseOptions, 'stoppable'> {
  /**
   * Tenants migrated one after the other before all others; any failure among them stops the run. Default: the first one, none when
   * `stopAt` is 1.
   */
  readonly canaries?: readonly string[] | undefined
  /** Only these tenants. */
  readonly only?: readonly string[] | undefined
  /** Called inside each tenant's database after its migrations; an error counts as the tenant's failure. */
  readonly after?: After
  /** Called once, before the first tenant. */
  readonly onBegin?: (run: BegunRun) => void
}

export interface BegunRun {
  readonly id: string
  readonly tenants: number
  /** The version that it leads to, of a rollback the lowest one. */
  readonly target: number
}

export interface RunResult {
  /** Null when there was nothing to do. */
  readonly run: Run | null
  readonly failed: readonly { readonly id: TenantId; readonly error: string | null }[]
}

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

async function result({ central }: FleetParts, id: string): Promise<RunResult> {
  const failed = await runTenants(central, id, ['failed'])
  return { run: await findRun(central, id), failed: failed.map(({ id, error }) => ({ id, error })) }
}
