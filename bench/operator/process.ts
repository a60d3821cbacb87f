// The operator's side of `fleet`, in a process of its own: what the command does between its start and its end, and bare
// loops over the same databases. Everything is opened and closed within what is measured.
import Fastify from 'fastify'
import pg from 'pg'
import { inspect } from '../../operations/doctor/doctor.js'
import { withServices } from '../../operations/open-services.js'
import { readTargets, type Targets } from '../../operations/targets.js'
import { subscribe } from '../../plugins/distributed-tenant/index.js'
import { migrateFleet } from '../../plugins/distributed-tenant/migration-runs/migrate.js'
import { type Arm, type ArmConfig, databaseOf } from '../arm.js'

/** `config`: the file of --config. `migrations`: the tenant migrations of the release. */
export interface Command {
  readonly config: string
  readonly migrations: string
}

export interface Done {
  readonly ms: number
  /** Statements, wherever. */
  readonly queries: number
  /** Connections to tenants' databases. */
  readonly visits: number
  /** Of the process, MiB, after a collection. */
  readonly rss: number
  /** Tenants migrated; problems found. */
  readonly count: number
}

export interface Loop {
  readonly parallel: number
  readonly statement: string
}

const MIB = 2 ** 20

export function make({ login, service, tenants }: ArmConfig): Arm {
  async function measured(work: () => Promise<number>): Promise<Done> {
    let queries = 0
    let visits = 0
    const silence = subscribe(
      step => {
        if (step.area === 'query' && step.event.type === 'sent') queries++
        if (step.area === 'connection' && step.event.type === 'opened' && step.event.key.startsWith('tenant_')) visits++
      },
      undefined,
      ['connection', 'query'],
    )
    const began = performance.now()
    const count = await work()
    const ms = performance.now() - began
    silence()
    ;(globalThis as unknown as { gc(): void }).gc()
    return { ms, queries, visits, rss: process.memoryUsage().rss / MIB, count }
  }

  function targetsOf({ config, migrations }: Command): Targets {
    const targets = readTargets({ config, service })
    return {
      ...targets,
      services: targets.services.map(one => ({ ...one, migrations: { ...one.migrations, tenant: migrations } })),
    }
  }

  const migrate = (command: Command & { concurrency?: number }) =>
    measured(() =>
      withServices(targetsOf(command), async ([one]) => {
        if (!one) return 0
        if (await one.tenancy.isUpToDate()) return 0
        await one.tenancy.prepare()
        const { concurrency } = command
        const { run, failed } = await migrateFleet(one.tenancy.fleet, concurrency ? { concurrency } : {})
        if (failed.length > 0) throw new Error(`${failed.length} failed: ${failed[0]?.error}`)
        return run?.counts.done ?? 0
      }),
    )

  const doctor = (command: Command) =>
    measured(() => {
      const targets = targetsOf(command)
      return withServices(targets, async ([one]) => {
        const problems = one ? await inspect(one, targets, { deep: false, lostKey: null, identity: null }) : []
        if (problems.length > 0) throw new Error(`not clean: ${JSON.stringify(problems.slice(0, 3))}`)
        return problems.length
      })
    })

  async function loop({ parallel, statement }: Loop): Promise<number> {
    const line = tenants[Symbol.iterator]()
    const began = performance.now()
    await Promise.all(
      Array.from({ length: parallel }, async () => {
        for (const tenant of line) {
          const client = new pg.Client({ ...login, database: databaseOf(tenant, service) })
          await client.connect()
          await client.query(`begin; ${statement}; commit`)
          await client.end()
        }
      }),
    )
    return performance.now() - began
  }

  return {
    app: Fastify(),
    answers: {
      migrate: argument => migrate(argument as Command & { concurrency?: number }),
      doctor: argument => doctor(argument as Command),
      loop: argument => loop(argument as Loop),
    },
  }
}
