// The command `doctor`: every problem of every service that can be found from the central databases, the stream and
// Redis; with --deep from the tenants' databases too. It changes nothing without --fix, and then only what is safe.
import { Command } from 'commander'
import type { Problem } from '../../operations/doctor/doctor.js'
import { fromEach, type OpenService, withServices } from '../../operations/open-services.js'
import { Drift, UsageError } from '../../operations/outcome.js'
import type { Targets } from '../../operations/targets.js'
import { contextOf } from '../context.js'

interface Options {
  readonly deep?: boolean
  readonly fix?: boolean
  readonly lostKey?: string
  readonly userList?: boolean
}

const about = `
Compares each registry with identity's, and checks databases, marks, owners, rights, roles, schema versions, spares, outbox, dead events, the
stream, consumers and cached lookups. Each problem has its cure.

--fix repairs what is safe: a tenant's rights, role and password, and what a finished restore or a killed move has left.

Notes are no problems: that an instance is marked full, for example, or that a move runs at this moment. Exit code 0: no problems. 3: there are problems.`

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('find problems')
    .option(
      '--deep',
      'also connect to every tenant database: certificate, schema version, and what cannot be backed up',
    )
    .option('--fix', 'repair what is safe')
    .option('--lost-key <key>', 'with --fix: give the current key to the tenants’ roles that were set by this lost key')
    .option('--user-list', 'print only PgBouncer’s user list for the tenants’ roles (it has verifiers: keep it secret)')
    .addHelpText('after', about)
    .action(async (options: Options, command: Command) => {
      const { targets, output } = await contextOf(command)
      if (options.fix) requireSecret(targets, '--fix')
      if (options.lostKey && !options.fix) throw new UsageError('--lost-key changes roles: give --fix with it.')
      await withServices(targets, async services => {
        if (options.userList) return printUserList(services, targets)
        const lostKey = options.lostKey ?? null
        if (lostKey !== null) await requireLost(services, lostKey)
        const { inspect } = await import('../../operations/doctor/doctor.js')
        const identity = services.find(({ name }) => name === 'identity') ?? null
        const found = await fromEach(services, service =>
          inspect(service, targets, { deep: options.deep ?? false, lostKey, identity }),
        )
        const problems = found.flatMap(([service, list]) => list.map(one => ({ service, ...one })))
        const left: (Problem & { service: string; repaired?: boolean })[] = []
        for (const problem of problems) {
          const repaired = options.fix === true && problem.fix !== null && (await repair(problem.fix))
          left.push({ ...problem, repaired })
        }
        const several = services.some(({ tenancy }) => tenancy.settings.instances.length > 1)
        const notes = left.filter(one => one.note)
        const faults = left.filter(one => !one.note)
        const table = (what: string, those: typeof left, empty: string): void =>
          output.table(
            ['service', ...(several ? ['instance'] : []), what, 'about', 'cure'],
            those.map(({ service, instance, what, about: whom, cure, repaired }) => [
              service,
              ...(several ? [instance] : []),
              what,
              whom,
              repaired ? 'repaired' : cure,
            ]),
            empty,
          )
        table('what', faults, 'All is well.')
        table('note', notes, '')
        const document = ({ fix, note, ...one }: (typeof left)[number]) => ({ ...one, fixable: fix !== null })
        output.document({
          problems: faults.map(document),
          ...(notes.length > 0 && { notes: notes.map(document) }),
        })
        const open = faults.filter(({ repaired }) => !repaired)
        if (open.length > 0) throw new Drift(`${open.length} problems.`)
      })
    })
}

/** @throws UsageError when a process with this configuration still has the key, or no tenant's role was set by it */
async function requireLost(services: readonly OpenService[], key: string): Promise<void> {
  let tenants = 0
  for (const { name, tenancy } of services) {
    if (tenancy.credentials.keys.includes(key))
      throw new UsageError(`TENANT_ROLE_SECRET of ${name} has the key ${key}: it is not lost.`)
    const rows = await tenancy.fleet.central`select from tenants where role_key = ${key}`
    tenants += rows.length
  }
  if (tenants === 0)
    throw new UsageError(`No tenant’s role was set by the key ${key}: \`doctor\` names the unknown keys.`)
}

async function repair(fix: () => Promise<void>): Promise<boolean> {
  await fix()
  return true
}

function requireSecret({ services, from }: Targets, what: string): void {
  const without = services.filter(({ hasRoleKeys }) => !hasRoleKeys).map(({ name }) => name)
  if (without.length === 0) return
  throw new UsageError(
    `${what} needs TENANT_ROLE_SECRET, or <SERVICE>_TENANT_ROLE_SECRET for each (tenantRoleSecret in --config), which ${from} does not give for ${without.join(', ')}: roles get their passwords from it.`,
  )
}

async function printUserList(services: readonly OpenService[], targets: Targets): Promise<void> {
  requireSecret(targets, '--user-list')
  for (const { tenancy } of services) {
    const { tenants } = await tenancy.inspectFleet()
    for (const { id, provisioned, lifecycle } of tenants) {
      if (provisioned !== 'ready' || lifecycle === 'deleted') continue
      process.stdout.write(`${tenancy.credentials.userListLine(id)}\n`)
    }
  }
}
