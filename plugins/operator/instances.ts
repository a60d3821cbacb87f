// How full each PostgreSQL instance of a service is. If one does not answer: its numbers are null and it says why.
import type { OperatorAccess, SqlClient } from '../distributed-tenant/index.js'

export interface InstanceView {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly tenants: number
  readonly breaker: string | null
  /** Since when an operator has marked it full, so that no new tenant goes there; null for one that takes them. */
  readonly fullSince: Date | null
  readonly fullBy: string | null
  readonly reached: boolean
  readonly error: string | null
  readonly databases: number | null
  readonly bytes: number | null
  readonly connections: number | null
  readonly maxConnections: number | null
  readonly version: string | null
  /** Whether this service can move all tenants away itself. */
  readonly drainHere: boolean
  /** The command that moves all tenants away; null for an instance without another to go to. */
  readonly drain: string | null
}

type Fullness = Pick<InstanceView, 'databases' | 'bytes' | 'connections' | 'maxConnections' | 'version'>
const UNKNOWN: Fullness = { databases: null, bytes: null, connections: null, maxConnections: null, version: null }

export async function readInstances(
  access: OperatorAccess,
  central: SqlClient,
  drains: boolean,
): Promise<InstanceView[]> {
  const [counts, marks] = await Promise.all([
    central<{ instance: string; tenants: number }[]>`
      select instance, count(*)::int as tenants from tenants where provisioned <> 'removed' group by instance`,
    central<{ name: string; since: Date; markedBy: string }[]>`
      select name, since, marked_by as "markedBy" from full_instances`,
  ])
  const full = new Map(marks.map(one => [one.name, one]))
  const tenants = new Map(counts.map(one => [one.instance, one.tenants]))
  return Promise.all(
    access.instances.map(async ({ name, host, port, look, breaker }) => {
      const others = access.instances.filter(one => one.name !== name)
      const common = {
        ...{ name, host, port, tenants: tenants.get(name) ?? 0, breaker: breaker()?.reason ?? null },
        ...{ fullSince: full.get(name)?.since ?? null, fullBy: full.get(name)?.markedBy ?? null },
        drainHere: drains && others.length > 0,
        drain: others[0] ? `distributed-tenant drain ${name} --service ${access.service}` : null,
      }
      try {
        const [found] = await look(
          sql => sql<[Fullness]>`
            select (select count(*)::int from pg_database where datname like ${`tenant\\_%\\_${access.service}`}) as databases,
              (select coalesce(sum(pg_database_size(oid)), 0)::float8 from pg_database
                where datname like ${`tenant\\_%\\_${access.service}`} and datconnlimit <> -2) as bytes,
              (select count(*)::int from pg_stat_activity where datid is not null) as connections,
              current_setting('max_connections')::int as "maxConnections", current_setting('server_version') as version`,
        )
        return { ...common, reached: true, error: null, ...(found as Fullness) }
      } catch (error) {
        const { code, message } = error as { code?: string; message: string }
        return { ...common, reached: false, error: code ?? message, ...UNKNOWN }
      }
    }),
  )
}
