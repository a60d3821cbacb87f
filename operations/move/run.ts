// A run of the kind `move` from its first entry in the journal to its end: completed, or undone after a failure
// before the switch. If neither is possible it is left for `--resume` and `--rollback`, and the error says so.
import { randomBytes } from 'node:crypto'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { Journal, TransferTenant } from '../copying/journal.js'
import { createMove, type Move, type MoveOptions } from './move.js'
import { type MoveParts, parseRoute, routeText } from './parts.js'
import type { MovePlan } from './plan.js'

export interface MoveOutcome {
  readonly run: string
  readonly tenant: TenantId
  readonly from: string
  readonly to: string
  readonly state: 'moved' | 'taken_back' | 'source_dropped'
  /** Milliseconds for which writers were refused, by the central database's clock; null when it did not come so far. */
  readonly frozenMs: number | null
}

export type HowToMove = Pick<MoveOptions, 'programs' | 'folder' | 'jobs' | 'signal'> & { readonly journal: Journal }

/** Records a new run. @returns its id */
export async function beginMove(
  journal: Journal,
  { tenant, from, to, database, bytes, row }: MovePlan,
): Promise<string> {
  const run = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(3).toString('hex')}`
  const { name, domain, settings, lifecycle } = row
  const facts = { name, domain, settings, active: lifecycle === 'active' }
  await journal.begin({ id: run, kind: 'move', source: routeText(from, to) }, [
    { id: tenant, sourceDatabase: database, facts, baseline: row.schemaVersion ?? 0, bytes },
  ])
  await journal.note(run, tenant, { certificate: row.certificate })
  return run
}

/** Resumes a run from wherever it is. A failure before the switch undoes it. @throws the cause of the failure */
export async function carryOutMove(parts: MoveParts, run: string, how: HowToMove): Promise<MoveOutcome> {
  const { journal } = how
  const { move, row, ...route } = await openMove(parts, run, how)
  if (row.step === 'undone') throw new TransferRefused(`Run ${run} was taken back: begin a new one.`)
  if (row.step === 'undoing') {
    await move.undo(row, row.error)
    await journal.end(run, 'rolled_back')
    throw new TransferRefused(`Run ${run} was being taken back, and now is: begin a new one.`)
  }
  await journal.end(run, 'running')
  let moved: TransferTenant
  try {
    moved = await move.carryOut(row)
  } catch (error) {
    throw await takeBack(parts, move, { run, id: row.id, journal }, error as Error)
  }
  // The planner's statistics are not copied. The tenant is served meanwhile.
  await parts.withDirectConnection(
    tenantDatabaseName(row.id, parts.service),
    async inside => void (await inside`analyze`),
    route.to,
  )
  await journal.end(run, 'done')
  return { run, tenant: row.id, ...route, state: 'moved', frozenMs: moved.frozenMs }
}

async function takeBack(
  { central }: MoveParts,
  move: Move,
  { run, id, journal }: { run: string; id: TenantId; journal: Journal },
  error: Error,
): Promise<Error> {
  try {
    const row = await rowOf(journal, run)
    if (row.step === 'switched') return error
    await move.undo(row, error.message)
    await journal.end(run, 'rolled_back')
    return new TransferFailed(`${error.message} The move of ${id} was taken back: it is served where it was.`)
  } catch (second) {
    await journal.end(run, 'stopped').catch(() => {})
    const known = await findTenant(central, id).catch(() => null)
    if (known && known.moving === null) {
      return new TransferFailed(
        `${error.message} It is served where it was; what was begun at the other instance is still there (${(second as Error).message}): drop it with --rollback ${run}.`,
      )
    }
    return new TransferFailed(
      `${error.message} It could not be taken back either (${(second as Error).message}): go on with --resume ${run}, or --rollback ${run}; until then ${id} takes no writes.`,
    )
  }
}

/** Takes a run back that was not switched yet. @throws TRANSFER_REFUSED */
export async function rollBackMove(parts: MoveParts, run: string, how: HowToMove): Promise<MoveOutcome> {
  const { move, row, ...route } = await openMove(parts, run, how)
  if (row.step !== 'undone') await move.undo(row, row.error)
  await how.journal.end(run, 'rolled_back')
  return { run, tenant: row.id, ...route, state: 'taken_back', frozenMs: null }
}

/** Drops the database that a run has left behind. @throws TRANSFER_REFUSED, TENANT_DATABASE_FOREIGN */
export async function dropMoved(parts: MoveParts, run: string, how: HowToMove): Promise<MoveOutcome> {
  const { move, row, ...route } = await openMove(parts, run, how)
  const dropped = row.step === 'dropped' ? row : await move.dropSource(row)
  return { run, tenant: row.id, ...route, state: 'source_dropped', frozenMs: dropped.frozenMs }
}

/** The newest run that has left a database of this tenant behind. @throws TRANSFER_REFUSED */
export async function runToDrop({ central, service }: MoveParts, id: TenantId): Promise<string> {
  const [row] = await central<{ run: string }[]>`
    select transfer_id as run from transfer_tenants join transfers on transfers.id = transfer_id
    where kind = 'move' and tenant_id = ${id} and step = 'switched' order by started_at desc limit 1`
  if (!row) throw new TransferRefused(`No move of ${id} in ${service} has left a database behind: nothing was dropped.`)
  return row.run
}

async function openMove(parts: MoveParts, run: string, how: HowToMove) {
  const { source, kind } = await how.journal.find(run)
  if (kind !== 'move') throw new TransferRefused(`Run ${run} is no move: it goes on with \`import-hybrid\`.`)
  const { from, to } = parseRoute(source)
  return { from, to, row: await rowOf(how.journal, run), move: createMove({ ...parts, ...how, run, from, to }) }
}

async function rowOf(journal: Journal, run: string): Promise<TransferTenant> {
  const [row] = await journal.tenants(run)
  if (!row) throw new TransferRefused(`Run ${run} names no tenant: begin a new one.`)
  return row
}
