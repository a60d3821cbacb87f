// `burst`: 300 tenants asked for at once, until all are ready in all three services, against bare clones of the same
// template at the best of three parallelisms, before and after. Then more of them at half that rate, and what the tenants
// that are there already feel of it: their requests come at a fixed pace the whole time.
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchOptions } from '../arms.js'
import { HttpConnection } from '../http-connection.js'
import { type BareClones, bareClones } from '../provisioning/bare.js'
import { type Paced, startPaced } from '../provisioning/paced.js'
import { createRequest, needSpace, type Stage, startStage, tenantRequest, until } from '../provisioning/stage.js'
import { versionsOf } from '../provisioning/versions.js'
import { type Case, type Config, compareNumbers, machine } from '../report.js'

const EXISTING = 10
const CLIENTS = 16
const PER_SECOND = 100
const SESSIONS = [1, 2, 4]

export async function benchBurst(options: BenchOptions): Promise<{ config: Config; cases: Case[] }> {
  const { tenants, progress } = options
  const some = Math.ceil(tenants / 6)
  needSpace(3 * (tenants * 2 + some * (SESSIONS.length + 1)))
  progress.say('starting the stack')
  const stage = await startStage({ name: 'burst', spares: 3 })
  try {
    const existing = Array.from({ length: EXISTING }, (_, at) => `existing-${at + 1}`)
    for (const id of existing) await stage.create(id)
    await stage.sparesAtHand()
    const bare = await bareClones(stage)
    progress.begin('burst', 6)

    const [sessions, before] = await bestRate(bare, some)
    progress.step(`bare: ${before.toFixed(1)} a second by ${sessions} sessions`)
    const quiet = await feel(stage, existing, () => sleep(options.seconds * 1000))
    progress.step(`quiet: p99 ${quiet.p99.toFixed(1)} ms`)
    const burst = await within(stage, existing, tenants, 'burst', Number.POSITIVE_INFINITY)
    progress.step(`burst: ${burst.rate.toFixed(1)} a second`)
    const after = await bare.rate(some, sessions)
    progress.step(`bare: ${after.toFixed(1)} a second`)
    const again = await feel(stage, existing, () => sleep(options.seconds * 1000))
    progress.step(`quiet: p99 ${again.p99.toFixed(1)} ms`)
    const half = await within(stage, existing, Math.ceil(tenants / 3), 'half', burst.rate / 2)
    progress.step(`throttled: p99 ${half.felt.p99.toFixed(1)} ms`)

    const felt = (name: string, { felt }: Run) =>
      compareNumbers(name, [felt.p99, felt.p99], [quiet.p99, again.p99], {
        better: 'lower',
        as: 'note',
        note: 'ms, p99',
        failed: felt.failed,
      })
    return {
      config: {
        ...machine(),
        ...(await versionsOf(stage)),
        tenants,
        clients: CLIENTS,
        spares: 3,
        schema: '20 tables, one migration',
        'bare clones': `${SESSIONS.join(', ')} sessions an instance, best: ${sessions}`,
        existing: `${EXISTING}, ${PER_SECOND} requests a second, each of one query`,
        refused: burst.refused + half.refused,
        repeats: burst.repeated + half.repeated,
      },
      cases: [
        compareNumbers('burst vs bare-clone', [burst.rate, burst.rate], [before, after], {
          better: 'higher',
          as: 'rps',
          failed: burst.refused,
        }),
        felt('existing tenants, throttled to half vs quiet', half),
        felt('existing tenants, full burst vs quiet', burst),
      ],
    }
  } finally {
    progress.say('removing the databases')
    await stage.stop()
  }
}

async function bestRate(bare: BareClones, count: number): Promise<[sessions: number, rate: number]> {
  const rates: [number, number][] = []
  for (const sessions of SESSIONS) rates.push([sessions, await bare.rate(count, sessions)])
  return rates.sort(([, a], [, b]) => b - a)[0] as [number, number]
}

interface Run {
  /** Tenants a second, from the first request to the last one ready everywhere. */
  readonly rate: number
  readonly refused: number
  readonly repeated: number
  readonly felt: Paced
}

/** So many tenants, at most so many a second. */
async function within(
  stage: Stage,
  existing: readonly string[],
  count: number,
  name: string,
  perSecond: number,
): Promise<Run> {
  let refused = 0
  let rate = 0
  const felt = await feel(stage, existing, async () => {
    const began = performance.now()
    let next = 0
    const port = Number(new URL(stage.stack.services.identity.url).port)
    const client = async () => {
      const connection = new HttpConnection(port)
      while (next < count) {
        const number = ++next
        await sleep(began + (number * 1000) / perSecond - performance.now())
        const text = createRequest(stage.stack, `${name}-${number}`, 0)
        const status = await new Promise<number>(resolve => connection.send(text, reply => resolve(reply.status)))
        if (status !== 202) refused++
      }
      connection.cut()
    }
    await Promise.all(Array.from({ length: CLIENTS }, client))
    await until('all are ready', async () => (await progressOf(stage, name)).ready === count * 3, 600_000)
    rate = (count * 1000) / (performance.now() - began)
  })
  const { repeated } = await progressOf(stage, name)
  return { rate, refused, repeated, felt }
}

/** By the ledger: services that are ready, and attempts beyond the first. */
async function progressOf(stage: Stage, name: string): Promise<{ ready: number; repeated: number }> {
  const [row] = await stage.central.identity<{ ready: number; repeated: number }[]>`
    select count(*) filter (where status = 'ready')::int as ready,
      coalesce(sum(greatest(attempts - 1, 0)), 0)::int as repeated
    from tenant_services where tenant_id like ${`${name}-%`}`
  return row as { ready: number; repeated: number }
}

/** The latency of the existing tenants in the meantime. */
async function feel(stage: Stage, existing: readonly string[], meantime: () => Promise<unknown>): Promise<Paced> {
  let at = 0
  const port = Number(new URL(stage.stack.services.employee.url).port)
  const load = startPaced(port, PER_SECOND, () =>
    tenantRequest('/bench/read', existing[at++ % existing.length] as string),
  )
  await meantime()
  return load.stop()
}
