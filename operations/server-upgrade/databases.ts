// The databases of a service on one instance that matter to pg_upgrade, which refuses a server where any database but template0
// allows no connections. It only reads.
import type { QueryClient, ServiceName } from '../../plugins/distributed-tenant/types.js'
import { columnNotes } from '../copying/server-release.js'

/** `template`, `spare`, `moved`: closed by us for good. `unfinished`: a database whose creation was interrupted before it was opened. */
export type ClosedKind = 'template' | 'spare' | 'moved' | 'unfinished'

export interface ClosedDatabase {
  readonly name: string
  readonly kind: ClosedKind
  /** It allows connections now. */
  readonly open: boolean
}

export interface ServerFacts {
  /** As the server writes it. */
  readonly version: string
  readonly checksums: boolean
  readonly databases: readonly ClosedDatabase[]
  /** Closed, and of another owner. */
  readonly foreign: readonly string[]
  /** What an interrupted DROP DATABASE has left: pg_upgrade refuses them too. */
  readonly invalid: readonly string[]
  readonly prepared: readonly string[]
  /** Sessions of the service's role that are older than this command. */
  readonly sessions: number
  /** Columns have the option pg_attver: see copying/server-release.ts. */
  readonly notes: boolean
  /** Databases whose collation has another version than the system's library. */
  readonly otherCollation: readonly string[]
}

/** @param olderThan seconds: sessions that are younger are this command's own */
export async function readServer(sql: QueryClient, service: ServiceName, olderThan: number): Promise<ServerFacts> {
  const [facts] = await sql<Omit<ServerFacts, 'databases' | 'notes'>[]>`
    select current_setting('server_version') as version, current_setting('data_checksums') <> 'off' as checksums,
      array(select datname from pg_database where not datallowconn and datname <> 'template0' and datconnlimit <> -2
        and not pg_has_role(current_user, datdba, 'MEMBER') order by 1) as foreign,
      array(select datname from pg_database where datconnlimit = -2 order by 1) as invalid,
      array(select distinct database from pg_prepared_xacts order by 1) as prepared,
      (select count(*)::int from pg_stat_activity
        where usename = current_user and backend_start < now() - make_interval(secs => ${olderThan})) as sessions,
      array(select datname from pg_database where pg_has_role(current_user, datdba, 'MEMBER')
        and datcollversion is distinct from pg_database_collation_actual_version(oid) order by 1) as "otherCollation"`
  const [columns] = await sql.unsafe<{ notes: boolean }[]>(`select ${columnNotes} as notes`)
  const own = await sql<{ name: string; open: boolean }[]>`
    select datname as name, datallowconn as open from pg_database
    where pg_has_role(current_user, datdba, 'MEMBER') and datconnlimit <> -2
      and (not datallowconn or starts_with(datname, ${`template_${service}_`}) or starts_with(datname, ${`spare_${service}_`})
        or (starts_with(datname, 'moved_') and right(datname, ${service.length + 1}) = ${`_${service}`}))
    order by 1`
  return {
    ...(facts as NonNullable<typeof facts>),
    notes: columns?.notes === true,
    databases: own.map(one => ({ ...one, kind: kindOf(one.name, service) })),
  }
}

function kindOf(name: string, service: ServiceName): ClosedKind {
  if (name.startsWith(`template_${service}_`)) return 'template'
  if (name.startsWith(`spare_${service}_`)) return 'spare'
  return name.startsWith('moved_') && name.endsWith(`_${service}`) ? 'moved' : 'unfinished'
}
