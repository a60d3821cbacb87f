// One chaos run: load and kills side by side, then everything started, a bounded wait for the ledger to be clean,
// and the verdict. The same seed makes the same decisions; the machine decides when they happen.
import { setTimeout as sleep } from 'node:timers/promises'
import { random as seeded } from '../../../bench/distribution.js'
import type { Progress } from '../../../bench/progress.js'
import { startStack } from '../../../stack/stack.js'
import { checkLedger, type LedgerCheck } from '../ledger-check.js'
import { createOperator } from '../operator.js'
import { auditor } from '../stream-facts.js'
import { startLoad } from './load.js'
import { type ChaosVerdict, judge } from './verdict.js'
import { killAll, victimsOf } from './victims.js'

export interface ChaosOptions {
  readonly tenants: number
  readonly kills: number
  readonly seed: number
  readonly wipeNats: boolean
  readonly progress: Progress
}

const CONVERGE_MS = 120_000

export async function runChaos(options: ChaosOptions): Promise<ChaosVerdict> {
  const { tenants, kills, seed, wipeNats, progress } = options
  const deaths: string[] = []
  /** Killed and not up yet: a service that refuses to start because its database is down too has not died. */
  const lying = new Set<string>()
  let ending = false
  progress.say('starting the stack')
  const stack = await startStack({
    // So that a process that ends by itself has logged the reason, a signal from elsewhere too.
    serviceEnv: { LOG_LEVEL: 'info' },
    natsUsers: [auditor],
    serviceDied: (message, name) => !ending && !lying.has(name) && deaths.push(message),
  })
  try {
    const replica = await stack.replica('employee')
    const victims = victimsOf(stack, replica, { wipeNats, log: progress.say })
    const operator = createOperator(stack)
    const began = performance.now()
    progress.begin('chaos', tenants + kills)
    const count: Record<string, number> = {}
    let killed = 0
    const load = startLoad({
      tenants,
      random: seeded(seed + 1),
      operator,
      allowed: () => Math.ceil((tenants * (killed + 1)) / kills),
      onTenant: () => progress.step(`${load.accepted} tenants accepted, ${killed} kills`),
    })
    const killing = killAll({
      victims,
      lying,
      enough: done => done >= kills,
      random: seeded(seed),
      onKill(name) {
        killed++
        count[name] = (count[name] ?? 0) + 1
        progress.step(`${load.accepted} tenants accepted, ${killed} kills, last ${name}`)
      },
    })
    await Promise.all([load.done, killing])
    const standing = performance.now()
    progress.say('everything is up again; waiting for the ledger')
    const check = await lastCheck(stack, standing + CONVERGE_MS, progress)
    const clean = check.differences.length === 0
    return judge(
      {
        tenants,
        accepted: load.accepted,
        changes: load.changes,
        kills: count,
        wipedNats: wipeNats ? (count.nats ?? 0) : 0,
        repeatedCalls: operator.repeated,
        deaths,
        failures: load.failures,
        seconds: Math.round((performance.now() - began) / 1000),
        convergedMs: clean ? Math.round(performance.now() - standing) : null,
      },
      check,
      load.promised,
    )
  } finally {
    ending = true
    await stack.stop()
  }
}

/** The first clean check, or the one at the deadline. Deep only when all else is clean: it visits every database. */
export async function lastCheck(
  stack: Parameters<typeof checkLedger>[0],
  deadline: number,
  progress: Progress,
): Promise<LedgerCheck> {
  let shown = 0
  for (;;) {
    const shallow = await checkLedger(stack, { inside: false })
    if (shallow.differences.length === 0 || performance.now() > deadline) {
      const deep = await checkLedger(stack)
      if (deep.differences.length === 0 || performance.now() > deadline) return deep
    }
    const { length, 0: one = 'none at first sight' } = shallow.differences
    if (length !== shown) progress.say(`${length} differences, like: ${one}`)
    shown = length
    await sleep(500)
  }
}
