// Many moves of one service, a few side by side, each as `move` does it: planned, begun, carried out, or taken back. Invariants: a
// tenant that cannot be moved keeps no other from being moved; what became of each is in the journal before the next is begun; a run
// that an earlier process has left goes on before anything else is done with its tenant.
// If the central database is down: the moves that run come to their own end, and no other is begun.

import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { TenantId } from '../../../plugins/distributed-tenant/types.js'
import { lastLines } from '../../outcome.js'
import type { Administrator } from '../online/administrator.js'
import type { SwitchLimits } from '../online/link.js'
import { askServer } from '../online/preflight.js'
import { SLOTS_OF_A_MOVE } from '../online/server-settings.js'
import type { MoveParts } from '../parts.js'
import { type MovePlan, planMove } from '../plan.js'
import { beginMove, carryOutMove, type HowToMove, type MoveOutcome, rollBackMove } from '../run.js'
import type { BatchJournal, BatchTenant, PlannedTenant } from './batch-journal.js'

export interface HowToMoveMany extends HowToMove {
  /** Null: by the frozen way. */
  readonly online: { readonly limits: SwitchLimits; readonly follow: boolean } | null
  /** By instance: the free bytes on its disk, as the operator passed them. */
  readonly room: ReadonlyMap<string, number>
  readonly sideBySide: number
}

export interface TenantOutcome {
  readonly tenant: TenantId
  readonly to: string
  readonly bytes: number
  readonly state: 'moved' | 'failed' | 'interrupted'
  readonly run: string | null
  /** Milliseconds for which statements were held, or writers refused. */
  readonly frozenMs: number | null
  readonly error: string | null
}

export interface BatchRun extends HowToMoveMany {
  readonly batches: BatchJournal
  readonly batch: string
  /** Around the work on one tenant, for its audit rows. */
  readonly around: (tenant: PlannedTenant, work: () => Promise<MoveOutcome>) => Promise<MoveOutcome>
  readonly onTenant: (outcome: TenantOutcome) => void | Promise<void>
  /** Of the batch's tenants. Default all. */
  readonly only?: (tenant: TenantId) => boolean
}

/** What is in the way of one tenant's move. Changes nothing. */
export async function inTheWay(parts: MoveParts, how: HowToMoveMany, tenant: PlannedTenant): Promise<string[]> {
  const plan = await planOne(parts, how, tenant, how.room.get(tenant.to))
  return blocking(plan)
}

/** Each tenant of the batch that was not moved yet. @throws when the journal cannot be written; the others have ended by then */
export async function carryOutBatch(parts: MoveParts, how: BatchRun): Promise<TenantOutcome[]> {
  const { batches, batch, signal, onTenant, only = () => true } = how
  const open = (await batches.tenants(batch)).filter(({ id, state }) => state !== 'moved' && only(id))
  // What was begun comes first: until it has ended, its server keeps a log for it.
  const begun = open.filter(({ state }) => state === 'moving')
  const line = [...begun, ...open.filter(({ state }) => state !== 'moving')][Symbol.iterator]()
  const outcomes: TenantOutcome[] = []
  const coming = new Map<string, number>()
  let broken = false

  async function one(tenant: BatchTenant): Promise<void> {
    const before = coming.get(tenant.to) ?? 0
    coming.set(tenant.to, before + tenant.bytes)
    const free = how.room.get(tenant.to)
    const outcome = await moveOne(parts, how, tenant, free === undefined ? undefined : free - before)
    if (outcome.state !== 'moved') coming.set(tenant.to, (coming.get(tenant.to) ?? 0) - tenant.bytes)
    outcomes.push(outcome)
    await onTenant(outcome)
  }

  async function lane(): Promise<void> {
    for (const tenant of line) {
      if (signal?.aborted || broken) return
      try {
        await one(tenant)
      } catch (error) {
        broken = true
        throw error
      }
    }
  }

  const lanes = await Promise.allSettled(Array.from({ length: how.sideBySide }, lane))
  const failed = lanes.find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
  return outcomes
}

async function moveOne(
  parts: MoveParts,
  how: BatchRun,
  tenant: BatchTenant,
  room: number | undefined,
): Promise<TenantOutcome> {
  const { batches, batch, signal } = how
  const { id, to, bytes } = tenant
  let run: string | null = null
  const begin = async (known: string): Promise<void> => {
    run = known
    await batches.note(batch, id, { state: 'moving', run })
  }
  const outcome = { tenant: id, to, bytes }
  try {
    const moved = await how.around(tenant, async () => {
      // Killed between its end and the note of it.
      const ended = tenant.state === 'moving' && tenant.run !== null ? await how.journal.tenants(tenant.run) : []
      const over = ended.some(({ step }) => ['switched', 'following', 'dropped'].includes(step))
      const left = over ? tenant.run : await batches.openRun(id)
      if (left !== null) {
        await begin(left)
        const resumed = await goOn(parts, how, left)
        if (resumed) return resumed
      }
      const plan = await planOne(parts, how, tenant, room)
      const blocked = blocking(plan)
      if (blocked.length > 0) throw new TransferFailed(`In the way: ${blocked.join('; ')}.`)
      await begin(await beginMove(how.journal, plan, how.online))
      return carryOutMove(parts, run as unknown as string, how)
    })
    await batches.note(batch, id, { state: 'moved', error: moved.warning })
    return { ...outcome, to: moved.to, run, state: 'moved', frozenMs: moved.frozenMs, error: moved.warning }
  } catch (error) {
    const text = lastLines(error)
    await batches.note(batch, id, { state: signal?.aborted ? 'pending' : 'failed', error: text })
    return { ...outcome, run, state: signal?.aborted ? 'interrupted' : 'failed', frozenMs: null, error: text }
  }
}

/** A run that was killed. @returns null when the tenant is where it was, so that another may begin */
async function goOn(parts: MoveParts, how: BatchRun, run: string): Promise<MoveOutcome | null> {
  const [row] = await how.journal.tenants(run)
  if (row?.step === 'undoing') {
    await rollBackMove(parts, run, how)
    return null
  }
  const outcome = await carryOutMove(parts, run, how)
  return outcome.state === 'moved' ? outcome : null
}

const planOne = (
  parts: MoveParts,
  how: HowToMoveMany,
  { id, to }: PlannedTenant,
  room: number | undefined,
): Promise<MovePlan> => {
  const { programs, folder, online, admin = null } = how
  return planMove(parts, {
    programs,
    folder,
    id,
    to,
    room,
    ...(online && { online: { admin, follow: online.follow } }),
  })
}

const blocking = ({ obstacles, online }: MovePlan): string[] =>
  [...obstacles, ...(online ?? [])].filter(({ blocks }) => blocks).map(({ about, what }) => `${about} ${what}`)

/** So many moves without a freeze as the servers have places for: each wants slots at its source and a worker at its target. */
export async function placesFor(
  admin: Administrator,
  { wanted, from, to }: { readonly wanted: number; readonly from: readonly string[]; readonly to: readonly string[] },
): Promise<number> {
  const sources = await Promise.all(from.map(name => admin.at(name, askServer)))
  const targets = await Promise.all(to.map(name => admin.at(name, askServer)))
  const slots = sources.map(({ freeSlots }) => Math.floor(freeSlots / SLOTS_OF_A_MOVE))
  const places = [
    ...slots,
    ...sources.map(({ freeSenders }) => freeSenders),
    ...targets.map(({ freeWorkers }) => freeWorkers),
  ]
  // With none the plan of each move names what is missing.
  return Math.max(1, Math.min(wanted, ...places))
}
