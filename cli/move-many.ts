// The work of `drain` and `rebalance` once it is confirmed, as the command shows it: a line for each tenant, and what is left at the end.
import type { BatchJournal } from '../operations/move/many/batch-journal.js'
import type { ManyResult } from '../operations/move/many/many-moves.js'
import type { PlannedMove } from '../operations/move/many/plan-moves.js'
import type { HowToMoveMany, TenantOutcome } from '../operations/move/many/run-batch.js'
import type { OpenService } from '../operations/open-services.js'
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

export async function moveMany(
  context: Context,
  service: OpenService,
  options: ManyOptions,
  { lost, ...task }: ManyMoves,
): Promise<void> {
  const { operatorName } = await import('../operations/audit-trail.js')
  const { carryOutMany } = await import('../operations/move/many/many-moves.js')
  const { kind, instance } = task
  const { output } = context
  const { frozen, follow, dropSource = false } = options
  const detail = { instance, frozen, follow, dropSource: options.dropSource }
  await carryOutMany(
    service,
    { ...task, actor: operatorName(), detail, dropSource },
    work => watchedMove(context, service, options, lost, how => work({ ...how, ...wayOf(options) })),
    {
      onBegin: batch => output.line(`${kind} ${batch}.`),
      onTenant: (outcome, at, all) => output.line(`${sentenceOf(outcome)} ${at} of ${all}.`),
      say: output.line,
      onEnd(result) {
        report(context, service, { kind, instance }, result)
        const { batch, interrupted, why } = result
        if (interrupted) throw new Error(`Interrupted: the same command goes on with ${kind} ${batch}.`)
        if (why.size > 0)
          throw new Error(`${why.size} tenants were not moved: see above. The same command tries them again.`)
      },
    },
  )
}

function sentenceOf({ tenant, to, bytes, state, frozenMs, error }: TenantOutcome): string {
  if (state !== 'moved') return `${tenant}: not moved: ${error}`
  const held = frozenMs === null ? '' : `, held for ${Math.round(frozenMs)} ms`
  return `${tenant}: is on ${to}, ${sizeOf(bytes)}${held}.${error === null ? '' : ` Warning: ${error}`}`
}

function report(
  { output }: Context,
  service: OpenService,
  { kind, instance }: Pick<Task, 'kind' | 'instance'>,
  { batch, outcomes, left, why }: ManyResult,
): void {
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
}

export function wayOf(options: ManyOptions): Pick<HowToMoveMany, 'online' | 'room' | 'sideBySide'> {
  const { follow = false, sideBySide, room = new Map() } = options
  const limits = switchLimitsOf(options)
  return { online: options.frozen ? null : { limits, follow }, room, sideBySide }
}
