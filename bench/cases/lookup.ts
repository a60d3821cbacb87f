// `lookup`: the cost of finding the tenant of a request, in memory and in Redis, against a table in the code; the size of
// the directory with its bounds reached; and the latency of requests when Redis is killed under them.
import { type RedisServer, startRedis } from '../../stack/servers/redis.js'
import { tenantHeader } from '../arm.js'
import type { ArmProcess } from '../arm-process.js'
import { type Arms, type BenchOptions, CONNECTIONS, startArms } from '../arms.js'
import { HttpConnection } from '../http-connection.js'
import { type Measure, request, startLoad } from '../load.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { requests } from '../workload.js'
import { registerIdle } from './idle.js'
import { comparePairs } from './paired.js'

const KNOWN = 10_000
const JUNK = 100_000
const HEAP_BYTES = 20 * 2 ** 20
const HEAP_ROUNDS = 2
const DEATHS = 5

const HEAP = (known: number, junk: number) => `directory heap, ${known} known and ${junk} junk ids: ours vs 20 MiB`
const DEATH = 'Redis killed under load, p99 after the first second: ours vs before'
const DEATH_UNREMEMBERED = 'Redis killed under load with nothing in memory, p99 after the first second: ours vs before'

export async function benchLookup(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const arms = await startArms([], options)
  const redis = await startRedis({ dir: arms.fleet.dir })
  try {
    const plugin = { redis: redis.url }
    await arms.start('in memory', { kind: 'ours', options: plugin })
    await arms.start('in redis', { kind: 'from redis', options: plugin })
    await arms.start('hard-coded')
    const cases = await comparePairs(
      arms,
      [
        { name: 'tenant found in memory: ours vs hard-coded', ours: 'in memory', rival: 'hard-coded' },
        { name: 'tenant found in redis: ours vs hard-coded', ours: 'in redis', rival: 'hard-coded' },
      ],
      options,
    )
    const { found, share } = await foundInRedis(arms.arm('in redis'))
    if (cases.length > 0 && share < 0.9) throw new Error(`Redis answered ${share} of the lookups only: ${found}`)
    for (const [name, arm] of [
      [DEATH, 'in memory'],
      [DEATH_UNREMEMBERED, 'in redis'],
    ] as const) {
      if (name.includes(options.only)) cases.push(await killRedis(name, arms, arms.arm(arm), redis, options))
    }
    const sizes = (options.quick ? [1_000, 5_000] : [KNOWN, JUNK]) as [number, number]
    if (HEAP(...sizes).includes(options.only)) cases.push(await weighDirectory(arms, redis, sizes, options))
    return { config: { ...(await arms.config()), 'found in redis': found }, cases }
  } finally {
    await redis.stop()
    await arms.stop()
  }
}

/** An arm that gives wrong answers measures nothing. */
async function foundInRedis(arm: ArmProcess): Promise<{ found: string; share: number }> {
  const found = await arm.ask<Record<string, number>>('found')
  const all = Object.values(found).reduce((sum, count) => sum + count, 0)
  const text = Object.entries(found).map(([source, count]) => `${source} ${count}`)
  return { found: text.join(', '), share: (found.remote ?? 0) / all }
}

async function killRedis(
  name: string,
  arms: Arms,
  arm: ArmProcess,
  redis: RedisServer,
  options: BenchOptions,
): Promise<Case> {
  const deaths = options.quick ? 1 : DEATHS
  const workload = { tenants: Math.min(10, options.tenants), distribution: 'fit', route: 'one read' } as const
  const before: Measure[] = []
  const first: Measure[] = []
  const after: Measure[] = []
  options.progress.begin(name, deaths)
  for (let death = 1; death <= deaths; death++) {
    const load = startLoad(arm.port, CONNECTIONS, requests(workload, arms.fleet.tenants, death))
    const during = async (ms: number): Promise<Measure> => {
      load.record()
      await pause(ms)
      return load.soFar()
    }
    await pause(500)
    before.push(await during(2_000))
    await redis.kill()
    first.push(await during(1_000))
    after.push(await during(options.quick ? 1_000 : 4_000))
    await load.stop()
    await redis.restart()
    // Its client comes back within half a second, and what it holds is written again by the first lookups.
    await pause(1_500)
    options.progress.step(`death ${death} of ${deaths}`)
  }
  const failed = [...before, ...first, ...after].reduce((sum, one) => sum + one.failed, 0)
  const p99 = (measures: readonly Measure[]) => measures.map(one => one.p99)
  const worst = Math.max(...p99(first))
  return {
    ...compareNumbers(name, p99(after), p99(before), { better: 'lower', as: 'note', note: 'ms', failed }),
    note: `p99 ms ${mid(p99(before))} before, ${mid(p99(first))} in the first second (worst ${worst.toFixed(1)}), ${mid(p99(after))} after`,
  }
}

const mid = (values: readonly number[]): string =>
  ([...values].sort((a, b) => a - b)[values.length >> 1] as number).toFixed(1)

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

async function weighDirectory(
  arms: Arms,
  redis: RedisServer,
  [known, junk]: readonly [number, number],
  options: BenchOptions,
): Promise<Case> {
  await registerIdle(arms, known)
  const weights: number[] = []
  const times = options.quick ? 1 : HEAP_ROUNDS
  options.progress.begin('directory heap', times)
  for (let round = 0; round < times; round++) {
    const name = `weighed ${round}`
    const arm = await arms.start(name, { kind: 'ours', execArgv: ['--expose-gc'], options: { redis: redis.url } })
    // What HTTP and the registry's client allocate for good is there before it is weighed.
    await askAll(arm, 500, at => `warm-${at}`, 404)
    const before = await arm.ask<number>('heap')
    await askAll(arm, known, at => `idle-${at + 1}`, 200)
    await askAll(arm, junk, at => `junk-${round}-${at}`, 404)
    weights.push((await arm.ask<number>('heap')) - before)
    await arm.stop()
    options.progress.step(`round ${round + 1} of ${times}`)
  }
  return {
    ...compareNumbers(
      HEAP(known, junk),
      weights,
      weights.map(() => HEAP_BYTES),
      { better: 'lower', as: 'note' },
    ),
    note: `MiB ${weights.map(weight => (weight / 2 ** 20).toFixed(1)).join(', ')}`,
  }
}

/** Each once, by eight clients, through a handler that runs no query. */
async function askAll(arm: ArmProcess, count: number, id: (at: number) => string, expected: number): Promise<void> {
  let next = 0
  await new Promise<void>((resolve, reject) => {
    let open = 8
    for (let client = 0; client < 8; client++) {
      const connection = new HttpConnection(arm.port)
      const ask = (): void => {
        if (next >= count) {
          connection.cut()
          if (--open === 0) resolve()
          return
        }
        connection.send(request('/touch', tenantHeader, id(next++)), ({ status }) => {
          if (status === expected) ask()
          else reject(new Error(`${arm.name} answered ${status} instead of ${expected}`))
        })
      }
      ask()
    }
  })
}
