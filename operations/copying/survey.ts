// The survey of a shared server: the databases of each tenant and service, the obstacles of each, and the tenants in its
// central tables. Changes nothing; its sessions are read only.

import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import type { JsonObject, QueryClient, ServiceName, SessionClient } from '../../plugins/distributed-tenant/types.js'
import { type Needs, needsColumns } from './beyond-role.js'
import { columnsStatement, readApplied, type SchemaFacts } from './detect-schema-version.js'
import type { Instance } from './external-instance.js'
import type { TenantFacts } from './journal.js'
import type { NotCopyable } from './not-copyable.js'
import { columnNotes } from './server-release.js'

export interface SourceDatabase {
  readonly name: string
  readonly service: ServiceName
  /** As it stands in the name: any text. */
  readonly oldId: string
  readonly bytes: number
}

export interface SourceServer {
  readonly major: number
  readonly minor: number
  /** Seconds since 1970, to the microsecond: which server it is, whatever address it was reached by. */
  readonly startedAt: string
  readonly superuser: boolean
  readonly databases: readonly SourceDatabase[]
  /** Named like a tenant's, and of none of our services. */
  readonly others: readonly string[]
  /** By the id in the database's name. */
  readonly facts: ReadonlyMap<string, TenantFacts>
  readonly busy: readonly { readonly database: string; readonly count: number; readonly since: Date }[]
  /** Databases with prepared transactions, and roles that read-only does not bind. */
  readonly prepared: readonly string[]
  readonly unbound: readonly string[]
}

export async function surveyServer(
  instance: Instance,
  services: readonly ServiceName[],
  query: string | null,
): Promise<SourceServer> {
  return instance.withDirectConnection(async sql => {
    const [server] = await sql<{ version: number; startedAt: string; superuser: boolean }[]>`
      select current_setting('server_version_num')::int as version, rolsuper as superuser,
        extract(epoch from pg_postmaster_start_time())::text as "startedAt"
      from pg_roles where rolname = current_user`
    const { version, startedAt, superuser } = server as { version: number; startedAt: string; superuser: boolean }
    const found = await sql<{ name: string; bytes: number }[]>`
      select datname as name, pg_database_size(oid)::float8 as bytes from pg_database
      where starts_with(datname, 'tenant_') and datallowconn and not datistemplate order by datname`
    const databases = found.flatMap(one => ofService(one, services))
    const known = new Set(databases.map(({ name }) => name))
    return {
      major: Math.floor(version / 10_000),
      minor: version % 10_000,
      startedAt,
      superuser,
      databases,
      others: found.map(({ name }) => name).filter(name => !known.has(name)),
      facts: await readFacts(sql, query),
      busy: await sql`
        select datname as database, count(*)::int as count, min(xact_start) as since from pg_stat_activity
        where starts_with(datname, 'tenant_') and xact_start is not null and backend_type = 'client backend'
        group by datname order by datname`,
      prepared: (await sql<{ name: string }[]>`select distinct database as name from pg_prepared_xacts`).map(
        one => one.name,
      ),
      unbound: (
        await sql<{ name: string }[]>`
          select distinct rolname as name from pg_db_role_setting join pg_roles on pg_roles.oid = setrole, unnest(setconfig) as entry
          where entry like 'default_transaction_read_only=%'`
      ).map(one => one.name),
    }
  })
}

/** The id is whatever stands between; a service's name holds no `_`, so the last one separates. */
function ofService(
  { name, bytes }: { name: string; bytes: number },
  services: readonly ServiceName[],
): SourceDatabase[] {
  const at = name.lastIndexOf('_')
  const service = services.find(one => one === name.slice(at + 1))
  const oldId = name.slice('tenant_'.length, at)
  return service && oldId !== '' ? [{ name, service, oldId, bytes }] : []
}

interface FactsRow {
  readonly id: unknown
  readonly name?: unknown
  readonly domain?: unknown
  readonly settings?: unknown
  readonly is_active?: unknown
}

/** By a query of the operator's, or from a table `tenants` with `id`, where there is one. */
async function readFacts(sql: SessionClient, query: string | null): Promise<Map<string, TenantFacts>> {
  const text = query?.trim().replace(/;$/, '') ?? (await guess(sql))
  if (text === null) return new Map()
  const rows = await sql
    .begin(async tx => {
      await tx.unsafe('set transaction read only')
      return tx.unsafe<{ row: FactsRow }[]>(`select to_jsonb(facts.*) as row from (${text}) as facts`)
    })
    .catch(error => {
      throw new TransferRefused(
        `The query for the tenants failed (${(error as Error).message}): correct it, see --tenants-query.`,
      )
    })
  return new Map(rows.map(({ row }) => [String(row.id), factsOf(row)]))
}

async function guess(sql: SessionClient): Promise<string | null> {
  const columns = await sql<{ name: string }[]>`
    select attname as name from pg_attribute where attrelid = to_regclass('public.tenants') and attnum > 0 and not attisdropped`
  const known = new Set(columns.map(({ name }) => name))
  if (!known.has('id')) return null
  return `select ${['id', 'name', 'domain', 'settings', 'is_active'].filter(name => known.has(name)).join(', ')} from public.tenants`
}

function factsOf({ id, name, domain, settings, is_active: active }: FactsRow): TenantFacts {
  const object = typeof settings === 'object' && settings !== null && !Array.isArray(settings)
  return {
    name: typeof name === 'string' && name !== '' ? name : String(id),
    domain: typeof domain === 'string' && domain !== '' ? domain : null,
    settings: object ? (settings as JsonObject) : {},
    active: active !== false && active !== 0,
  }
}

/** The properties of one source database that matter before it is copied. */
export interface DatabaseFacts extends SchemaFacts {
  readonly needs: Needs
  /** Columns have `pg_attver` among their options: see server-release.ts. */
  readonly notes: boolean
  /** Objects that a copy would not bring along, or fail over. */
  readonly never: readonly NotCopyable[]
  /** Objects that it may fail over. */
  readonly perhaps: readonly NotCopyable[]
}

type Questions = (sql: QueryClient) => Promise<Pick<DatabaseFacts, 'never' | 'perhaps'>>

/** In as few round trips as can be: there is one survey for each database. */
export async function surveyDatabase(instance: Instance, name: string, ask: Questions): Promise<DatabaseFacts> {
  return instance.withDirectConnection(async sql => {
    const [found] = await sql.unsafe<(Needs & { columns: string[]; ours: boolean; notes: boolean })[]>(`
      select ${needsColumns}, ${columnNotes} as notes,
        to_json(array(${columnsStatement})) as columns,
        to_regclass('distributed_tenant.schema_migrations') is not null as ours`)
    const { columns, ours, notes, ...needs } = found as NonNullable<typeof found>
    return {
      needs,
      notes,
      ...(await ask(sql)),
      columns: new Set(columns),
      applied: ours ? await readApplied(sql) : null,
    }
  }, name)
}
