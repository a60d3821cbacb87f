// Interleaved rounds: each arm has its turn in every round, in an order that is rotated, and the first round is dropped.
// Arms far from ours may sit out rounds: what is compared is always of the same round.
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

/** What each name's turns gave, by round from 1; a round it sat out is missing. */
export type Results<T> = ReadonlyMap<string, ReadonlyMap<number, T>>

/** Runs every named turn once in each round, those in `seldom` in every so many rounds. The warm-up round is left out. */
export async function rounds<T>(options: {
  readonly what: string
  readonly rounds: number
  readonly turns: Readonly<Record<string, (round: number) => Promise<T>>>
  readonly seldom?: { readonly names: readonly string[]; readonly every: number }
  readonly progress: Progress
}): Promise<Results<T>> {
  const { what, turns, progress, seldom = { names: [], every: 1 } } = options
  const names = Object.keys(turns)
  const kept = new Map(names.map(name => [name, new Map<number, T>()]))
  const every = Math.min(seldom.every, options.rounds)
  progress.begin(what, (options.rounds + 1) * names.length)
  for (let round = 0; round <= options.rounds; round++) {
    for (let place = 0; place < names.length; place++) {
      const name = names[(place + round) % names.length] as string
      if (round % every === 0 || !seldom.names.includes(name)) {
        const result = await (turns[name] as (round: number) => Promise<T>)(round)
        if (round > 0) kept.get(name)?.set(round, result)
      }
      progress.step(`round ${round} of ${options.rounds}${round === 0 ? ' (warm-up)' : ''}, ${name}`)
    }
  }
  return kept
}

/** Of two names, the results of the rounds that both took part in, in order. */
export function paired<T>(results: Results<T>, one: string, other: string): [T[], T[]] {
  const [ours, theirs] = [results.get(one), results.get(other)] as [ReadonlyMap<number, T>, ReadonlyMap<number, T>]
  const both = [...ours.keys()].filter(round => theirs.has(round))
  return [both.map(round => ours.get(round) as T), both.map(round => theirs.get(round) as T)]
}
