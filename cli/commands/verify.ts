// The command `verify`: the guide's last step, for one tenant or all. Each service answers for the tenant's
// health over HTTP, as to a client, and its database is counted: the answer and the contents must agree.
import { Command } from 'commander'
import { contentsDigest, readContents } from '../../operations/copying/compare-contents.js'
import { notCopyable } from '../../operations/copying/not-copyable.js'
import { type OpenService, withServices } from '../../operations/open-services.js'
import { Drift, sentenceOf, UsageError } from '../../operations/outcome.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant, listTenants } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { contextOf } from '../context.js'
import { tenantId } from '../tenant-id.js'

interface Verdict {
  readonly tenant: TenantId
  readonly service: string
  /** The answer of the service: the status of the tenant; null where its address is not known. */
  readonly health: string | null
  readonly tables: number | null
  readonly rows: number | null
  /** Over all rows: the same here and in a copy means that they hold the same. */
  readonly contents: string | null
  readonly problem: string | null
}

const PAGE = 500
const AT_ONCE = 4
const DEADLINE_MS = 10_000

export function verifyCommand(): Command {
  return new Command('verify')
    .description('ask every service for a tenant as a client would, and count what its databases hold')
    .argument('[tenant]', 'its id', tenantId)
    .option('--all', 'every active tenant')
    .addHelpText(
      'after',
      '\nGET /api/health with the tenant’s header on each service, and the rows and a checksum of each database.\nExit code 3: a problem was found.',
    )
    .action(async (tenant: TenantId | undefined, options: { all?: boolean }, command: Command) => {
      if ((tenant === undefined) === (options.all !== true)) throw new UsageError('Name a tenant, or pass --all.')
      const { targets, output } = await contextOf(command)
      await withServices(targets, async services => {
        const ids = tenant === undefined ? await everyone(services) : [tenant]
        const line = ids.flatMap(id => services.map(service => ({ id, service })))[Symbol.iterator]()
        const verdicts: Verdict[] = []
        const worker = async (): Promise<void> => {
          for (const { id, service } of line) verdicts.push(await verify(id, service))
        }
        await Promise.all(Array.from({ length: AT_ONCE }, worker))
        verdicts.sort((a, b) => (`${a.tenant} ${a.service}` < `${b.tenant} ${b.service}` ? -1 : 1))
        output.table(
          ['tenant', 'service', 'health', 'tables', 'rows', 'problem'],
          verdicts.map(one => [one.tenant, one.service, one.health, one.tables, one.rows, one.problem]),
          'No tenants.',
        )
        output.document({ tenants: verdicts })
        const wrong = verdicts.filter(({ problem }) => problem !== null).length
        if (wrong > 0) throw new Drift(`${wrong} of ${verdicts.length} are not as they should be: see above.`)
      })
    })
}

/** A tenant that one service alone knows is a finding, so all are asked. */
async function everyone(services: readonly OpenService[]): Promise<TenantId[]> {
  const ids = new Set<TenantId>()
  for (const { tenancy } of services) {
    for (let after = ''; ; ) {
      const page = await listTenants(tenancy.transfer.central, { after, limit: PAGE, lifecycle: 'active' })
      for (const { id } of page) ids.add(id)
      const last = page.at(-1)
      if (!last || page.length < PAGE) break
      after = last.id
    }
  }
  return [...ids].sort()
}

async function verify(tenant: TenantId, service: OpenService): Promise<Verdict> {
  const { name, tenancy } = service
  const nothing = { tenant, service: name, health: null, tables: null, rows: null, contents: null }
  let health: string | null = null
  try {
    health = await askHealth(tenant, service)
    const row = await findTenant(tenancy.transfer.central, tenant)
    if (row?.provisioned !== 'ready')
      return { ...nothing, health, problem: row ? `is ${row.provisioned} in the registry` : 'is not in the registry' }
    const { contents, never } = await tenancy.transfer.withDirectConnection(
      tenantDatabaseName(tenant, tenancy.settings.service),
      async inside => {
        const { never } = await notCopyable(inside)
        return { never, contents: never.length > 0 ? null : await readContents(inside) }
      },
    )
    const problem = health === null || health === 'ready' ? null : `the service calls it ${health}`
    if (contents === null) {
      const all = never.map(({ what, cure }) => `has ${what}: ${cure}`).join('; and ')
      return { ...nothing, health, problem: `its database ${all}` }
    }
    return {
      tenant,
      service: name,
      health,
      tables: contents.tables.length,
      rows: contents.tables.reduce((sum, table) => sum + table.rows, 0),
      contents: contentsDigest(contents),
      problem,
    }
  } catch (error) {
    return { ...nothing, health, problem: sentenceOf(error) }
  }
}

/** @returns the service's status of the tenant, null when its address is not configured */
async function askHealth(tenant: TenantId, { name, target, tenancy }: OpenService): Promise<string | null> {
  if (target.url === null) return null
  const response = await fetch(new URL('/api/health', target.url), {
    headers: { [tenancy.settings.header]: tenant },
    signal: AbortSignal.timeout(DEADLINE_MS),
  }).catch(error => {
    throw new Error(`${name} at ${target.url} does not answer: check that it runs and its address.`, { cause: error })
  })
  const answer = (await response.json()) as { tenant?: { status?: string }; code?: string }
  return answer.tenant?.status ?? answer.code ?? `an answer ${response.status}`
}
