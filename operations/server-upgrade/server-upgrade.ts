// Makes an instance fit for pg_upgrade, and puts it back after it. Invariants: each step may be repeated, and a second run finds
// nothing to do; a database is opened to its owner alone; nothing is changed while the service runs, as it makes spares
// and templates meanwhile.

import { openToOwner } from '../../plugins/distributed-tenant/databases/databases.js'
import type { InstanceAccess } from '../../plugins/distributed-tenant/databases/instance-access.js'
import { unmanagedRoles } from '../../plugins/distributed-tenant/databases/roles.js'
import type { ServiceName, SessionClient } from '../../plugins/distributed-tenant/types.js'
import { block, type Obstacle, warn } from '../copying/obstacle.js'
import { type ClosedDatabase, readServer, type ServerFacts } from './databases.js'

export type Direction = 'prepare' | 'finish'

export interface UpgradeReport {
  readonly service: ServiceName
  readonly instance: string
  readonly version: string
  readonly databases: readonly (ClosedDatabase & { readonly outcome: Outcome })[]
  readonly obstacles: readonly Obstacle[]
}

export type Outcome = 'opened' | 'closed' | 'to open' | 'to close' | 'as it should be'

export interface UpgradeOptions {
  readonly service: ServiceName
  readonly instance: InstanceAccess
  readonly direction: Direction
  /** Reports what would be done, and does nothing. */
  readonly dryRun: boolean
  /** When the command began, by `performance.now()`: sessions since then are its own. */
  readonly begun: number
}

/** With an obstacle that blocks, nothing is changed. */
export async function changeForUpgrade({
  service,
  instance,
  direction,
  dryRun,
  begun,
}: UpgradeOptions): Promise<UpgradeReport> {
  return instance.session(async sql => {
    const facts = await readServer(sql, service, (performance.now() - begun) / 1_000)
    const obstacles = direction === 'prepare' ? beforeUpgrade(facts, service) : await afterUpgrade(sql, facts, service)
    const blocked = obstacles.some(({ blocks }) => blocks)
    const databases = []
    for (const database of facts.databases) {
      const due = isDue(database, direction)
      if (due && !dryRun && !blocked) await change(sql, database, direction)
      databases.push({
        ...database,
        outcome: due ? wording(direction, dryRun || blocked) : ('as it should be' as const),
      })
    }
    return { service, instance: instance.name, version: facts.version, databases, obstacles }
  })
}

const wording = (direction: Direction, later: boolean): Outcome =>
  direction === 'prepare' ? (later ? 'to open' : 'opened') : later ? 'to close' : 'closed'

/** An unfinished one stays open: its next attempt would open it too. */
const isDue = ({ open, kind }: ClosedDatabase, direction: Direction): boolean =>
  direction === 'prepare' ? !open : open && kind !== 'unfinished'

async function change(sql: SessionClient, { name, kind }: ClosedDatabase, direction: Direction): Promise<void> {
  if (direction === 'prepare') return openToOwner(sql, name)
  if (kind === 'template') await sql`alter database ${sql(name)} is_template true allow_connections false`
  else await sql`alter database ${sql(name)} allow_connections false`
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name} and usename = current_user`
}

function running({ sessions }: ServerFacts, service: ServiceName): Obstacle[] {
  return sessions === 0
    ? []
    : [block(service, `has ${sessions} sessions open with its role: stop every process of the service first`)]
}

function beforeUpgrade(facts: ServerFacts, service: ServiceName): Obstacle[] {
  return [
    ...running(facts, service),
    ...facts.foreign.map(name =>
      warn(name, 'allows no connections and is not of this service: pg_upgrade refuses it until its owner opens it'),
    ),
    ...facts.invalid.map(name => block(name, 'is what an interrupted DROP DATABASE has left: drop it first')),
    ...facts.prepared.map(name => block(name, 'has prepared transactions: commit or roll them back first')),
    ...(facts.notes
      ? [
          warn(
            'pg_upgrade',
            `must be of the same round as PostgreSQL ${facts.version}, whose columns have the option pg_attver: a version of an older round passes --check and fails while it restores the schemas`,
          ),
        ]
      : []),
    warn(
      'initdb',
      `the new cluster must be made with data checksums ${facts.checksums ? 'on (initdb --data-checksums)' : 'off (initdb --no-data-checksums from PostgreSQL 18 on), or switch them on here with pg_checksums'}`,
    ),
  ]
}

async function afterUpgrade(sql: SessionClient, facts: ServerFacts, service: ServiceName): Promise<Obstacle[]> {
  const [{ user } = { user: '' }] = await sql<{ user: string }[]>`select current_user::text as user`
  const unmanaged = await unmanagedRoles(sql, service, user)
  return [
    ...running(facts, service),
    ...(unmanaged.length === 0
      ? []
      : [
          warn(
            user,
            `has no ADMIN OPTION on ${unmanaged.length} of its roles: run \`distributed-tenant init --service ${service}\` before the service starts`,
          ),
        ]),
    ...facts.otherCollation.map(name =>
      warn(
        name,
        `was sorted by another version of the system’s collations: run \`reindex database\` in it, then \`alter database "${name}" refresh collation version\``,
      ),
    ),
  ]
}
