// `idle`: the cost of a tenant that is known and does nothing, after it has been looked up once; and how many driver
// instances and sockets are alive after a walk over more tenants than the budget has connections.
import { tenantHeader } from '../arm.js'
import type { ArmProcess } from '../arm-process.js'
import { type Arms, type BenchOptions, startArms } from '../arms.js'
import { HttpConnection } from '../http-connection.js'
import { request } from '../load.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { ratios, spread } from '../statistics.js'

const KNOWN = 10_000
const LOOKED_UP_BUDGET = 20
/** Five connections to the central database and its listener, which the budget does not count. */
const BESIDE_BUDGET = 6
/** A `postgres` pool of ten weighs about 100 KiB: enough of them to weigh, not to fill the machine. */
const POOLS = 500

export async function benchIdle(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const arms = await startArms([], options)
  const execArgv = ['--expose-gc']
  const known = options.quick ? 1_000 : KNOWN
  try {
    await registerIdle(arms, known)
    const ours: number[] = []
    const maps: Record<string, number[]> = { 'map-postgres': [], 'map-pg': [] }
    options.progress.begin('idle tenants', options.rounds)
    for (let round = 0; round < options.rounds; round++) {
      const arm = await arms.start(`ours ${round}`, { kind: 'ours', execArgv })
      ours.push(await weigh(arm, known, () => lookUp(arm, known)))
      await arm.stop()
      for (const [kind, weights] of Object.entries(maps)) {
        const rival = await arms.start(`${kind} ${round}`, { kind, execArgv })
        weights.push(await weigh(rival, POOLS, () => rival.ask('create', POOLS)))
        await rival.stop()
      }
      options.progress.step(`round ${round + 1} of ${options.rounds}`)
    }
    const cases = Object.entries(maps).map(([kind, weights]) =>
      compareNumbers(`heap per known idle tenant: ours vs ${kind}`, ours, weights, {
        better: 'lower',
        as: 'note',
        note: 'bytes',
      }),
    )
    cases.push(...(await alive(arms, options)))
    return { config: { ...(await arms.config()), 'known tenants': known }, cases }
  } finally {
    await arms.stop()
  }
}

/** Rows only: no database stands behind them, and none is looked for. */
export async function registerIdle({ fleet }: Arms, count: number): Promise<void> {
  const central = fleet.central()
  try {
    await central`
      insert into tenants (id, name, version, provisioned)
      select 'idle-' || n, 'Idle tenant ' || n, 1, 'ready' from generate_series(1, ${count}::int) n`
  } finally {
    await central.end()
  }
}

async function weigh(arm: ArmProcess, count: number, fill: () => Promise<unknown>): Promise<number> {
  const before = await arm.ask<number>('heap')
  await fill()
  return ((await arm.ask<number>('heap')) - before) / count
}

/** Each known tenant once, by a handler that touches its client and runs no query. */
async function lookUp(arm: ArmProcess, count: number): Promise<void> {
  await walk(arm, 1, count, at => request('/touch', tenantHeader, `idle-${at}`))
}

/** Sequential over one connection, so that what is weighed is not the load. The first request is sent once more before. */
async function walk(arm: ArmProcess, first: number, last: number, next: (at: number) => string): Promise<void> {
  const connection = new HttpConnection(arm.port)
  for (let at = first; at <= last; at++) {
    const status = await new Promise<number>(resolve => connection.send(next(at), reply => resolve(reply.status)))
    if (status !== 200) throw new Error(`${arm.name} answered ${status}`)
  }
  connection.cut()
}

async function alive(arms: Arms, { tenants }: BenchOptions): Promise<Case[]> {
  const budget = Math.min(LOOKED_UP_BUDGET, Math.ceil(tenants / 2))
  const arm = await arms.start('ours, walked', { kind: 'ours', budget })
  const before = await arm.ask<number>('instances')
  await walk(arm, 0, tenants - 1, at => request('/read/1', tenantHeader, arms.fleet.tenants[at] as string))
  const instances = (await arm.ask<number>('instances')) - before
  const sockets = await arm.ask<number>('sockets')
  const { open } = await arm.ask<{ open: number }>('connections')
  const compare = (what: string, count: number, allowed: number, against: string): Case => ({
    name: `${what} after ${tenants} tenants: ours vs ${against}`,
    rps: null,
    p50: null,
    p99: null,
    failed: 0,
    ratio: spread(ratios([count], [allowed])),
    better: 'lower',
    note: `${count} / ${allowed}`,
  })
  return [
    compare('driver instances alive beyond those of the start', instances, budget, 'budget'),
    compare('sockets to PostgreSQL', sockets, budget + BESIDE_BUDGET, 'budget and central allowance'),
    compare('tenant connections by connectionInfo()', open, budget, 'budget'),
  ]
}
