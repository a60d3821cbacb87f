// Kills a service at every step it tells between accepting a tenant and being done with it, one step at a time, starts it
// again, and holds the ledger check to it: nothing missing, extra or stuck. The points are what is really told.
import t from 'tap'
import { type ServiceName, serviceNames } from '../../stack/names.js'
import { until } from '../rig.js'
import { type Action, actions } from './actions.js'
import { type FaultyStack, startFaultyStack } from './faulty-stack.js'
import { createOperator, type Operator } from './operator.js'

/** What a request tells while nothing is provisioned. */
const elsewhere = /^(connection|cache)\./

interface Point {
  readonly step: string
  readonly service: ServiceName
  readonly action: Action
}

const CONVERGE_MS = 60_000
/** A step that follows from an action comes this soon, and this soon after the action is done. */
const REACHED_MS = 15_000
const LATER_MS = 3_000

t.test('every crash point', { timeout: 300_000 }, async t => {
  const stack = await startFaultyStack()
  t.teardown(() => stack.stop())
  const operator = createOperator(stack)
  const run = createRun(stack, operator)

  const points = await discover(stack, run)
  const steps = new Set(points.map(({ step }) => step))
  t.ok(steps.size >= 15, `${steps.size} distinct points`)

  const table: string[] = []
  for (const point of points) {
    const { step, service, action } = point
    const name = `${service} at ${step} (${action.name})`
    const killed = await run.kill(point)
    if (killed === null) {
      table.push(`${name}: not reached this time`)
      continue
    }
    t.pass(`${name}: ${killed} ms`)
    table.push(`${name}: ${killed} ms`)
  }
  const last = await stack.converge(CONVERGE_MS, { dead: run.dead() })
  t.equal(last.duplicateEffects, 0)
  t.comment(table.join('\n'))
})

function createRun(stack: FaultyStack, operator: Operator) {
  let count = 0
  let dead = 0

  async function prepare({ needs }: Action): Promise<string> {
    const id = `crash-${++count}`
    if (needs === 'nothing') return id
    await operator.create(id)
    if (needs === 'suspended tenant') await operator.suspend(id)
    await stack.converge(CONVERGE_MS, { inside: [], dead })
    return id
  }

  return {
    dead: () => dead,
    /** Without a fault. */
    async plain(action: Action, service: ServiceName): Promise<void> {
      const id = await prepare(action)
      stack.trace()
      await action.run(id, operator, stack, service)
      dead += action.dead ?? 0
      await stack.converge(CONVERGE_MS, { dead })
    },
    /** @returns milliseconds from the kill to the clean check; null when the point was not reached */
    async kill({ step, service, action }: Point): Promise<number | null> {
      const id = await prepare(action)
      stack.arm(service, step)
      const acting = action.run(id, operator, stack, service)
      acting.catch(() => {})
      dead += action.dead ?? 0
      const process = stack.services[service]
      const carriedOut = (ms: number) => until('it dies', ms, () => !stack.armed(service))
      const reached = await Promise.race([carriedOut(REACHED_MS), acting.then(() => carriedOut(LATER_MS))]).then(
        () => true,
        () => !stack.armed(service),
      )
      const began = performance.now()
      stack.disarm(service)
      // Without an answer to give, an action may wait for the service that has died.
      if (action.restarts) await acting.catch(() => {})
      else await until('it is gone', REACHED_MS, () => !reached || !process.running)
      await process.start()
      if (!action.restarts) await acting
      await stack.converge(CONVERGE_MS, { inside: [id], dead, acknowledged: false })
      return reached ? Math.round(performance.now() - began) : null
    },
  }
}

type Run = ReturnType<typeof createRun>

/** Runs every action without a fault and takes each step that is told for the first time as a point. */
async function discover(stack: FaultyStack, run: Run): Promise<Point[]> {
  // What is told by a start comes also after the services are ready.
  await stack.converge(CONVERGE_MS)
  const points: Point[] = []
  const load: Record<ServiceName, number> = { identity: 0, employee: 0, core: 0 }
  for (const action of actions) {
    await run.plain(action, 'employee')
    const trace = stack.trace()
    const told = new Set(serviceNames.flatMap(name => [...trace[name]]))
    for (const step of told) {
      if (elsewhere.test(step) || points.some(point => point.step === step)) continue
      const candidates = serviceNames.filter(name => trace[name].has(step))
      const [service = 'identity'] = candidates.sort((a, b) => load[a] - load[b])
      load[service]++
      points.push({ step, service, action })
    }
  }
  return points
}
