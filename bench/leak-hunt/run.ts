// The hunt from beginning to end: servers, tenants with their secrets, the service in its process, clients, faults, and
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
import { createFaults } from './fault-injection.js'
import { createFindings } from './findings.js'
import { hunt } from './hunter.js'
import { judgeMemory, type Sample } from './memory.js'
import { type HuntVerdict, violationsIn } from './verdict.js'

export interface HuntOptions {
  readonly requests: number
  readonly tenants: number
  readonly progress: Progress
  readonly budget?: number
  /** Times that PostgreSQL is killed and started again, evenly over the requests. */
  readonly restarts?: number
  /** The ORM of its handlers; default: none. */
  readonly orm?: string | undefined
}

const CLIENTS = 48
const migrations = fileURLToPath(new URL('../../../bench/leak-hunt/migrations', import.meta.url))

export async function huntLeaks(options: HuntOptions): Promise<HuntVerdict> {
  const { tenants, progress, budget = 50, orm } = options
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
    arm = await startArm('hunted', orm ? `hunted by ${orm}` : 'hunted', config)
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
async function inEach(fleet: Fleet, withDirectConnection: (sql: Sql, tenant: string) => Promise<void>): Promise<void> {
  const waiting = [...fleet.tenants]
  const visitor = async (): Promise<void> => {
    for (let tenant = waiting.pop(); tenant !== undefined; tenant = waiting.pop()) {
      const sql = fleet.inside(tenant)
      await withDirectConnection(sql, tenant).finally(() => sql.end())
    }
  }
  await Promise.all(Array.from({ length: 4 }, visitor))
}

async function run(
  fleet: Fleet,
  arm: ArmProcess,
  redisUrl: string,
  secrets: ReadonlyMap<string, string>,
  { requests, progress, budget, restarts = 0 }: HuntOptions & { budget: number },
): Promise<HuntVerdict> {
  const findings = createFindings({ restarts: restarts > 0 })
  const restartEvery = Math.ceil(requests / (restarts + 1))
  const faults = createFaults(fleet, redisUrl, random(99))
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
      faults.requestDone()
      done++
      if (done % restartEvery === 0 && done / restartEvery <= restarts) faults.restart()
      if (done % Math.ceil(requests / 100) === 0) progress.step(`${done} requests`)
    },
  }
  const served: typeof findings.replied = (...reply) => {
    faults.served()
    findings.replied(...reply)
  }
  const target = { port: arm.port, tenants: fleet.tenants, secrets }
  await Promise.all(
    Array.from({ length: CLIENTS }, (_, at) =>
      hunt({ target, findings: { ...counted, replied: served }, random: random(at + 1), next }),
    ),
  )
  const seconds = (performance.now() - began) / 1000
  clearInterval(sampling)
  await faults.stop()
  const left = arm.death ? { inUse: 0, waiting: 0 } : await settled(arm)
  await backends.stop()
  const { confirmed, ...counts } = findings.counts()
  const rows = await lookInside(fleet, confirmed)
  const found: Omit<HuntVerdict, 'violations'> = {
    ...counts,
    ...rows,
    requests: done,
    seconds,
    death: arm.death,
    leasesOut: left.inUse,
    waiting: left.waiting,
    backendsAtPeak: Math.max(0, ...backends.peaks.values()),
    budget,
    backendsKilled: faults.killed,
    redisFlushed: faults.flushed,
    restarts: faults.restarts,
    slowestReturn: faults.slowestReturn,
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

type Inside = Pick<HuntVerdict, 'foreignRows' | 'rowsThatWereRolledBack' | 'lostCommits' | 'halfTransactions'>

/** Independent of the code under test: rows that are in the databases and must not be, and rows that must be and are not. */
async function lookInside(fleet: Fleet, confirmed: ReadonlySet<string>): Promise<Inside> {
  const missing = new Set(confirmed)
  const inside = { foreignRows: 0, rowsThatWereRolledBack: 0, halfTransactions: 0 }
  await inEach(fleet, async (sql, tenant) => {
    const [row] = await sql<{ foreign: number; back: number; half: boolean; tokens: string[] }[]>`
      select count(*) filter (where tenant <> ${tenant})::int as foreign,
        count(*) filter (where kind = 'rolled back')::int as back,
        count(*) filter (where kind = 'transaction') <> (select uses from secret) as half,
        coalesce(array_agg(token), '{}') as tokens
      from hunt_writes`
    for (const token of row?.tokens ?? []) missing.delete(token)
    inside.foreignRows += row?.foreign ?? 0
    inside.rowsThatWereRolledBack += row?.back ?? 0
    inside.halfTransactions += row?.half ? 1 : 0
  })
  return { ...inside, lostCommits: missing.size }
}
