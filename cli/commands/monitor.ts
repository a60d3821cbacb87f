// Owns `sizes` and `activity`: what a service's tenant databases take on disk, and who is connected to them now. One query
// on the central database of each service.
import { Command } from 'commander'
import { contextOf } from '../context.js'
import { sizeOf } from '../output.js'
import { fromEach, withServices } from '../services.js'

export function monitorCommands(): Command[] {
  return [sizes(), activity()]
}

interface Size {
  readonly database: string
  readonly bytes: number
}

function sizes(): Command {
  return new Command('sizes')
    .description('show what each tenant database takes on disk, the largest first')
    .action(async (_options: object, command: Command) => {
      const { targets, output } = await contextOf(command)
      await withServices(targets, async services => {
        const found = await fromEach(services, async ({ name, tenancy }) => {
          const rows = await tenancy.fleet.central<{ database: string; bytes: string }[]>`
            select datname as database, pg_database_size(oid) as bytes from pg_database
            where datname like ${`tenant\\_%\\_${name}`} and datconnlimit <> -2 order by 2 desc`
          return rows.map(({ database, bytes }): Size => ({ database, bytes: Number(bytes) }))
        })
        const rows = found.flatMap(([service, list]) => list.map(one => ({ service, ...one })))
        output.table(
          ['service', 'database', 'size'],
          rows.map(({ service, database, bytes }) => [service, database, sizeOf(bytes)]),
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
        const found = await fromEach(
          services,
          ({ tenancy }) => tenancy.fleet.central<(Activity & { limit: number })[]>`
            select datname as database, count(*)::int as connections,
              count(*) filter (where state = 'active')::int as active,
              count(*) filter (where state like 'idle in transaction%')::int as "idleInTransaction",
              coalesce(round(max(extract(epoch from now() - query_start)) filter (where state = 'active'), 1), 0)::float8
                as "longestSeconds",
              current_setting('max_connections')::int as limit
            from pg_stat_activity where datname is not null and pid <> pg_backend_pid()
            group by datname order by connections desc, datname`,
        )
        const rows = found.flatMap(([service, list]) => list.map(({ limit: _, ...one }) => ({ service, ...one })))
        output.table(
          ['service', 'database', 'connections', 'active', 'idle in transaction', 'longest s'],
          rows.map(one => [
            one.service,
            one.database,
            one.connections,
            one.active,
            one.idleInTransaction,
            one.longestSeconds,
          ]),
          'No connections.',
        )
        for (const [service, list] of found) {
          const open = list.reduce((sum, { connections }) => sum + connections, 0)
          if (list[0]) output.line(`${service}: ${open} of ${list[0].limit} connections`)
        }
        output.document({ databases: rows })
      })
    })
}
