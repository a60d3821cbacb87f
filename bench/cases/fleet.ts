// `fleet`: creating, listing and reconciling with 1,000 tenants against the same with 10, and what the operator's command
// does with them. Identity alone, which does all of it and holds one database for each tenant; the other two services are
// stopped. The tenants are made by the product.

import type { BenchOptions } from '../arms.js'
import { HttpConnection } from '../http-connection.js'
import { createRequest, getRequest, needSpace, type Stage, startStage, until } from '../provisioning/stage.js'
import { versionsOf } from '../provisioning/versions.js'
import { type Case, type Config, compareNumbers, machine } from '../report.js'
import { paired, type Results, rounds } from '../rounds.js'
import { median } from '../statistics.js'
import { benchOperator } from './operator.js'

const FEW = 10
const CLIENTS = 16
const CREATES = 5
const LISTS = 20
/** A machine that does something else meanwhile takes its time. */
const LONGEST_FILL_MS = 1_800_000

/** A pass of the reconciler, as the bench service reports it. */
interface Pass {
  readonly ms: number
  readonly everything: boolean
  /** Connections to tenants' databases that were opened since the process began. */
  readonly opened: number
}

export async function benchFleet(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const { tenants: many, progress } = options
  needSpace(many * 1.1)
  const stages: Stage[] = []
  const passes = new Map<Stage, Pass[]>()
  try {
    for (const count of [many, FEW]) {
      progress.say(`starting the one with ${count} tenants`)
      const stage = await startStage({ name: `${count}`, spares: 3, env: { REQUIRED_SERVICES: 'identity' } })
      stages.push(stage)
      passes.set(stage, [])
      for (const name of ['employee', 'core'] as const) await stage.stack.services[name].stop()
      await fill(stage, count, options)
      await stage.sparesAtHand(['identity'])
    }
    const [large, small] = stages as [Stage, Stage]
    const both = <T>(turn: (stage: Stage) => Promise<T>) => ({ large: () => turn(large), small: () => turn(small) })
    const run = (what: string, turn: (stage: Stage) => Promise<number>) =>
      rounds({ what, rounds: options.rounds, turns: both(turn), progress })

    const created = await run('creating', createSome)
    const listed = await run('listing', listSome)
    const reconciled = await run('reconciling', async stage => {
      const pass = await passOf(stage)
      passes.get(stage)?.push(pass)
      return pass.ms
    })
    const compare = (name: string, taken: Results<number>) =>
      compareNumbers(`${name}, ${many} tenants vs ${FEW}`, ...paired(taken, 'large', 'small'), {
        better: 'lower',
        as: 'p50',
      })
    const operator = await benchOperator({ large, small, many, few: FEW, options })
    const opened = [...passes.values()].flat().reduce((sum, pass) => sum + pass.opened, 0)
    return {
      config: {
        ...machine(),
        ...(await versionsOf(large)),
        tenants: `${many} and ${FEW}, identity alone`,
        rounds: options.rounds,
        spares: 3,
        schema: '20 tables, one migration',
        visits: `${opened} connections to tenant databases during ${options.rounds * 2 + 2} passes`,
        ...operator.config,
      },
      cases: [
        compare('create', created),
        compare('list the first 10', listed),
        compare('reconcile a clean fleet', reconciled),
        ...operator.cases,
      ],
    }
  } finally {
    progress.say('removing the databases')
    await Promise.all(stages.map(stage => stage.stop()))
  }
}

async function fill(stage: Stage, count: number, { progress }: BenchOptions): Promise<void> {
  const port = Number(new URL(stage.stack.services.identity.url).port)
  let next = 0
  const client = async () => {
    const connection = new HttpConnection(port)
    while (next < count) {
      const text = createRequest(stage.stack, `t-${++next}`, 0)
      const status = await new Promise<number>(resolve => connection.send(text, reply => resolve(reply.status)))
      if (status !== 202) throw new Error(`POST was answered ${status}`)
    }
    connection.cut()
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  progress.begin(`making ${count} tenants`, count)
  let shown = 0
  await until(
    'all are ready',
    async () => {
      const [row] = await stage.central.identity<{ ready: number }[]>`
        select count(*)::int as ready from tenant_services where status = 'ready' and tenant_id like 't-%'`
      for (; shown < (row?.ready ?? 0); shown++) progress.step(`${shown + 1} ready`)
      return row?.ready === count
    },
    LONGEST_FILL_MS,
  )
}

let made = 0

async function createSome(stage: Stage): Promise<number> {
  const taken: number[] = []
  for (let one = 0; one < CREATES; one++) {
    taken.push(await stage.create(`extra-${++made}`))
    await stage.sparesAtHand(['identity'])
  }
  return median(taken)
}

async function listSome(stage: Stage): Promise<number> {
  const text = getRequest('/api/tenants?limit=10', { authorization: `Bearer ${stage.stack.info.adminToken}` })
  const taken: number[] = []
  for (let one = 0; one < LISTS; one++) {
    const sent = performance.now()
    const { status, body } = await stage.ask('identity', text)
    if (status !== 200) throw new Error(`the list was answered ${status} ${body}`)
    taken.push(performance.now() - sent)
  }
  return median(taken)
}

/** The first pass after a start compares everything. */
async function passOf(stage: Stage): Promise<Pass> {
  const { identity } = stage.stack.services
  await identity.stop()
  await identity.start()
  let pass: Pass | undefined
  await until('the reconciler has passed', async () => {
    const { status, body } = await stage.ask('identity', getRequest('/bench/passes', {}))
    pass = status === 200 ? (JSON.parse(body) as Pass[]).find(({ everything }) => everything) : undefined
    return pass !== undefined
  })
  return pass as Pass
}
