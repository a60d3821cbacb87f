// `provision`: from POST to ready in all three services, one tenant at a time, with spares at hand, by clone, by create and
// migrate, and with the database step taken out; beside it the bare clone on the three instances at once. Every way has
// servers and services of its own, all alive at the same time, and they take turns.
import { serviceNames } from '../../stack/names.js'
import type { BenchOptions } from '../arms.js'
import { type BareClones, bareClones } from '../provisioning/bare.js'
import { type Stage, startStage, tenantRequest, until } from '../provisioning/stage.js'
import { versionsOf } from '../provisioning/versions.js'
import { createAndMigrate, noDatabaseStep } from '../provisioning/ways.js'
import { type Case, type Config, compareNumbers, machine } from '../report.js'
import { paired, rounds } from '../rounds.js'
import { median } from '../statistics.js'

/** Of each way in each round; their median is the round's figure. */
const PER_TURN = 3
const SPARES = 3

const ways = {
  spare: { spares: SPARES, env: { DISTRIBUTED_IDLE_TIMEOUT: '1' } },
  clone: { spares: 0 },
  'create-and-migrate': { spares: 0, change: createAndMigrate },
  'no-database-step': { spares: 0, change: noDatabaseStep },
} satisfies Record<string, { spares: number; env?: NodeJS.ProcessEnv; change?: (stage: Stage) => Promise<void> }>

type Way = keyof typeof ways

export async function benchProvision(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const stages = new Map<Way, Stage>()
  const { progress } = options
  try {
    for (const [name, way] of Object.entries(ways)) {
      progress.say(`starting ${name}`)
      const stage = await startStage({ name, ...way })
      stages.set(name as Way, stage)
      if ('change' in way) await way.change(stage)
      await stage.sparesAtHand()
    }
    const stage = (name: Way) => stages.get(name) as Stage
    const bare = await bareClones(stage('clone'))
    const visits = createVisits(stage('spare'))
    const turn = (name: Way) => () => createSome(stage(name), name === 'spare' ? visits : undefined)
    const taken = await rounds<number>({
      what: 'provisioning',
      rounds: options.rounds,
      turns: {
        spare: turn('spare'),
        clone: turn('clone'),
        'create-and-migrate': turn('create-and-migrate'),
        'no-database-step': turn('no-database-step'),
        'bare-clone': () => cloneSome(bare),
      },
      progress,
    })
    const compare = (ours: string, rival: string) =>
      compareNumbers(`${ours} vs ${rival}`, ...paired(taken, ours, rival), { better: 'lower', as: 'p50' })
    return {
      config: {
        ...machine(),
        ...(await versionsOf(stage('spare'))),
        rounds: options.rounds,
        'per turn': PER_TURN,
        spares: SPARES,
        schema: '20 tables, one migration',
      },
      cases: [
        compare('spare', 'create-and-migrate'),
        compare('spare', 'no-database-step'),
        compare('clone', 'bare-clone'),
        compare('clone', 'create-and-migrate'),
        compareNumbers('first query, made from a spare vs old tenant', visits.fresh, visits.old, {
          better: 'lower',
          as: 'p50',
        }),
      ],
    }
  } finally {
    for (const stage of stages.values()) await stage.stop()
  }
}

let made = 0

async function createSome(stage: Stage, visits?: Visits): Promise<number> {
  const taken: number[] = []
  for (let one = 0; one < PER_TURN; one++) {
    const id = `bench-${++made}`
    taken.push(await stage.create(id))
    await stage.sparesAtHand()
    await visits?.first(id)
  }
  visits?.endRound()
  return median(taken)
}

async function cloneSome(bare: BareClones): Promise<number> {
  const taken: number[] = []
  for (let one = 0; one < PER_TURN; one++) taken.push(await bare.one())
  return median(taken)
}

interface Visits {
  /** First queries of fresh tenants and of old ones without a connection, a figure a round. */
  readonly fresh: readonly number[]
  readonly old: readonly number[]
  first(id: string): Promise<void>
  endRound(): void
}

/** Beside each fresh tenant an old one that has had its first query and has no connection any more. */
function createVisits(stage: Stage): Visits {
  const [service] = [serviceNames[1]]
  const visited: string[] = []
  const fresh: number[] = []
  const old: number[] = []
  let now: { fresh: number[]; old: number[] } = { fresh: [], old: [] }

  async function read(id: string): Promise<number> {
    const sent = performance.now()
    const { status, body } = await stage.ask(service, tenantRequest('/bench/read', id))
    if (status !== 200) throw new Error(`the first query of ${id} was answered ${status} ${body}`)
    return performance.now() - sent
  }

  const cold = (id: string) =>
    until(`${id} has no connection`, async () => {
      const rows = await stage.cluster[
        service
      ]`select 1 from pg_stat_activity where datname = ${`tenant_${id}_${service}`}`
      return rows.length === 0
    })

  return {
    fresh,
    old,
    async first(id) {
      const before = visited.at(-PER_TURN)
      visited.push(id)
      if (before) await cold(before)
      await cold(id)
      const pair: ['fresh' | 'old', string][] = [['fresh', id], ...(before ? [['old', before] as ['old', string]] : [])]
      if (visited.length % 2 === 0) pair.reverse()
      for (const [, one] of pair) await stage.ask(service, tenantRequest('/bench/touch', one))
      for (const [which, one] of pair) {
        const ms = await read(one)
        if (before) now[which].push(ms)
      }
    },
    endRound() {
      // The first round has no old ones.
      if (now.old.length > 0) {
        fresh.push(median(now.fresh))
        old.push(median(now.old))
      }
      now = { fresh: [], old: [] }
    },
  }
}
