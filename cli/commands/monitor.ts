// The commands `sizes` and `activity`: the disk usage of a service's tenant databases, and their connections now. One query
// on each instance of each service.
import { Command } from 'commander'
import { fromEach, type OpenService, withServices } from '../../operations/open-services.js'
import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'
import { contextOf } from '../context.js'
import { sizeOf } from '../output.js'

export function monitorCommands(): Command[] {
  return [sizes(), activity()]
}

/** The same query on every instance of a service. One that does not answer fails the command: a part would look whole. */
async function ofEachInstance<T extends object>(
  { tenancy }: OpenService,
  ask: (sql: QueryClient) => Promise<T[]>,
): Promise<(T & { instance: string })[]> {
  const answers = await Promise.all(
    tenancy.settings.instances.map(async ({ name }) => {
      const rows = await (name === DEFAULT_INSTANCE
        ? ask(tenancy.fleet.central)
        : tenancy.pools.readSessionOn(name)(ask))
      return rows.map(row => ({ ...row, instance: name }))
    }),
  )
  return answers.flat()
}

interface Size {
  readonly instance: string
  readonly database: string
  readonly bytes: number
}

function sizes(): Command {
  return new Command('sizes')
    .description('show what each tenant database takes on disk, the largest first')
    .action(async (_options: object, command: Command) => {
      const { targets, output } = await contextOf(command)
      await withServices(targets, async services => {
        const found = await fromEach(services, async service => {
          const rows = await ofEachInstance(
            service,
            sql => sql<{ database: string; bytes: string }[]>`
            select datname as database, pg_database_size(oid) as bytes from pg_database
            where datname like ${`tenant\\_%\\_${service.name}`} and datconnlimit <> -2`,
          )
          return rows
            .map(({ instance, database, bytes }): Size => ({ instance, database, bytes: Number(bytes) }))
            .sort((a, b) => b.bytes - a.bytes)
        })
        const rows = found.flatMap(([service, list]) => list.map(one => ({ service, ...one })))
        output.table(
          ['service', 'instance', 'database', 'size'],
          rows.map(({ service, instance, database, bytes }) => [service, instance, database, sizeOf(bytes)]),
          'No tenant databases.',
        )
        for (const [service, list] of found) {
          output.line(
            `${service}: ${list.length} databases, ${sizeOf(list.reduce((sum, { bytes }) => sum + bytes, 0))}`,
          )
        }
        output.document({ databases: rows })
      })
    })
}

interface Activity {
  readonly instance: string
  readonly database: string
  readonly connections: number
  readonly active: number
  readonly idleInTransaction: number
  readonly longestSeconds: number
}

function activity(): Command {
  return new Command('activity')
    .description('show the connections to each database of each service, and the longest running statement')
    .action(async (_options: object, command: Command) => {
      const { targets, output } = await contextOf(command)
      await withServices(targets, async services => {
        const found = await fromEach(services, service =>
          ofEachInstance(
            service,
            sql => sql<(Omit<Activity, 'instance'> & { limit: number })[]>`
            select datname as database, count(*)::int as connections,
              count(*) filter (where state = 'active')::int as active,
              count(*) filter (where state like 'idle in transaction%')::int as "idleInTransaction",
              coalesce(round(max(extract(epoch from now() - query_start)) filter (where state = 'active'), 1), 0)::float8
                as "longestSeconds",
              current_setting('max_connections')::int as limit
            from pg_stat_activity where datname is not null and pid <> pg_backend_pid()
            group by datname order by connections desc, datname`,
          ),
        )
        const rows = found.flatMap(([service, list]) => list.map(({ limit: _, ...one }) => ({ service, ...one })))
        output.table(
          ['service', 'instance', 'database', 'connections', 'active', 'idle in transaction', 'longest s'],
          rows.map(one => [
            one.service,
            one.instance,
            one.database,
            one.connections,
            one.active,
            one.idleInTransaction,
            one.longestSeconds,
          ]),
          'No connections.',
        )
        for (const [service, list] of found) {
          for (const instance of new Set(list.map(one => one.instance))) {
            const here = list.filter(one => one.instance === instance)
            const open = here.reduce((sum, { connections }) => sum + connections, 0)
            const where = instance === DEFAULT_INSTANCE ? service : `${service} on ${instance}`
            if (here[0]) output.line(`${where}: ${open} of ${here[0].limit} connections`)
          }
        }
        output.document({ databases: rows })
      })
    })
}
