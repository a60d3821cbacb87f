// Shared by tests of imports: a running stack, an old server, the tenancies of the services opened once in this
// process, and the command as a process of its own where a process is needed.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import type { Test } from 'tap'
import { createInstance, type Instance } from '../../operations/copying/external-instance.js'
import { createPrograms } from '../../operations/copying/pg-programs.js'
import { identityApi } from '../../operations/identity-api.js'
import { registrarOf } from '../../operations/import/identity-registrar.js'
import { type ImportOptions, type ImportOutcome, runImport } from '../../operations/import/import.js'
import { type PlanChoices, planOf } from '../../operations/import/options.js'
import type { Plan } from '../../operations/import/plan.js'
import { beginRun, type RunOptions, servicesOf } from '../../operations/import/run.js'
import type { OpenService } from '../../operations/open-services.js'
import { openTenancy } from '../../operations/open-tenancy.js'
import { readTargets } from '../../operations/targets.js'
import type { ServiceName } from '../../stack/names.js'
import { type RunningStack, startStack } from '../../stack/stack.js'
import { type OldServer, oldServer } from './import-source.js'
import { type Outcome, operatorCommands } from './operator-commands.js'

export interface ImportStand {
  readonly old: OldServer
  readonly stack: RunningStack
  readonly folder: string
  /** The old server, as its superuser. */
  readonly source: Instance
  /** The same through a proxy. */
  sourceAt(host: string, port: number): Instance
  plan(services: readonly ServiceName[], choices?: Partial<PlanChoices>, source?: Instance): Promise<Plan>
  /** Plans and records the plan; an obstacle fails the test. @returns the run */
  begin(services: readonly ServiceName[], tenants: readonly string[], source?: Instance): Promise<string>
  /** Runs it in this process. */
  carryOut(
    run: string,
    services: readonly ServiceName[],
    how?: (options: ImportOptions) => Promise<ImportOutcome[]>,
    more?: Partial<RunOptions> & { parallel?: number },
  ): Promise<ImportOutcome[]>
  /** `distributed-tenant …` in a process. */
  command(args: readonly string[], env?: Record<string, string>): Promise<Outcome>
  /** Any program of node’s, with the same environment. */
  node(args: readonly string[], env?: Record<string, string>): Promise<Outcome>
  /** A service's instance by the service's role, in its central database unless another is named. */
  target(service: ServiceName, database?: string): postgres.Sql
  exists(service: ServiceName, database: string): Promise<boolean>
}

/** @param bin of the old server's programs, see `oldServer` */
export async function importStand(t: Test, bin?: string): Promise<ImportStand> {
  const folder = mkdtempSync(join(tmpdir(), 'import-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [old, stack] = await Promise.all([oldServer(t, bin), startStack({ folder })])
  t.teardown(() => stack.stop())
  const targets = readTargets({ config: join(folder, 'stack.json') })
  const open: OpenService[] = targets.services.map(target => ({
    name: target.name,
    target,
    tenancy: openTenancy(target, targets),
  }))
  t.teardown(() => Promise.all(open.map(({ tenancy }) => tenancy.close())))
  for (const { tenancy } of open) await tenancy.prepare()
  const of = (names: readonly ServiceName[]) => open.filter(({ name }) => (names as readonly string[]).includes(name))
  const programs = createPrograms({ environment: process.env })
  const sourceAt = (host: string, port: number) =>
    createInstance({
      host,
      port,
      user: old.user,
      password: old.password,
      database: 'postgres',
      ssl: 'prefer',
      sslRootCert: undefined,
    })
  const source = sourceAt(old.host, old.port)
  const plan: ImportStand['plan'] = (names, choices = {}, from = source) =>
    planOf(of(names), from, { parallel: 2, folder, ...choices })

  const node: ImportStand['node'] = (args, env = {}) =>
    new Promise<Outcome>(resolve => {
      const { PATH = '' } = process.env
      const options = { cwd: folder, env: { PATH, SOURCE_PASSWORD: old.password, ...env } }
      execFile(process.execPath, [...args], options, (error, out, err) => {
        resolve({ code: error ? (error.code ?? (error.signal as string)) : 0, out, err })
      })
    })
  const commands = operatorCommands(t, folder)
  const target = (service: ServiceName, database?: string): postgres.Sql => {
    const { host, port, user, password, name } = stack.info.services[service].database
    const sql = postgres({ host, port, user, password, database: database ?? name, max: 1, onnotice() {} })
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }
  const sources = new Map<string, Instance>()

  return {
    old,
    stack,
    folder,
    source,
    sourceAt,
    plan,
    async begin(names, tenants, from = source) {
      const planned = await plan(names, { tenant: tenants }, from)
      t.same(
        planned.obstacles.filter(({ blocks }) => blocks),
        [],
      )
      const run = await beginRun(of(names), from, planned)
      sources.set(run, from)
      return run
    },
    carryOut(run, names, how = runImport, { parallel = 2, ...more } = {}) {
      const options = { source: sources.get(run) ?? source, programs, folder, jobs: 2, ...more }
      return how({
        id: run,
        registrar: registrarOf(identityApi(targets), run),
        parallel,
        services: servicesOf(of(names), run, options),
      })
    },
    command: (args, env) =>
      commands.run(['--config', join(folder, 'stack.json'), ...args], { SOURCE_PASSWORD: old.password, ...env }),
    node,
    target,
    async exists(service, database) {
      const sql = target(service)
      const rows = await sql`select 1 from pg_database where datname = ${database}`
      await sql.end()
      return rows.length > 0
    },
  }
}
