// Interleaved rounds: each arm has its turn in every round, in an order that is rotated, and the first round is dropped.
// A turn is an unmeasured lead-in and a measured window, with the CPU time of the arm's process over that window.
import { setTimeout as sleep } from 'node:timers/promises'
import type { ArmProcess } from './arm-process.js'
import { type Measure, startLoad } from './load.js'
import type { Progress } from './progress.js'

export interface Turn extends Measure {
  /** CPU microseconds of the arm's process for each successful request. */
  readonly cpuPerRequest: number
}

export interface TurnOptions {
  readonly arm: ArmProcess
  readonly connections: number
  readonly seconds: number
  readonly leadIn: number
  readonly nextRequest: () => string
}

export async function turn({ arm, connections, seconds, leadIn, nextRequest }: TurnOptions): Promise<Turn> {
  const load = startLoad(arm.port, connections, nextRequest)
  await sleep(leadIn * 1000)
  const before = await arm.usage()
  load.record()
  await sleep(seconds * 1000)
  const [measure, after] = await Promise.all([load.stop(), arm.usage()])
  return { ...measure, cpuPerRequest: (after.cpuMicros - before.cpuMicros) / measure.succeeded }
}

/** Runs every named turn once in each round. @returns the turns of each name, the warm-up round left out */
export async function rounds<T>(options: {
  readonly what: string
  readonly rounds: number
  readonly turns: Readonly<Record<string, (round: number) => Promise<T>>>
  readonly progress: Progress
}): Promise<Map<string, T[]>> {
  const { what, turns, progress } = options
  const names = Object.keys(turns)
  const kept = new Map(names.map(name => [name, [] as T[]]))
  progress.begin(what, (options.rounds + 1) * names.length)
  for (let round = 0; round <= options.rounds; round++) {
    for (let place = 0; place < names.length; place++) {
      const name = names[(place + round) % names.length] as string
      const result = await (turns[name] as (round: number) => Promise<T>)(round)
      if (round > 0) kept.get(name)?.push(result)
      progress.step(`round ${round} of ${options.rounds}${round === 0 ? ' (warm-up)' : ''}, ${name}`)
    }
  }
  return kept
}
