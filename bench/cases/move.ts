// `bench move`: how long the writes of a tenant wait at the switch of a move that replicates and of its way back, against how long a frozen
// move refuses them; the whole move against a bare parallel pg_dump and pg_restore; what other tenants of both instances feel of it. A
// tenant of each size is made once and moved to and fro. In some of the rounds it is also moved by the frozen way and copied bare.
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchOptions } from '../arms.js'
import { MIB, TABLES } from '../move/service.js'
import { JOBS, OTHERS_EVERY_MS, type Stage, startStage, WRITE_EVERY_MS } from '../move/stage.js'
import { distributionOf, type PacedWork, type Seen } from '../paced-work.js'
import { type Case, type Config, compareNumbers, machine } from '../report.js'

/** What the command may take at most. */
const MEMORY_MIB = 150
/** After so many the figures are of no use. */
const MOST_FAILED = 3

interface Switched {
  readonly writes: Seen
  /** For which statements were held, by the central database's clock. */
  readonly heldMs: number
  readonly memory: number
}

interface Online extends Switched {
  readonly wholeMs: number
  readonly others: Seen
  readonly before: Seen
}

interface Round {
  readonly online: Online
  readonly back: Switched | null
  /** Milliseconds; null in a round without. */
  readonly frozen: number | null
  readonly bare: number | null
}

/** `1 GB` for 1024. */
const labelOf = (megabytes: number): string =>
  megabytes % 1024 === 0 ? `${megabytes / 1024} GB` : `${Math.round(megabytes)} MB`

export async function benchMove(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const sizes = options.megabytes ?? [options.quick ? 16 : 1024]
  const moves = options.moves ?? (options.quick ? 2 : 20)
  const cases: Case[] = []
  const config: Record<string, string | number | boolean> = {
    ...machine(),
    moves: `${moves} of each size, ${Math.min(moves, options.rounds)} of them with a frozen move and a bare copy beside it`,
    jobs: JOBS,
    bare: `pg_dump -Fd -j ${JOBS}, createdb, pg_restore -j ${JOBS}, as the same role`,
    held: `the longest of the writes of one client in each move, one every ${WRITE_EVERY_MS} ms with 2 s to get a connection; rival: what writers of a frozen move are refused for`,
    'other tenants': `two on each instance, a read or an update every ${OTHERS_EVERY_MS} ms in all; rival: the ${options.seconds} s before each move`,
  }
  for (const [at, megabytes] of sizes.entries()) {
    const stage = await startStage(megabytes, options.progress)
    try {
      const { rounds, failures } = await moveAll(stage, labelOf(megabytes), moves, options)
      const { acknowledged, missing } = await stage.checkWrites()
      if (missing > 0) throw new Error(`${missing} of ${acknowledged} acknowledged writes are missing`)
      const label = labelOf(megabytes)
      cases.push(...casesOf(rounds, label, at === 0 ? '' : `, ${label}`))
      Object.assign(config, configOf(stage, rounds, label), {
        [`${label}: moves that failed`]: failures.join('; ') || 0,
        [`${label}: writes`]: `${acknowledged} acknowledged, all there`,
      })
    } finally {
      options.progress.say(`removing the data of ${labelOf(megabytes)}`)
      await stage.stop()
    }
  }
  return { config, cases }
}

async function moveAll(
  stage: Stage,
  label: string,
  moves: number,
  options: BenchOptions,
): Promise<{ rounds: Round[]; failures: string[] }> {
  const every = Math.ceil(moves / options.rounds)
  const { progress } = options
  const rounds: Round[] = []
  const failures: string[] = []
  const others = stage.startOthers()
  const there = async () => ((await stage.place()) === 'main' ? 'b' : 'main')
  progress.begin(`moving ${label}`, moves + Math.ceil(moves / 2) + 2 * Math.ceil(moves / every))
  try {
    for (let n = 0; n < moves; n++) {
      const turns = {
        async online() {
          const online = await moveOnline(stage, others, ['--to', await there()], options.seconds * 1000)
          progress.step(`move ${n + 1} of ${moves}, held for ${online.writes.longest.toFixed(0)} ms`)
          // Every second one stays, so that the next goes the other way.
          const back = n % 2 === 0 ? await switched(stage, ['--back']) : null
          if (back) progress.step(`and back, held for ${back.writes.longest.toFixed(0)} ms`)
          else await stage.move(['--drop-source'])
          return { online, back }
        },
        async frozen() {
          const { frozenMs } = await stage.move(['--to', await there(), '--frozen', '--drop-source'])
          progress.step(`frozen for ${(frozenMs / 1000).toFixed(1)} s`)
          return frozenMs
        },
        async bare() {
          const ms = await stage.copyBare()
          progress.step(`bare copy in ${(ms / 1000).toFixed(1)} s`)
          return ms
        },
      }
      try {
        if (n % every !== 0) rounds.push({ ...(await turns.online()), frozen: null, bare: null })
        else if ((n / every) % 2 === 0)
          rounds.push({ ...(await turns.online()), frozen: await turns.frozen(), bare: await turns.bare() })
        else {
          const bare = await turns.bare()
          const frozen = await turns.frozen()
          rounds.push({ ...(await turns.online()), frozen, bare })
        }
      } catch (error) {
        failures.push((error as Error).message)
        progress.say((error as Error).message)
        if (failures.length > MOST_FAILED) throw error
        // Of a way back that failed; without one there is nothing to drop.
        await stage.move(['--drop-source']).catch(() => {})
      }
    }
  } finally {
    await others.stop()
  }
  return { rounds, failures }
}

async function moveOnline(
  stage: Stage,
  others: PacedWork,
  options: readonly string[],
  quietMs: number,
): Promise<Online> {
  // The same load before it as during it, the writer too.
  const writer = stage.startWriter()
  let before: Seen
  try {
    others.begin()
    await sleep(quietMs)
    before = await others.seen()
  } finally {
    await writer.stop()
  }
  others.begin()
  const began = performance.now()
  const moved = await switched(stage, options)
  return { ...moved, wholeMs: performance.now() - began, others: await others.seen(), before }
}

/** A run of the command, with the tenant written all the while. */
async function switched(stage: Stage, options: readonly string[]): Promise<Switched> {
  const writer = stage.startWriter()
  try {
    writer.begin()
    const { frozenMs, memoryBytes } = await stage.move(options)
    return { writes: await writer.seen(), heldMs: frozenMs, memory: memoryBytes / MIB }
  } finally {
    await writer.stop()
  }
}

const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0)

function casesOf(rounds: readonly Round[], label: string, suffix: string): Case[] {
  const both = rounds.filter(({ frozen, bare }) => frozen !== null && bare !== null)
  const frozen = both.map(one => one.frozen as number)
  const bare = both.map(one => one.bare as number)
  const online = rounds.map(one => one.online)
  const backs = rounds.filter(({ back }) => back !== null)
  const hold = (name: string, all: readonly Switched[], ours: readonly number[], rival: readonly number[]): Case => ({
    ...compareNumbers(name, ours, rival, { better: 'lower', as: 'p50' }),
    ...distributionOf(all.map(({ writes }) => writes.longest)),
    failed: sum(all.map(({ writes }) => writes.failed)),
  })
  const backsToo = both.filter(({ back }) => back !== null)
  return [
    hold(
      `hold at the switch, ${label}`,
      online,
      both.map(one => one.online.writes.longest),
      frozen,
    ),
    hold(
      `hold at the switch back, ${label}`,
      backs.map(one => one.back as Switched),
      backsToo.map(one => (one.back as Switched).writes.longest),
      backsToo.map(one => one.frozen as number),
    ),
    compareNumbers(
      `whole move vs bare-copy${suffix}`,
      both.map(one => one.online.wholeMs),
      bare,
      { better: 'lower', as: 'p50' },
    ),
    compareNumbers(`frozen move vs bare-copy${suffix}`, frozen, bare, { better: 'lower', as: 'p50' }),
    {
      ...compareNumbers(
        `other tenants meanwhile${suffix}`,
        online.map(one => one.others.p99),
        online.map(one => one.before.p99),
        { better: 'lower', as: 'note', note: 'ms, p99 during / before' },
      ),
      p99: distributionOf(online.map(one => one.others.p99)).p50,
      failed: sum(online.map(one => one.others.failed)),
    },
    compareNumbers(
      `memory of the command vs ${MEMORY_MIB} MiB${suffix}`,
      online.map(one => one.memory),
      online.map(() => MEMORY_MIB),
      { better: 'lower', as: 'note', note: 'MiB resident at most' },
    ),
  ]
}

function configOf(stage: Stage, rounds: readonly Round[], label: string): Config {
  const list = (values: readonly number[], digits = 0) => values.map(value => value.toFixed(digits)).join(' ')
  const online = rounds.map(one => one.online)
  const backs = rounds.flatMap(({ back }) => back ?? [])
  return {
    [`${label}: tenant`]: `${(stage.bytes / MIB).toFixed(0)} MiB in ${TABLES} tables with an index each`,
    [`${label}: held, all`]: list(online.map(one => one.writes.longest)),
    [`${label}: held, by the database`]: list(online.map(one => one.heldMs)),
    [`${label}: held, all ways back`]: list(backs.map(one => one.writes.longest)),
    [`${label}: whole moves, s`]: list(
      online.map(one => one.wholeMs / 1000),
      1,
    ),
    [`${label}: others, p50 during`]: list(
      online.map(one => one.others.p50),
      1,
    ),
  }
}
