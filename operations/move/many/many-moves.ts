// A drain or a rebalance once it is confirmed, from the mark of the instance to the end of its batch: for the command, and for a service
// that carries a drain out itself. Invariants: each tenant's work is between two audit rows of the operator; a batch that was stopped
// in the journal, by whatever process, begins with no further tenant.

import type { TenantId } from '../../../plugins/distributed-tenant/types.js'
import { underAudit } from '../../audit-trail.js'
import { closeInstance } from '../../instances/instances.js'
import { sentenceOf } from '../../outcome.js'
import type { OperatorTenancy } from '../../parts.js'
import { dropMoved } from '../run.js'
import type { BatchJournal, BatchKind, PlannedTenant } from './batch-journal.js'
import type { PlannedMove } from './plan-moves.js'
import { type BatchRun, carryOutBatch, type HowToMoveMany, placesFor, type TenantOutcome } from './run-batch.js'
import { surveyInstances } from './survey.js'

export interface ManyMoves {
  readonly kind: BatchKind
  /** The one that is drained. */
  readonly instance: string | null
  /** Looks again for tenants that came meanwhile. */
  readonly plan: () => Promise<PlannedMove[]>
  readonly planned: readonly PlannedMove[]
  readonly batches: BatchJournal
  /** One that goes on. */
  readonly batch: string | null
  /** For the mark and for audit rows. */
  readonly actor: string
  /** Of the audit row. */
  readonly detail: Readonly<Record<string, unknown>>
  /** The old database of each moved tenant, for good. */
  readonly dropSource: boolean
}

export interface ManyEvents {
  /** It is in the journal. */
  onBegin(batch: string, tenants: number): void
  onTenant(outcome: TenantOutcome, at: number, all: number): void
  say(text: string): void
  /** The last of the work: what it throws is the outcome in the audit row. */
  onEnd(result: ManyResult): Promise<void> | void
}

export interface ManyResult {
  readonly batch: string
  readonly outcomes: readonly TenantOutcome[]
  readonly interrupted: boolean
  /** On the drained instance all the same. */
  readonly left: readonly TenantId[]
  readonly why: ReadonlyMap<TenantId, string>
}

/** The parts of a service that its moves need. */
export type MovingService = { readonly name: string; readonly tenancy: OperatorTenancy }

/** A tenant that was being made when its instance was marked is found by the next look. */
const LOOKS = 3

/** @param carry makes the parts of a move, and ends them behind the work */
export async function carryOutMany(
  service: MovingService,
  task: ManyMoves,
  carry: (work: (how: HowToMoveMany) => Promise<void>) => Promise<void>,
  events: ManyEvents,
): Promise<void> {
  const { kind, instance, batches, actor, detail } = task
  const { tenancy } = service
  const outcomes: TenantOutcome[] = []
  let interrupted = false
  await underAudit([service], { command: kind, tenant: null, detail, actor }, async () => {
    if (instance !== null) await closeInstance(tenancy, instance, actor)
    const planned = movable(task.planned)
    const batch = task.batch ?? (await batches.begin({ kind, instance }, planned)).id
    if (task.batch !== null) {
      await batches.end(batch, 'running')
      if (instance !== null) await batches.add(batch, planned)
    }
    const carried = () =>
      carry(async how => {
        const stopped = new AbortController()
        const signal = AbortSignal.any([stopped.signal, ...(how.signal ? [how.signal] : [])])
        const run: BatchRun = {
          ...how,
          signal,
          batches,
          batch,
          around: (tenant, work) =>
            underAudit([service], { command: kind, tenant: tenant.id, detail: { batch, to: tenant.to }, actor }, work),
          async onTenant(outcome) {
            outcomes.push(outcome)
            events.onTenant(outcome, outcomes.length, Math.max(planned.length, outcomes.length))
            if ((await batches.stateOf(batch)) === 'stopped') stopped.abort()
          },
        }
        await everyMove(service, task, run, events.say)
        interrupted = signal.aborted
        await batches.end(batch, interrupted ? 'stopped' : 'done')
        if (task.dropSource && !interrupted) await dropOld(service, run, outcomes, events.say)
      })
    const working = tenancy.carryOut(batch, carried)
    events.onBegin(batch, planned.length)
    await working
    await events.onEnd({ batch, outcomes, interrupted, ...(await notMoved(service, task, outcomes)) })
  })
}

export const movable = (planned: readonly PlannedMove[]): PlannedTenant[] =>
  planned.flatMap(({ id, to, bytes }) => (to === null ? [] : [{ id, to, bytes }]))

async function everyMove(
  { tenancy }: MovingService,
  { instance, plan }: ManyMoves,
  run: BatchRun,
  say: ManyEvents['say'],
): Promise<void> {
  const { batches, batch, admin, online, signal } = run
  const open = (await batches.tenants(batch)).filter(({ state }) => state !== 'moved')
  const from = instance === null ? tenancy.settings.instances.map(({ name }) => name) : [instance]
  const wanted = run.sideBySide
  const to = [...new Set(open.map(one => one.to))]
  const sideBySide = admin && online ? await placesFor(admin, { wanted, from, to }).catch(() => wanted) : wanted
  if (sideBySide < wanted) say(`${sideBySide} side by side, as the servers have no places for more.`)
  await carryOutBatch(tenancy.move, { ...run, sideBySide })
  if (instance === null) return
  for (let look = 1; look < LOOKS && !signal?.aborted; look++) {
    const known = new Set((await batches.tenants(batch)).map(({ id }) => id))
    const more = movable(await plan()).filter(({ id }) => !known.has(id))
    if (more.length === 0) return
    const tried = new Set<TenantId>(known)
    await batches.add(batch, more)
    // Those that failed before are not tried again by this run.
    await carryOutBatch(tenancy.move, { ...run, sideBySide, only: id => !tried.has(id) })
  }
}

async function dropOld(
  { tenancy }: MovingService,
  run: BatchRun,
  outcomes: readonly TenantOutcome[],
  say: ManyEvents['say'],
): Promise<void> {
  for (const one of outcomes) {
    if (one.state !== 'moved' || one.run === null) continue
    try {
      await dropMoved(tenancy.move, one.run, run)
    } catch (error) {
      say(`${one.tenant}: its old database was not dropped: ${sentenceOf(error)} \`move ${one.tenant} --drop-source\`.`)
    }
  }
}

/** Tenants that were not moved, and why; those that are on a drained instance all the same. */
async function notMoved(
  { tenancy }: MovingService,
  { instance, planned }: ManyMoves,
  outcomes: readonly TenantOutcome[],
): Promise<Pick<ManyResult, 'left' | 'why'>> {
  const left =
    instance === null ? [] : (await surveyInstances(tenancy.move)).tenants.filter(one => one.instance === instance)
  const why = new Map<TenantId, string>()
  for (const { id, unmovable } of left) why.set(id, unmovable ?? 'came to it meanwhile')
  for (const { id, to, why: reason } of planned) if (to === null && reason) why.set(id, reason)
  for (const { tenant, state, error } of outcomes) if (state !== 'moved') why.set(tenant, error ?? 'was not moved')
  return { left: left.map(({ id }) => id), why }
}
