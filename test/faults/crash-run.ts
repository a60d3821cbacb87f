// Runs crash points: finds them by running every action once with a subscription, then kills a service at each,
// starts it again and waits until the tenant in question is right everywhere. Each service has a lane of its own, so
// that one wait (a message that a killed process held is delivered again after ten seconds) does not delay the
// others. Ends with the whole ledger.
import { type ServiceName, serviceNames } from '../../stack/names.js'
import type { Service } from '../../stack/service.js'
import { within } from '../until.js'
import { type Action, actions } from './actions.js'
import type { FaultyStack } from './faulty-stack.js'
import type { LedgerCheck } from './ledger-check.js'
import { createOperator } from './operator.js'

export interface Point {
  /** `<area>.<type or step>`. */
  readonly step: string
  readonly service: ServiceName
  readonly action: Action
}

export interface Crash extends Point {
  /** From the kill until the tenant was right everywhere; null when the step was not published this time. */
  readonly ms: number | null
}

/** Published by every serving process, without any provisioning. */
const unrelated = /^(connection|cache)\./
const CONVERGE_MS = 60_000
/**
 * Where services die before another's tenants are right: a service that fails to reach identity four times asks
 * again in a minute.
 */
const CONVERGE_TOGETHER_MS = 120_000
/** A step that follows from an action is published this soon after its begin, and this soon after its end. */
const REACHED_MS = 30_000
const LATER_MS = 15_000

/** Once more, if it waited for the process that is just being killed. */
const startAgain = (process: Service): Promise<void> => process.start().catch(() => process.start())

export interface CrashRunOptions {
  /** Every service that publishes a step dies there, not one of them. */
  readonly everyService?: boolean
  readonly repeats?: number
  /** How many tenants of a service may be on their way to being right when it dies again. Default 1. */
  readonly overlap?: number
  readonly onCrash?: (crash: Crash) => void
}

export async function runCrashPoints(
  stack: FaultyStack,
  { everyService = false, repeats = 1, overlap = 1, onCrash }: CrashRunOptions = {},
): Promise<{ crashes: readonly Crash[]; last: LedgerCheck }> {
  const operator = createOperator(stack)
  const convergeMs = overlap > 1 ? CONVERGE_TOGETHER_MS : CONVERGE_MS
  let count = 0
  let dead = 0
  /** The time at which a service was last up again: before it no tenant can count as stuck. */
  let upSince = 0

  /** @returns the id of the tenant the action is about */
  async function prepare({ needs }: Action): Promise<string> {
    const id = `crash-${++count}`
    if (needs === 'nothing') return id
    await operator.create(id)
    if (needs === 'suspended tenant') await operator.suspend(id)
    await stack.converge(convergeMs, { only: [id], purged: true }, () => upSince)
    return id
  }

  /** Runs every action without a fault; each step that is published for the first time is a point. */
  async function discover(): Promise<Point[]> {
    // A start publishes steps after the services are ready, too.
    await stack.converge(convergeMs, { purged: true })
    const points: Point[] = []
    const load: Record<ServiceName, number> = { identity: 0, employee: 0, core: 0 }
    for (const action of actions) {
      const id = await prepare(action)
      stack.trace()
      await action.run({ id, operator, stack, service: 'employee' })
      dead += action.dead ?? 0
      await stack.converge(convergeMs, { ...(action.settles ? { dead } : { only: [id] }), purged: true })
      const trace = stack.trace()
      const known = new Set(points.map(({ step }) => step))
      for (const step of new Set(serviceNames.flatMap(name => [...trace[name]]))) {
        if (unrelated.test(step) || known.has(step)) continue
        const publishers = serviceNames.filter(name => trace[name].has(step)).sort((a, b) => load[a] - load[b])
        for (const service of everyService ? publishers : publishers.slice(0, 1)) {
          load[service]++
          points.push({ step, service, action })
        }
      }
    }
    return points
  }

  /** Resolves when the service is up again; `settled` has the time until its tenant was right. */
  async function crash(point: Point): Promise<{ settled: Promise<Crash> }> {
    const { step, service, action } = point
    const process = stack.services[service]
    const id = await prepare(action)
    stack.arm(service, step)
    const acting = action.run({ id, operator, stack, service })
    dead += action.dead ?? 0
    const died = (ms: number) => within(ms, () => !stack.armed(service))
    const reached = await Promise.race([died(REACHED_MS), acting.then(() => died(LATER_MS))])
    const began = performance.now()
    stack.disarm(service)
    await startAgain(process)
    await acting
    upSince = performance.now()
    const converged = stack.converge(convergeMs, { only: [id], purged: true }, () => upSince)
    return {
      settled: converged.then(() => ({ ...point, ms: reached ? Math.round(performance.now() - began) : null })),
    }
  }

  const points = await discover()
  const crashes: Crash[] = []
  const lane = async (service: ServiceName): Promise<void> => {
    const mine = points.filter(point => point.service === service)
    const open = new Set<Promise<void>>()
    for (const point of Array.from({ length: repeats }, () => mine).flat()) {
      while (open.size >= overlap) await Promise.race(open)
      const { settled } = await crash(point)
      const done = settled.then(made => {
        open.delete(done)
        crashes.push(made)
        onCrash?.(made)
      })
      open.add(done)
      // It is awaited below; until then it must not count as an unhandled rejection.
      done.catch(() => {})
    }
    await Promise.all(open)
  }
  await Promise.all(serviceNames.map(lane))
  return { crashes, last: await stack.converge(convergeMs, { dead, purged: true }) }
}
