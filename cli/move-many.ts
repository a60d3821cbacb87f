// The work of `drain` and `rebalance` once it is confirmed: the mark, the batch, the moves with a line for each tenant, and what is
// left at the end.
import type { BatchJournal } from '../operations/move/many/batch-journal.js'
import type { PlannedMove } from '../operations/move/many/plan-moves.js'
import type { BatchRun, HowToMoveMany, TenantOutcome } from '../operations/move/many/run-batch.js'
import type { OpenService } from '../operations/open-services.js'
import type { TenantId } from '../plugins/distributed-tenant/types.js'
import type { Context } from './context.js'
import { watchedMove } from './move-work.js'
import { sizeOf } from './output.js'
import { type SwitchLimitOptions, switchLimitsOf } from './switch-limits.js'

export interface ManyOptions extends SwitchLimitOptions {
  readonly sideBySide: number
  readonly jobs: number
  readonly programs?: string
  readonly folder: string
  readonly room?: ReadonlyMap<string, number>
  readonly weight?: ReadonlyMap<string, number>
  readonly frozen?: boolean
  readonly follow?: boolean
  readonly dropSource?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

export interface Task {
  readonly kind: 'drain' | 'rebalance'
  readonly instance: string | null
  readonly plan: () => Promise<PlannedMove[]>
}

export interface ManyMoves extends Task {
  readonly batches: BatchJournal
  /** One that goes on. */
  readonly batch: string | null
  readonly planned: readonly PlannedMove[]
  readonly lost: AbortSignal
}

/** A tenant that was being made when its instance was marked is found by the next look. */
const LOOKS = 3

export async function moveMany(
  context: Context,
  service: OpenService,
  options: ManyOptions,
  task: ManyMoves,
): Promise<void> {
  const { operatorName, underAudit } = await import('../operations/audit-trail.js')
  const { closeInstance } = await import('../operations/instances/instances.js')
  const { kind, instance, batches, lost } = task
  const { output } = context
  const detail = { instance, frozen: options.frozen, follow: options.follow, dropSource: options.dropSource }
  const outcomes: TenantOutcome[] = []
  let interrupted = false
  await underAudit([service], { command: kind, tenant: null, detail }, async () => {
    if (instance !== null) await closeInstance(service.tenancy, instance, operatorName())
    const planned = movable(task.planned)
    const batch = task.batch ?? (await batches.begin({ kind, instance }, planned)).id
    if (task.batch !== null) {
      await batches.end(batch, 'running')
      if (instance !== null) await batches.add(batch, planned)
    }
    output.line(`${kind} ${batch}.`)
    const carried = () =>
      watchedMove(context, service, options, lost, async how => {
        const all = planned.length
        const run: BatchRun = {
          ...how,
          ...wayOf(options),
          batches,
          batch,
          around: (tenant, work) =>
            underAudit([service], { command: kind, tenant: tenant.id, detail: { batch, to: tenant.to } }, work),
          onTenant(outcome) {
            outcomes.push(outcome)
            output.line(`${sentenceOf(outcome)} ${outcomes.length} of ${Math.max(all, outcomes.length)}.`)
          },
        }
        await everyMove(context, service, task, run)
        interrupted = how.signal?.aborted === true
        await batches.end(batch, interrupted ? 'stopped' : 'done')
        if (options.dropSource && !interrupted) await dropOld(service, run, outcomes, output.line)
      })
    await service.tenancy.carryOut(batch, carried)
    const open = await report(context, service, task, { batch, outcomes })
    if (interrupted) throw new Error(`Interrupted: the same command goes on with ${kind} ${batch}.`)
    if (open > 0) throw new Error(`${open} tenants were not moved: see above. The same command tries them again.`)
  })
}

const movable = (planned: readonly PlannedMove[]) =>
  planned.flatMap(({ id, to, bytes }) => (to === null ? [] : [{ id, to, bytes }]))

async function everyMove(
  { output }: Context,
  { tenancy }: OpenService,
  { instance, plan }: ManyMoves,
  run: BatchRun,
): Promise<void> {
  const { carryOutBatch, placesFor } = await import('../operations/move/many/run-batch.js')
  const { batches, batch, admin, online, signal } = run
  const open = (await batches.tenants(batch)).filter(({ state }) => state !== 'moved')
  const from = instance === null ? tenancy.settings.instances.map(({ name }) => name) : [instance]
  const wanted = run.sideBySide
  const to = [...new Set(open.map(one => one.to))]
  const sideBySide = admin && online ? await placesFor(admin, { wanted, from, to }).catch(() => wanted) : wanted
  if (sideBySide < wanted) output.line(`${sideBySide} side by side, as the servers have no places for more.`)
  await carryOutBatch(tenancy.move, { ...run, sideBySide })
  if (instance === null) return
  for (let look = 1; look < LOOKS && !signal?.aborted; look++) {
    const known = new Set((await batches.tenants(batch)).map(({ id }) => id))
    const more = movable(await plan()).filter(({ id }) => !known.has(id))
    if (more.length === 0) return
    const tried = new Set<TenantId>(known)
    await batches.add(batch, more)
    // Those that failed before are not tried again by this command.
    await carryOutBatch(tenancy.move, { ...run, sideBySide, only: id => !tried.has(id) })
  }
}

async function dropOld(
  { tenancy }: OpenService,
  run: BatchRun,
  outcomes: readonly TenantOutcome[],
  say: (text: string) => void,
): Promise<void> {
  const { dropMoved } = await import('../operations/move/run.js')
  const { sentenceOf: textOf } = await import('../operations/outcome.js')
  for (const one of outcomes) {
    if (one.state !== 'moved' || one.run === null) continue
    try {
      await dropMoved(tenancy.move, one.run, run)
    } catch (error) {
      say(`${one.tenant}: its old database was not dropped: ${textOf(error)} \`move ${one.tenant} --drop-source\`.`)
    }
  }
}

function sentenceOf({ tenant, to, bytes, state, frozenMs, error }: TenantOutcome): string {
  if (state !== 'moved') return `${tenant}: not moved: ${error}`
  const held = frozenMs === null ? '' : `, held for ${Math.round(frozenMs)} ms`
  return `${tenant}: is on ${to}, ${sizeOf(bytes)}${held}.${error === null ? '' : ` Warning: ${error}`}`
}

/** Tenants that were not moved, and why; those that are on a drained instance all the same. */
async function notMoved(
  { tenancy }: OpenService,
  { instance, planned }: ManyMoves,
  outcomes: readonly TenantOutcome[],
): Promise<{ left: readonly TenantId[]; why: ReadonlyMap<TenantId, string> }> {
  const { surveyInstances } = await import('../operations/move/many/survey.js')
  const left =
    instance === null ? [] : (await surveyInstances(tenancy.move)).tenants.filter(one => one.instance === instance)
  const why = new Map<TenantId, string>()
  for (const { id, unmovable } of left) why.set(id, unmovable ?? 'came to it meanwhile')
  for (const { id, to, why: reason } of planned) if (to === null && reason) why.set(id, reason)
  for (const { tenant, state, error } of outcomes) if (state !== 'moved') why.set(tenant, error ?? 'was not moved')
  return { left: left.map(({ id }) => id), why }
}

/** @returns how many tenants were not moved */
async function report(
  { output }: Context,
  service: OpenService,
  task: ManyMoves,
  { batch, outcomes }: { batch: string; outcomes: readonly TenantOutcome[] },
): Promise<number> {
  const { kind, instance } = task
  const { left, why } = await notMoved(service, task, outcomes)
  const moved = outcomes.filter(({ state }) => state === 'moved')
  const memory = process.resourceUsage().maxRSS * 1024
  const bytes = moved.reduce((sum, one) => sum + one.bytes, 0)
  output.table(['not moved', 'why'], [...why], '')
  output.line(`${moved.length} tenants were moved, ${sizeOf(bytes)}. This command took ${sizeOf(memory)} of memory.`)
  if (instance !== null && left.length === 0) {
    output.line(
      `${instance} of ${service.name} has no tenants, and gets none: \`instances open ${instance}\` lets them in again.`,
    )
  }
  const those = [...why].map(([tenant, reason]) => ({ tenant, why: reason }))
  output.document({ kind, batch, instance, outcomes, left, notMoved: those, memoryBytes: memory })
  return why.size
}

export function wayOf(options: ManyOptions): Pick<HowToMoveMany, 'online' | 'room' | 'sideBySide'> {
  const { follow = false, sideBySide, room = new Map() } = options
  const limits = switchLimitsOf(options)
  return { online: options.frozen ? null : { limits, follow }, room, sideBySide }
}
