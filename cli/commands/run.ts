// The commands `run -- <command>` and `psql`: any program, once for each tenant database, with all settings in
// its environment (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, TENANT_ID, TENANT_SERVICE) and none on its command line.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Command } from 'commander'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { UsageError } from '../../operations/outcome.js'
import { addressIn } from '../../operations/pg-address.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { contextOf, wholeNumber } from '../context.js'
import type { Output } from '../output.js'
import { tenantId, tenantIds } from '../tenant-id.js'

export function runCommands(): Command[] {
  return [run(), psql()]
}

interface RunOptions {
  readonly tenant?: readonly string[]
  readonly concurrency: number
  readonly continue?: boolean
  readonly raw?: boolean
}

interface Job {
  readonly service: OpenService
  readonly id: TenantId
  readonly instance: string
}

interface Ended {
  readonly service: string
  readonly tenant: string
  readonly code: number
}

function run(): Command {
  return new Command('run')
    .description('run a command for each tenant: distributed-tenant run -- psql -c "analyze"')
    .argument('<command...>', 'after --: the program and its arguments')
    .option('--tenant <id>', 'only these tenants (repeat it, or separate by commas)', tenantIds)
    .option('--concurrency <n>', 'how many at a time', wholeNumber(1), 4)
    .option('--continue', 'continue after a failure; default: stop')
    .option('--raw', 'print the output unchanged; default: control characters as numbers')
    .addHelpText(
      'after',
      '\nIts environment has PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE of the tenant’s database, TENANT_ID and\nTENANT_SERVICE. It runs as the service’s own role. Each line of output begins with its tenant.',
    )
    .action(async (words: string[], options: RunOptions, command: Command) => {
      const { targets, output } = await contextOf(command)
      await withServices(targets, async services => {
        const jobs = await jobsOf(services, options.tenant)
        const ended = await runJobs(jobs, words, options, output)
        const failed = ended.filter(({ code }) => code !== 0)
        output.document({ ran: ended.length, of: jobs.length, failed })
        if (failed.length === 0) return output.line(`${ended.length} of ${jobs.length} done.`)
        output.table(
          ['service', 'tenant', 'exit code'],
          failed.map(one => [one.service, one.tenant, one.code]),
        )
        throw new Error(`${failed.length} of ${jobs.length} failed, ${jobs.length - ended.length} not run.`)
      })
    })
}

async function jobsOf(services: readonly OpenService[], only: readonly string[] | undefined): Promise<Job[]> {
  const jobs: Job[] = []
  for (const service of services) {
    const ids = await service.tenancy.fleet.central<{ id: TenantId; instance: string }[]>`
      select id, instance from tenants where provisioned = 'ready' and lifecycle <> 'deleted' order by id`
    const known = new Set<string>(ids.map(({ id }) => id))
    for (const id of only ?? []) {
      if (!known.has(id)) throw new UsageError(`${service.name} has no ready tenant ${id}.`)
    }
    for (const { id, instance } of ids) if (!only || only.includes(id)) jobs.push({ service, id, instance })
  }
  return jobs
}

async function runJobs(
  jobs: readonly Job[],
  words: readonly string[],
  options: RunOptions,
  output: Output,
): Promise<Ended[]> {
  const ended: Ended[] = []
  const line = jobs[Symbol.iterator]()
  let stopped = false
  const print = options.raw ? output.raw : output.line
  async function worker(): Promise<void> {
    for (const { service, id, instance } of line) {
      const environment = environmentOf(service, id, instance)
      const code = await runOne(environment, words, text => print(`${service.name} ${id}: ${text}`))
      ended.push({ service: service.name, tenant: id, code })
      if (code !== 0 && !options.continue) stopped = true
      if (stopped) return
    }
  }
  await Promise.all(Array.from({ length: options.concurrency }, worker))
  return ended
}

function environmentOf({ name, tenancy }: OpenService, id: TenantId, instance: string): NodeJS.ProcessEnv {
  const { user, password } = tenancy.settings.database
  const place = tenancy.settings.instances.find(one => one.name === instance)
  if (!place) {
    throw new UsageError(`${id} is on the instance ${instance} of ${name}, which DB_INSTANCES does not name: name it.`)
  }
  return {
    ...addressIn(place),
    PGUSER: user,
    ...(password === undefined ? {} : { PGPASSWORD: password }),
    PGDATABASE: tenantDatabaseName(id, tenancy.settings.service),
    TENANT_ID: id,
    TENANT_SERVICE: name,
  }
}

async function runOne(
  environment: NodeJS.ProcessEnv,
  words: readonly string[],
  onLine: (line: string) => void,
): Promise<number> {
  const { inherited } = await import('../../operations/child-environment.js')
  const [program = '', ...args] = words
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...inherited(), ...environment },
    })
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', onLine)
    child.once('error', error => reject(cannotStart(program, error)))
    child.once('close', code => resolve(code ?? 1))
  })
}

const cannotStart = (program: string, error: Error): Error =>
  new UsageError(`${program} cannot be run: check that it is installed and its name.`, { cause: error })

function psql(): Command {
  return new Command('psql')
    .description('open psql on a tenant’s database, as the service’s own role')
    .argument('<tenant>', 'its id', tenantId)
    .argument('[arguments...]', 'after --: arguments for psql')
    .action(async (id: TenantId, args: string[], _options: object, command: Command) => {
      const { targets } = await contextOf(command)
      if (targets.services.length !== 1) {
        throw new UsageError('A tenant has a database in each service: name one with --service.')
      }
      await withServices(targets, async services => {
        const [service] = services as [OpenService]
        const row = await findTenant(service.tenancy.fleet.central, id)
        if (!row) throw new UsageError(`${service.name} has no tenant ${id}.`)
        const { inherited } = await import('../../operations/child-environment.js')
        const env = { ...inherited(), ...environmentOf(service, id, row.instance) }
        const code = await new Promise<number>((resolve, reject) => {
          const child = spawn('psql', args, { stdio: 'inherit', env })
          // Ctrl-C is psql's: it cancels a statement there.
          const ignore = () => {}
          process.on('SIGINT', ignore)
          child.once('error', error => reject(cannotStart('psql', error)))
          child.once('close', status => {
            process.off('SIGINT', ignore)
            resolve(status ?? 1)
          })
        })
        if (code !== 0) throw new Error(`psql ended with exit code ${code}.`)
      })
    })
}
