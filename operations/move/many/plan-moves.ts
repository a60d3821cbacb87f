// The plans of many moves: a drain, which leaves an instance without tenants, and a rebalance. They read the registry and every instance
// and change nothing; what is in the way of a single tenant is the plan of its own move.

import { TransferRefused } from '../../../plugins/distributed-tenant/errors.js'
import { listFull } from '../../../plugins/distributed-tenant/registry/full-instances.js'
import type { TenantId } from '../../../plugins/distributed-tenant/types.js'
import { unknownInstance } from '../../instances/instances.js'
import type { MoveParts } from '../parts.js'
import { chooseRelocations, chooseTargets, largestFirst, type Target } from './choose-targets.js'
import { type SurveyedTenant, surveyActivity, surveyInstances } from './survey.js'

export interface PlannedMove {
  readonly id: TenantId
  readonly from: string
  readonly bytes: number
  /** Null: it stays. */
  readonly to: string | null
  /** Why it stays. */
  readonly why: string | null
  /** Transactions a second, of a rebalance by activity. */
  readonly activity: number | null
}

export interface PlanOptions {
  /** By instance: the free bytes on its disk, as the operator passed them. */
  readonly room: ReadonlyMap<string, number>
  /** By instance; 1 where none was passed. */
  readonly weights: ReadonlyMap<string, number>
}

export interface DrainOptions extends PlanOptions {
  /** The instances that the operator names; without any all others that take tenants. */
  readonly to: readonly string[]
}

/** @throws TRANSFER_REFUSED when there is no such instance, or none to go to */
export async function planDrain(parts: MoveParts, name: string, options: DrainOptions): Promise<PlannedMove[]> {
  const { service, central } = parts
  const names = parts.instances.map(one => one.name)
  checkNames(parts, [name, ...options.to, ...options.room.keys(), ...options.weights.keys()])
  if (options.to.includes(name)) throw new TransferRefused(`${name} is drained: name another instance with --to.`)
  const full = new Set((await listFull(central)).map(one => one.name))
  const wanted = options.to.length > 0 ? options.to : names.filter(one => one !== name && !full.has(one))
  for (const one of options.to) {
    if (full.has(one)) throw new TransferRefused(`${one} is marked full: \`instances open ${one}\`, or name another.`)
  }
  const survey = await surveyInstances(parts)
  const answering = survey.instances.filter(one => wanted.includes(one.name) && one.bytes !== null)
  if (answering.length === 0) {
    const silent = survey.instances.filter(one => wanted.includes(one.name)).map(one => one.error)
    throw new TransferRefused(
      silent[0] ??
        `No other instance of ${service} takes tenants: add one to DB_INSTANCES, or open one with \`instances open\`.`,
    )
  }
  const here = survey.tenants.filter(({ instance }) => instance === name)
  const targets = answering.map(
    (one): Target => ({
      name: one.name,
      bytes: one.bytes ?? 0,
      weight: options.weights.get(one.name) ?? 1,
      free: options.room.get(one.name) ?? null,
    }),
  )
  const chosen = chooseTargets(
    here.filter(({ unmovable }) => unmovable === null),
    targets,
  )
  return largestFirst(here).map(({ id, bytes, unmovable }) => {
    const to = chosen.get(id) ?? null
    const why = unmovable ?? (to === null ? `has room at none of ${answering.map(one => one.name).join(', ')}` : null)
    return { id, from: name, bytes, to, why, activity: null }
  })
}

export interface RebalanceOptions extends PlanOptions {
  readonly by: 'size' | 'activity'
  /** How long activity is looked at. */
  readonly seconds: number
  /** The part of the average by which the most and the least loaded may differ. */
  readonly tolerance: number
  readonly most: number
  readonly signal?: AbortSignal | undefined
}

/** @throws TRANSFER_REFUSED with one instance, or when one does not answer */
export async function planRebalance(parts: MoveParts, options: RebalanceOptions): Promise<PlannedMove[]> {
  const { service, central, instances } = parts
  if (instances.length < 2) throw new TransferRefused(`${service} has one instance: add one to DB_INSTANCES.`)
  checkNames(parts, [...options.room.keys(), ...options.weights.keys()])
  const survey = await surveyInstances(parts)
  const silent = survey.instances.find(({ error }) => error !== null)
  if (silent) throw new TransferRefused(silent.error ?? silent.name)
  const full = new Set((await listFull(central)).map(one => one.name))
  const activity = options.by === 'activity' ? await surveyActivity(parts, survey.tenants, options) : null
  const loadOf = ({ id, bytes }: SurveyedTenant): number => activity?.get(id) ?? bytes
  const chosen = chooseRelocations(
    survey.tenants.map(one => ({ ...one, load: loadOf(one), movable: one.unmovable === null })),
    instances.map(({ name }) => ({
      name,
      weight: options.weights.get(name) ?? 1,
      open: !full.has(name),
      free: options.room.get(name) ?? null,
    })),
    options,
  )
  return chosen.map(({ id, from, to, bytes, load }) => ({ id, from, to, bytes, why: null, activity: activity && load }))
}

function checkNames({ service, instances }: MoveParts, named: readonly string[]): void {
  const names = instances.map(({ name }) => name)
  const wrong = named.find(one => !names.includes(one))
  if (wrong !== undefined) throw unknownInstance(service, wrong, names)
}
