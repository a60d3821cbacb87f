// A run of the kind `move` from its first entry in the journal to its end: completed, or undone after a failure
// before the switch. If neither is possible it is left for `--resume` and `--rollback`, and the error says so.
import { randomBytes } from 'node:crypto'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { Journal, TransferTenant } from '../copying/journal.js'
import { createMove, type Move, type MoveOptions } from './move.js'
import type { Administrator } from './online/administrator.js'
import type { OnlineState } from './online/link.js'
import { isRelocated, isReturning } from './online/state.js'
import type { WayBack } from './online/way-back.js'
import { type MoveParts, parseRoute, routeText } from './parts.js'
import type { MovePlan } from './plan.js'

export interface MoveOutcome {
  readonly run: string
  readonly tenant: TenantId
  readonly from: string
  readonly to: string
  readonly state: 'moved' | 'taken_back' | 'source_dropped' | 'finished' | 'back'
  readonly way: 'online' | 'frozen'
  /** Whether the old copy follows: then there is a way back. */
  readonly follows: boolean
  /**
   * Milliseconds for which writers were refused, or of a move without a freeze for which statements were held, by the central
   * database's clock; null when it did not come so far.
   */
  readonly frozenMs: number | null
  /** What did not succeed, though the tenant is served: a view without newer rows, an instance that is not there. */
  readonly warning: string | null
}

export interface HowToMove extends Pick<MoveOptions, 'programs' | 'folder' | 'jobs' | 'signal'> {
  readonly journal: Journal
  /** Null: no login is given. A move without a freeze, its way back and its end need one. */
  readonly admin?: Administrator | null
}

/** @throws TRANSFER_REFUSED */
function administratorOf({ admin }: HowToMove): Administrator {
  if (admin) return admin
  throw new TransferRefused(
    'This move was begun without a freeze, and its slots and subscriptions want the administrator: set INIT_SUPERUSER and INIT_PASSWORD, as for `init`.',
  )
}

/** Records a new run. @param online null: by the frozen way. @returns its id */
export async function beginMove(
  journal: Journal,
  { tenant, from, to, database, bytes, row }: MovePlan,
  online: Omit<OnlineState, 'identities'> | null = null,
): Promise<string> {
  const run = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(3).toString('hex')}`
  const { name, domain, settings, lifecycle } = row
  const facts = { name, domain, settings, active: lifecycle === 'active' }
  await journal.begin({ id: run, kind: 'move', source: routeText(from, to) }, [
    {
      id: tenant,
      sourceDatabase: database,
      facts,
      baseline: row.schemaVersion ?? 0,
      bytes,
      certificate: row.certificate,
      online: online && ({ ...online, identities: [] } as never),
    },
  ])
  return run
}

/** Resumes a run from wherever it is. A failure before the switch undoes it. @throws the cause of the failure */
export async function carryOutMove(parts: MoveParts, run: string, how: HowToMove): Promise<MoveOutcome> {
  const { journal } = how
  const { row, options, ...route } = await openMove(parts, run, how)
  if (isReturning(row)) return settleReturn(how, await wayBackOf(options), { run, row, route })
  const move = await moverOf(options, row)
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
  // The planner's statistics are not copied, and are gathered before the switch by a move without a freeze. The tenant is served
  // meanwhile.
  if (moved.online === null)
    await parts.withDirectConnection(
      tenantDatabaseName(row.id, parts.service),
      async inside => void (await inside`analyze`),
      route.to,
    )
  await journal.end(run, 'done')
  return outcomeOf(run, moved, route, 'moved')
}

async function takeBack(
  { central }: MoveParts,
  move: Pick<Move, 'undo'>,
  { run, id, journal }: { run: string; id: TenantId; journal: Journal },
  error: Error,
): Promise<Error> {
  try {
    const row = await rowOf(journal, run)
    if (row.online !== null && isRelocated(row)) {
      await journal.end(run, 'stopped')
      const { to } = parseRoute((await journal.find(run)).source)
      return new TransferFailed(
        `${error.message} ${id} is on ${to} already, and served: \`move --resume ${run}\` ends the move.`,
      )
    }
    if (row.step === 'switched') return error
    await move.undo(row, error.message)
    await journal.end(run, 'rolled_back')
    return new TransferFailed(`${error.message} The move of ${id} was taken back: it is served where it was.`)
  } catch (second) {
    await journal.end(run, 'stopped').catch(() => {})
    const known = await findTenant(central, id).catch(() => 'unknown' as const)
    if (known && known !== 'unknown' && (known.moving === null || known.moving === 'copying')) {
      return new TransferFailed(
        `${error.message} It is served where it was; what was begun at the other instance is still there (${(second as Error).message}): drop it with --rollback ${run}.`,
      )
    }
    // Without the registry it cannot be known how far the move was.
    const until = known === 'unknown' ? `until then ${id} may take no writes` : `until then ${id} takes no writes`
    return new TransferFailed(
      `${error.message} It could not be taken back either (${(second as Error).message}): go on with --resume ${run}, or --rollback ${run}; ${until}.`,
    )
  }
}

/** Takes a run back that was not switched yet. @throws TRANSFER_REFUSED */
export async function rollBackMove(parts: MoveParts, run: string, how: HowToMove): Promise<MoveOutcome> {
  const { row, options, ...route } = await openMove(parts, run, how)
  const move = await moverOf(options, row)
  if (row.step !== 'undone') await move.undo(row, row.error)
  await how.journal.end(run, 'rolled_back')
  return { ...outcomeOf(run, row, route, 'taken_back'), frozenMs: null, warning: null }
}

/** A way back that was killed: the tenant stays where it is served. */
async function settleReturn(
  { journal }: HowToMove,
  wayBack: WayBack,
  { run, row, route }: { run: string; row: TransferTenant; route: { from: string; to: string } },
): Promise<MoveOutcome> {
  const now = await wayBack.settle(row)
  const isBack = now.step === 'undone'
  await journal.end(run, isBack ? 'rolled_back' : 'done')
  return outcomeOf(run, now, route, isBack ? 'back' : 'moved')
}

/** The tenant goes back to its old place, whose copy has followed. @throws TRANSFER_REFUSED, TRANSFER_FAILED */
export async function goBack(parts: MoveParts, run: string, how: HowToMove): Promise<MoveOutcome> {
  const { row, options, ...route } = await openMove(parts, run, how)
  const now = await (await wayBackOf(options)).goBack(row)
  await how.journal.end(run, 'rolled_back')
  return outcomeOf(run, now, route, 'back')
}

/** The old copy follows no longer. @throws TRANSFER_REFUSED */
export async function finishMove(parts: MoveParts, run: string, how: HowToMove): Promise<MoveOutcome> {
  const { row, options, ...route } = await openMove(parts, run, how)
  return outcomeOf(run, await (await wayBackOf(options)).finish(row), route, 'finished')
}

const outcomeOf = (
  run: string,
  { id, online, step, frozenMs, error }: TransferTenant,
  { from, to }: { readonly from: string; readonly to: string },
  state: MoveOutcome['state'],
): MoveOutcome => ({
  run,
  tenant: id,
  from,
  to,
  state,
  way: online === null ? 'frozen' : 'online',
  follows: step === 'following',
  frozenMs,
  warning: error,
})

/** Drops the database that a run has left behind. @throws TRANSFER_REFUSED, TENANT_DATABASE_FOREIGN */
export async function dropMoved(parts: MoveParts, run: string, how: HowToMove): Promise<MoveOutcome> {
  const { options, row, ...route } = await openMove(parts, run, how)
  if (row.step === 'following' || row.step === 'returning') {
    await finishMove(parts, run, how)
    return dropMoved(parts, run, how)
  }
  const dropped = row.step === 'dropped' ? row : await createMove(options).dropSource(row)
  return outcomeOf(run, dropped, route, 'source_dropped')
}

/** The newest run that has left a database of this tenant behind. @throws TRANSFER_REFUSED */
export async function runToDrop({ central, service }: MoveParts, id: TenantId): Promise<string> {
  const [row] = await central<{ run: string }[]>`
    select transfer_id as run from transfer_tenants join transfers on transfers.id = transfer_id
    where kind = 'move' and tenant_id = ${id} and step in ('switched', 'following', 'returning') order by started_at desc limit 1`
  if (!row) throw new TransferRefused(`No move of ${id} in ${service} has left a database behind: nothing was dropped.`)
  return row.run
}

/** The newest run of this tenant whose old copy follows. @throws TRANSFER_REFUSED */
export async function runThatFollows({ central, service }: MoveParts, id: TenantId): Promise<string> {
  const [row] = await central<{ run: string }[]>`
    select transfer_id as run from transfer_tenants join transfers on transfers.id = transfer_id
    where kind = 'move' and tenant_id = ${id} and step in ('following', 'returning', 'returned') order by started_at desc limit 1`
  if (!row)
    throw new TransferRefused(`No old copy of ${id} in ${service} follows: there is no way back but another move.`)
  return row.run
}

async function openMove(parts: MoveParts, run: string, how: HowToMove) {
  const { source, kind } = await how.journal.find(run)
  if (kind !== 'move') throw new TransferRefused(`Run ${run} is no move: it goes on with \`import-hybrid\`.`)
  const { from, to } = parseRoute(source)
  const row = await rowOf(how.journal, run)
  const options = { ...parts, ...how, run, from, to }
  return { from, to, row, options }
}

async function wayBackOf(options: MoveOptions & HowToMove): Promise<WayBack> {
  const { createWayBack } = await import('./online/way-back.js')
  return createWayBack({ ...options, admin: administratorOf(options) })
}

async function moverOf(
  options: MoveOptions & HowToMove,
  row: TransferTenant,
): Promise<Pick<Move, 'carryOut' | 'undo'>> {
  if (row.online === null) return createMove(options)
  const { createOnlineMove } = await import('./online/online-move.js')
  return createOnlineMove({ ...options, admin: administratorOf(options) })
}

async function rowOf(journal: Journal, run: string): Promise<TransferTenant> {
  const [row] = await journal.tenants(run)
  if (!row) throw new TransferRefused(`Run ${run} names no tenant: begin a new one.`)
  return row
}
