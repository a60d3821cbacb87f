// `orm`: one read over ten tenants through each ORM on tenants' clients, against the same ORM on one pool without tenants;
// the cost of making the client of a request; and one PrismaClient for all tenants against one for each.
import { tenantHeader } from '../arm.js'
import type { ArmProcess } from '../arm-process.js'
import { type Arms, type BenchOptions, type StartOptions, startArms } from '../arms.js'
import { HttpConnection } from '../http-connection.js'
import { request } from '../load.js'
import { type OrmName, orms, ownPoolOf } from '../orms/names.js'
import { type Case, type Config, compareNumbers } from '../report.js'
import { comparePairs, type Pair } from './paired.js'

/** Prisma and MikroORM are made once for a process. */
const made: readonly OrmName[] = ['drizzle', 'kysely', 'pg']
const MADE = 20_000
/** Microseconds of CPU. */
const MAKING = 15
const PER_TENANT = 'prisma, a client per tenant'

const pairOf = (orm: OrmName) => `${orm}: tenant client vs own pool`
const againstOf = (orm: OrmName) => `${orm}: tenant client now vs before`
const makingOf = (orm: OrmName) => `${orm}: making the client of a request vs ${MAKING} us`
const heapOf = (tenants: number) => `prisma: heap after ${tenants} tenants, one client vs one per tenant`
const firstOf = (tenants: number) => `prisma: first query of each of ${tenants} tenants, one client vs one per tenant`

export async function benchOrm(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const arms = await startArms([], options)
  try {
    const cases: Case[] = []
    for (const orm of orms) {
      const making = made.includes(orm) && makingOf(orm).includes(options.only)
      const pairs = pairsOf(orm, options)
      if (!making && pairs.length === 0) continue
      const arm = await arms.start(orm)
      const rivals = []
      for (const { rival, start } of pairs) rivals.push(await arms.start(rival, start))
      cases.push(...(await comparePairs(arms, pairs, options)))
      for (const rival of rivals) await rival.stop()
      if (making) cases.push(await timeMaking(makingOf(orm), arm, options))
      await arm.stop()
    }
    cases.push(...(await comparePrismas(arms, options)))
    return { config: await arms.config(), cases }
  } finally {
    await arms.stop()
  }
}

/** With `against`, the other checkout's arm too. */
function pairsOf(orm: OrmName, { only, against }: BenchOptions): (Pair & { readonly start: StartOptions })[] {
  const pairs = [{ name: pairOf(orm), ours: orm, rival: ownPoolOf(orm), start: {} }]
  if (against) {
    pairs.push({ name: againstOf(orm), ours: orm, rival: `${orm}, before`, start: { kind: orm, checkout: against } })
  }
  return pairs.filter(({ name }) => name.includes(only))
}

async function timeMaking(name: string, arm: ArmProcess, { rounds }: BenchOptions): Promise<Case> {
  const times: number[] = []
  for (let round = 0; round <= rounds; round++) times.push(await arm.ask<number>('make', MADE))
  const measured = times.slice(1)
  return compareNumbers(
    name,
    measured,
    measured.map(() => MAKING),
    { better: 'lower', as: 'note', note: 'us of CPU' },
  )
}

/** In a process of its own for each round: what a walk over all tenants, one request each, takes and leaves. */
async function comparePrismas(arms: Arms, options: BenchOptions): Promise<Case[]> {
  const { tenants } = options
  const names = [heapOf(tenants), firstOf(tenants)]
  if (!names.some(name => name.includes(options.only))) return []
  const kinds = ['prisma', PER_TENANT]
  const heaps = new Map<string, number[]>(kinds.map(kind => [kind, []]))
  const times = new Map<string, number[]>(kinds.map(kind => [kind, []]))
  const rounds = Math.min(options.rounds, 5)
  options.progress.begin('one PrismaClient and one per tenant', rounds * kinds.length)
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) {
      const arm = await arms.start(`${kind} ${round}`, { kind, execArgv: ['--expose-gc'] })
      const before = await arm.ask<number>('heap')
      const { cpuMicros } = await arm.usage()
      await walk(arm, arms.fleet.tenants)
      times.get(kind)?.push(((await arm.usage()).cpuMicros - cpuMicros) / tenants / 1000)
      heaps.get(kind)?.push(((await arm.ask<number>('heap')) - before) / 2 ** 20)
      await arm.stop()
      options.progress.step(`round ${round + 1} of ${rounds}, ${kind}`)
    }
  }
  const compare = (name: string, of: ReadonlyMap<string, number[]>, note: string): Case =>
    compareNumbers(name, of.get('prisma') as number[], of.get(PER_TENANT) as number[], {
      better: 'lower',
      as: 'note',
      note,
    })
  return [
    compare(names[0] as string, heaps, 'MiB more than after the start'),
    compare(names[1] as string, times, 'ms of CPU each'),
  ].filter(({ name }) => name.includes(options.only))
}

/** One at a time, so that no load is measured. */
async function walk(arm: ArmProcess, tenants: readonly string[]): Promise<void> {
  const connection = new HttpConnection(arm.port)
  for (const tenant of tenants) {
    const status = await new Promise<number>(resolve =>
      connection.send(request('/read/1', tenantHeader, tenant), reply => resolve(reply.status)),
    )
    if (status !== 200) throw new Error(`${arm.name} answered ${status}`)
  }
  connection.cut()
}
