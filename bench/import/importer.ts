// The command's side of `import`, in a process of its own: what `import-hybrid` does between its start and its end, its plan
// included, with the copies compared or not; and the rollback of it all, which is not measured.
import { tmpdir } from 'node:os'
import Fastify from 'fastify'
import { createInstance } from '../../operations/copying/external-instance.js'
import { identityApi } from '../../operations/identity-api.js'
import { registrarOf } from '../../operations/import/identity-registrar.js'
import { rollBackImport, runImport } from '../../operations/import/import.js'
import { planOf, programsOf } from '../../operations/import/options.js'
import { beginRun, servicesOf } from '../../operations/import/run.js'
import { withServices } from '../../operations/open-services.js'
import { readTargets } from '../../operations/targets.js'
import { subscribe } from '../../plugins/distributed-tenant/index.js'
import type { Arm, Login } from '../arm.js'
import { median } from '../statistics.js'

export interface Import {
  /** The file of --config. */
  readonly config: string
  readonly from: Login
  /** Ids at the source, and what each gets here: an id is used once. */
  readonly ids: Readonly<Record<string, string>>
  readonly parallel: number
  readonly compare: boolean
}

export interface Imported {
  readonly run: string
  readonly ms: number
  /** Of these the plan took. */
  readonly planMs: number
  /** From the step before, in the median of all databases, milliseconds. */
  readonly steps: Readonly<Record<string, number>>
}

export function make(): Arm {
  // Its kept sessions are closed within a second.
  const sourceOf = ({ from }: Import) =>
    createInstance({ ...from, database: 'postgres', ssl: 'disable', sslRootCert: undefined })

  async function bring(what: Import): Promise<Imported> {
    const { config, ids, parallel, compare } = what
    const began = performance.now()
    const targets = readTargets({ config })
    const source = sourceOf(what)
    return withServices(targets, async services => {
      for (const { tenancy } of services) await tenancy.prepare()
      const map = Object.entries(ids).map(([old, id]) => `${old}=${id}`)
      const plan = await planOf(services, source, { tenant: Object.keys(ids), map, parallel, folder: tmpdir() })
      const blocking = plan.obstacles.filter(({ blocks }) => blocks)
      if (blocking.length > 0) throw new Error(`in the way: ${JSON.stringify(blocking.slice(0, 3))}`)
      const run = await beginRun(services, source, plan)
      const planMs = performance.now() - began
      const watch = watchSteps()
      const outcomes = await runImport({
        id: run,
        registrar: registrarOf(identityApi(targets), run),
        parallel,
        services: servicesOf(services, run, {
          source,
          programs: await programsOf({}),
          folder: tmpdir(),
          jobs: 2,
          compare,
        }),
      })
      const failed = outcomes.filter(({ state }) => state !== 'ready')
      if (failed.length > 0 || outcomes.length !== Object.keys(ids).length)
        throw new Error(`${failed.length} of ${outcomes.length} failed: ${failed[0]?.error}`)
      return { run, ms: performance.now() - began, planMs, steps: watch.end() }
    })
  }

  async function takeBack(what: Import & { run: string }): Promise<void> {
    const targets = readTargets({ config: what.config })
    await withServices(targets, async services => {
      const options = { source: sourceOf(what), programs: await programsOf({}), folder: tmpdir(), jobs: 2 }
      const outcomes = await rollBackImport({
        id: what.run,
        registrar: registrarOf(identityApi(targets), what.run),
        parallel: 4,
        services: servicesOf(services, what.run, options).map(one => ({
          ...one,
          // Contents that were not compared have nothing to be checked against.
          transfer: { ...one.transfer, untouched: async () => true },
        })),
      })
      const failed = outcomes.find(({ state }) => state !== 'undone')
      if (failed) throw new Error(`${failed.id} was not taken back: ${failed.error}`)
    })
  }

  return {
    app: Fastify(),
    answers: {
      bring: argument => bring(argument as Import),
      'take back': argument => takeBack(argument as Import & { run: string }),
    },
  }
}

function watchSteps(): { end(): Record<string, number> } {
  const last = new Map<string, number>()
  const taken = new Map<string, number[]>()
  const silence = subscribe(
    step => {
      if (step.area !== 'transfer') return
      const key = `${step.service} ${step.event.id}`
      const now = performance.now()
      const before = last.get(key)
      last.set(key, now)
      if (before === undefined) return
      const { type } = step.event
      taken.set(type, [...(taken.get(type) ?? []), now - before])
    },
    undefined,
    ['transfer'],
  )
  return {
    end() {
      silence()
      return Object.fromEntries([...taken].map(([type, all]) => [type, Math.round(median(all))]))
    },
  }
}
