// The hunt from beginning to end: servers, tenants with their secrets, the service in its process, clients, mischief, and
// the verdict. Invariant: everything it started is gone when it settles.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Sql } from 'postgres'
import { startRedis } from '../../stack/servers/redis.js'
import { type ArmProcess, startArm } from '../arm-process.js'
import { watchBackends } from '../backends.js'
import { random } from '../distribution.js'
import { type Fleet, startFleet } from '../fleet.js'
import type { Progress } from '../progress.js'
import { createFindings } from './findings.js'
import { hunt } from './hunter.js'
import { judgeMemory, type Sample } from './memory.js'
import { makeMischief } from './mischief.js'
import { type HuntVerdict, violationsIn } from './verdict.js'

export interface HuntOptions {
  readonly requests: number
  readonly tenants: number
  readonly progress: Progress
  readonly budget?: number
}

const CLIENTS = 48
const migrations = fileURLToPath(new URL('../../../bench/leak-hunt/migrations', import.meta.url))

export async function huntLeaks(options: HuntOptions): Promise<HuntVerdict> {
  const { tenants, progress, budget = 50 } = options
  const plugin = { migrations: { tenant: migrations } }
  const fleet = await startFleet({ tenants, durable: false, progress, options: plugin })
  const redis = await startRedis({ dir: fleet.dir }).catch(async error => {
    await fleet.stop()
    throw error
  })
  let arm: ArmProcess | undefined
  try {
    const secrets = await plantSecrets(fleet)
    const config = fleet.configFor(fleet.ours, tenants, budget, { ...plugin, redis: redis.url })
    arm = await startArm('hunted', 'hunted', config)
    return await run(fleet, arm, redis.url, secrets, { ...options, budget })
  } finally {
    await arm?.stop()
    await redis.stop()
    await fleet.stop()
  }
}

async function plantSecrets(fleet: Fleet): Promise<Map<string, string>> {
  const secrets = new Map(fleet.tenants.map(tenant => [tenant, randomBytes(12).toString('hex')]))
  await inEach(fleet, async (sql, tenant) => {
    await sql`insert into secret (tenant, value) values (${tenant}, ${secrets.get(tenant) as string})`
  })
  return secrets
}

/** As the superuser, four databases at a time. */
async function inEach(fleet: Fleet, visit: (sql: Sql, tenant: string) => Promise<void>): Promise<void> {
  const waiting = [...fleet.tenants]
  const visitor = async (): Promise<void> => {
    for (let tenant = waiting.pop(); tenant !== undefined; tenant = waiting.pop()) {
      const sql = fleet.inside(tenant)
      await visit(sql, tenant).finally(() => sql.end())
    }
  }
  await Promise.all(Array.from({ length: 4 }, visitor))
}

async function run(
  fleet: Fleet,
  arm: ArmProcess,
  redisUrl: string,
  secrets: ReadonlyMap<string, string>,
  { requests, progress, budget }: HuntOptions & { budget: number },
): Promise<HuntVerdict> {
  const findings = createFindings()
  const mischief = makeMischief(fleet, redisUrl, random(99))
  const backends = watchBackends(fleet)
  const samples: Sample[] = []
  let done = 0
  let promised = 0
  const began = performance.now()

  const sampling = setInterval(() => {
    void arm.usage().then(
      ({ rss }) => samples.push({ requests: done, rss }),
      () => {},
    )
  }, 500)
  progress.begin('hunting leaks', 100)
  const next = (): number | null => (promised < requests && !arm.death ? promised++ : null)
  const counted = {
    ...findings,
    sent(kind: string) {
      findings.sent(kind)
      mischief.requestDone()
      done++
      if (done % Math.ceil(requests / 100) === 0) progress.step(`${done} requests`)
    },
  }
  const prey = { port: arm.port, tenants: fleet.tenants, secrets }
  await Promise.all(
    Array.from({ length: CLIENTS }, (_, at) => hunt({ prey, findings: counted, random: random(at + 1), next })),
  )
  const seconds = (performance.now() - began) / 1000
  clearInterval(sampling)
  await mischief.stop()
  const left = arm.death ? { inUse: 0, waiting: 0 } : await settled(arm)
  await backends.stop()
  const rows = await lookInside(fleet)
  const found: Omit<HuntVerdict, 'violations'> = {
    ...findings.counts(),
    ...rows,
    requests: done,
    seconds,
    death: arm.death,
    leasesOut: left.inUse,
    waiting: left.waiting,
    backendsAtPeak: Math.max(0, ...backends.peaks.values()),
    budget,
    backendsKilled: mischief.killed,
    redisFlushed: mischief.flushed,
    memory: judgeMemory(samples),
  }
  return { ...found, violations: violationsIn(found) }
}

/** A lease may take a second to come back; what is out after that is lost. */
async function settled(arm: ArmProcess): Promise<{ inUse: number; waiting: number }> {
  const end = performance.now() + 1_500
  for (;;) {
    const left = await arm.ask<{ inUse: number; waiting: number }>('connections')
    if ((left.inUse === 0 && left.waiting === 0) || performance.now() > end) return left
    await sleep(50)
  }
}

/** Past all of our code: rows of another tenant, and rows of transactions that were rolled back. */
async function lookInside(fleet: Fleet): Promise<{ foreignRows: number; rowsThatWereRolledBack: number }> {
  let foreignRows = 0
  let rowsThatWereRolledBack = 0
  await inEach(fleet, async (sql, tenant) => {
    const [row] = await sql<{ foreign: number; back: number }[]>`
      select count(*) filter (where tenant <> ${tenant})::int as foreign,
        count(*) filter (where kind = 'rolled back')::int as back from hunt_writes`
    foreignRows += row?.foreign ?? 0
    rowsThatWereRolledBack += row?.back ?? 0
  })
  return { foreignRows, rowsThatWereRolledBack }
}
