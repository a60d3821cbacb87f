// A stack whose services die at a step on demand: each runs with the crash preload, which reads its order from a
// folder. Owns that folder, the trace of steps, and the wait for a clean ledger.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ServiceName, serviceNames } from '../../stack/names.js'
import { makeFolder } from '../../stack/servers/folder.js'
import { type RunningStack, type StackOptions, startStack } from '../../stack/stack.js'
import {
  checkLedger,
  type LedgerCheck,
  type LedgerCheckOptions,
  type LedgerReading,
  readLedger,
} from './ledger-check.js'
import { auditor } from './stream-facts.js'

export interface FaultyStack extends RunningStack {
  /** The next process of this service that reaches the point dies there. */
  arm(service: ServiceName, point: string): void
  /** Whether the order was not carried out yet. */
  armed(service: ServiceName): boolean
  disarm(service: ServiceName): void
  /** The steps published since the last call, each once, by service. */
  trace(): Record<ServiceName, Set<string>>
  /** @returns the clean check; throws the differences that are left `ms` after this call and after the last fault */
  converge(ms: number, options?: LedgerCheckOptions, lastTrouble?: () => number): Promise<LedgerCheck>
}

export async function startFaultyStack(options: StackOptions = {}): Promise<FaultyStack> {
  const folder = makeFolder()
  const orders = join(folder.path, 'orders')
  const traceFile = join(folder.path, 'trace')
  mkdirSync(orders)
  writeFileSync(traceFile, '')
  const stack = await startStack({
    natsUsers: [auditor],
    ...options,
    serviceEnv: {
      LOG_LEVEL: 'warn',
      // So that deleted tenants are purged within the run.
      TENANT_RETENTION_DAYS: '0',
      NODE_OPTIONS: `--import=${new URL('./crash.js', import.meta.url).href}`,
      FAULT: `@${orders}`,
      FAULT_TRACE: traceFile,
      ...options.serviceEnv,
    },
  }).catch(error => {
    folder.remove()
    throw error
  })
  return {
    ...stack,
    arm: (service, point) => writeFileSync(join(orders, service), point),
    armed: service => existsSync(join(orders, service)),
    disarm: service => rmSync(join(orders, service), { force: true }),
    trace() {
      const found = Object.fromEntries(serviceNames.map(name => [name, new Set<string>()])) as ReturnType<
        FaultyStack['trace']
      >
      for (const line of readFileSync(traceFile, 'utf8').split('\n')) {
        const [service, step] = line.split(' ')
        if (step) found[service as ServiceName]?.add(step)
      }
      writeFileSync(traceFile, '')
      return found
    },
    converge: (ms, how, lastTrouble) => converge(stack, ms, how, lastTrouble),
    async stop() {
      await stack.stop()
      folder.remove()
    },
  }
}

/**
 * The pause before a reading: it opens six sessions and takes a tenth of a second of a core, beside services that
 * are waited for and need the core themselves.
 */
const PACE_MS = 500

const readings = new WeakMap<RunningStack, Promise<LedgerReading>>()

/** A reading that begins after this call, shared by all callers until then: a dozen may wait for as many tenants. */
function nextReading(stack: RunningStack): Promise<LedgerReading> {
  const coming = readings.get(stack)
  if (coming) return coming
  const next = sleep(PACE_MS).then(() => {
    readings.delete(stack)
    return readLedger(stack)
  })
  readings.set(stack, next)
  return next
}

export async function converge(
  stack: RunningStack,
  ms: number,
  how: LedgerCheckOptions = {},
  lastTrouble: () => number = () => 0,
): Promise<LedgerCheck> {
  const began = performance.now()
  for (;;) {
    const reading = nextReading(stack)
    const outside = await checkLedger(stack, { ...how, inside: false }, reading)
    const late = performance.now() > Math.max(began, lastTrouble()) + ms
    // Each tenant's database takes a session of its own: only when all else is right, or for the report.
    if (outside.differences.length > 0 && !late) continue
    const check = how.inside === false ? outside : await checkLedger(stack, how, reading)
    if (check.differences.length === 0) return check
    if (late) {
      throw new Error(`not converged within ${ms} ms:\n  ${check.differences.slice(0, 40).join('\n  ')}`)
    }
  }
}
