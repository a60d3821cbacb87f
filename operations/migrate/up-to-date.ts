// The check whether a migration has nothing to do: whether the central database, the template and every tenant
// are at this release already. False also when that is unknown; then the full run finds out, and refuses by name.

import { inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import type { InstanceAccess } from '../../plugins/distributed-tenant/databases/instance-access.js'
import { parseCentralMark } from '../../plugins/distributed-tenant/databases/marks.js'
import type { Template } from '../../plugins/distributed-tenant/databases/template.js'
import type { QueryClient, ServiceName } from '../../plugins/distributed-tenant/types.js'
import type { MigrationSet } from '../../postgres/migrations/migration-files.js'

export interface UpToDateParts {
  readonly service: ServiceName
  readonly central: QueryClient
  readonly centralSets: readonly MigrationSet[]
  readonly template: Template
}

interface Facts {
  readonly mark: string | null
  readonly template: string | null
  readonly applied: readonly string[]
  readonly behind: boolean
}

/** A database that was never migrated has none of our tables. */
const NO_SUCH_TABLE = '42P01'

export async function isUpToDate({ service, central, centralSets, template }: UpToDateParts): Promise<boolean> {
  const sets = centralSets.filter(({ version }) => version > 0)
  const wanted = sets.flatMap(({ name, migrations }) =>
    migrations.map(({ version, checksum, formerChecksums }) =>
      [checksum, ...formerChecksums].map(one => `${name} ${version} ${one}`),
    ),
  )
  let facts: Facts | undefined
  try {
    ;[facts] = await central<Facts[]>`
      select
        (select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()) as mark,
        (select shobj_description(oid, 'pg_database') from pg_database
          where datname = ${template.name} and datistemplate and not datallowconn) as template,
        array(select format('%s %s %s', set, version, checksum) from distributed_tenant.schema_migrations
          where set = any(${sets.map(({ name }) => name)}::text[])) as applied,
        exists (select from tenants where provisioned = 'ready' and lifecycle <> 'deleted'
          and coalesce(schema_version, 0) < ${template.version}) as behind`
  } catch (error) {
    if ((error as { code?: string }).code === NO_SUCH_TABLE) return false
    throw error
  }
  if (!facts || facts.behind || facts.template !== template.mark) return false
  const owner = parseCentralMark(facts.mark)
  const applied = new Set(facts.applied)
  return (
    (owner === null || owner === service) &&
    applied.size === wanted.length &&
    wanted.every(names => names.some(one => applied.has(one)))
  )
}

/** Whether each instance has this template; one that does not answer counts as without it. */
export async function haveTemplate(
  instances: readonly Pick<InstanceAccess, 'look'>[],
  { name, mark }: Template,
): Promise<boolean> {
  const found = instances.map(({ look }) => look(sql => inspectDatabase(sql, name)).catch(() => null))
  return (await Promise.all(found)).every(one => one?.state === 'present' && one.comment === mark)
}
