// The obstacles of an import before anything is touched, each with its cure: at the source's server, in the
// programs, at a target, in the source's data of a tenant. Reads only.
import { encode, lifecycleSubject, parseLifecycle } from '../../events/index.js'
import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { listFull } from '../../plugins/distributed-tenant/registry/full-instances.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { Instance } from './external-instance.js'
import { fullText } from './full-instance.js'
import type { TenantFacts } from './journal.js'
import { block, type Obstacle, warn } from './obstacle.js'
import type { TransferParts } from './parts.js'
import type { Programs } from './pg-programs.js'
import type { SourceDatabase, SourceServer } from './survey.js'

/** @param server what they are to dump, and its version */
export async function programsInTheWay(programs: Programs, server: string, major: number): Promise<Obstacle[]> {
  let version: number
  try {
    version = await programs.version()
  } catch (error) {
    return [block('pg_dump', (error as Error).message)]
  }
  if (version >= major) return []
  return [
    block(
      'pg_dump',
      `is version ${version}, and ${server} is PostgreSQL ${major}: install postgresql-client-${major}, or name its folder with --programs`,
    ),
  ]
}

export function serverInTheWay(
  source: Instance,
  server: SourceServer,
  databases: readonly SourceDatabase[],
): Obstacle[] {
  const chosen = new Set(databases.map(({ name }) => name))
  const found = server.others.map(name => warn(name, 'is named like a tenant’s and of no service here: left alone'))
  if (databases.length === 0)
    found.push(block(source.label, 'holds no database tenant_{id}_{service} of these services'))
  if (!server.superuser)
    found.push(
      warn(source.label, 'the login is no superuser: it must own the databases and may be refused to end sessions'),
    )
  for (const { database, count, since } of server.busy) {
    if (chosen.has(database)) {
      found.push(
        warn(database, `${count} open transactions, the oldest since ${since.toISOString()}: freezing ends them`),
      )
    }
  }
  for (const name of server.prepared) {
    if (chosen.has(name)) found.push(block(name, 'has prepared transactions: commit or roll them back first'))
  }
  for (const name of server.unbound) {
    found.push(block(name, 'this role has its own default_transaction_read_only, which beats the freeze: reset it'))
  }
  return found
}

/** The holder of a name, finished or not, and whether the instance takes any. */
export async function targetInTheWay(
  { service, central, database }: TransferParts,
  source: Instance,
  server: SourceServer,
  ids: readonly TenantId[],
): Promise<Obstacle[]> {
  const names = ids.map(id => tenantDatabaseName(id, service))
  const full = (await listFull(central)).find(({ name }) => name === DEFAULT_INSTANCE)
  const atAll = full ? [block(service, fullText(full))] : []
  const found = await central<{ name: string; kind: string }[]>`
    select datname as name, 'database' as kind from pg_database where datname = any(${names}::text[])
    union all select rolname, 'role' from pg_roles where rolname = any(${names}::text[])
    union all select id, 'registry row' from tenants where id = any(${[...ids]}::text[])`
  const [target] = await central<{ version: number; startedAt: string }[]>`
    select current_setting('server_version_num')::int as version,
      extract(epoch from pg_postmaster_start_time())::text as "startedAt"`
  // To the microsecond: no two servers are started at once.
  if (target?.startedAt === server.startedAt) {
    return [
      block(
        service,
        `${source.label} is ${service}’s own instance (${database.host}:${database.port}): a tenant is not copied onto itself, so give ${service} an instance of its own, or name the old server`,
      ),
    ]
  }
  const major = Math.floor((target?.version ?? 0) / 10_000)
  const older = major < server.major
  return [
    ...atAll,
    ...found.map(({ name, kind }) =>
      block(name, `exists at ${service} (${database.host}:${database.port}) already, as ${kind}`),
    ),
    ...(older ? [warn(service, `is PostgreSQL ${major}, older than the source: what is new there is refused`)] : []),
  ]
}

// By the very check with which identity would refuse it after everything was copied.
export function factsInTheWay(id: TenantId, { name, domain, settings, active }: TenantFacts): Obstacle[] {
  const event = { id, version: 1, name, domain, is_active: active, settings }
  const parsed = parseLifecycle(lifecycleSubject('created'), encode(event))
  return parsed.ok
    ? []
    : [
        block(
          id,
          `the source’s data of it cannot be taken over (${parsed.reason}): correct it there, or in --tenants-query`,
        ),
      ]
}
