// The checks before this process serves: the right central database, a role that is no superuser, schemas at this release's
// version, a template to clone. Each refusal names the fault and the cure; no check leaves a half-done change.

import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isWithoutTls } from '../../../postgres/connections/failures.js'
import type { MigrationSet } from '../../../postgres/migrations/migration-files.js'
import { migrate } from '../../../postgres/migrations/migrations.js'
import { shareOf } from '../../../postgres/pool/instance-quota.js'
import { DEFAULT_INSTANCE, type InstanceAddress } from '../config/instances.js'
import type { Settings } from '../config/settings.js'
import { ensureFunction } from '../databases/functions.js'
import { parseCentralMark } from '../databases/marks.js'
import { powerfulRoles, unmanagedRoles } from '../databases/roles.js'
import { refuseOldServer, type ServerVersion } from '../databases/server-version.js'
import { ConfigurationInvalid } from '../errors.js'
import { prepareAnchor } from '../instances/prepare-instance.js'
import type { SqlClient } from '../types.js'
import type { Pools } from './pools.js'
import type { StartProgress } from './start-limit.js'

const FUNCTIONS = ['prepare_tenant_role', 'take_spare'].map(name =>
  fileURLToPath(new URL(`../migrations/functions/${name}.sql`, import.meta.url)),
)

/** Longer than a database in a container beside this process takes to start. */
const WAIT_FOR_DATABASE_MS = 60_000
/** Only failures that time may cure are waited for: no listener yet, no such name yet, the server is starting up. */
const NOT_YET =
  /^(E(CONNREFUSED|CONNRESET|HOSTUNREACH|NETUNREACH|TIMEDOUT|NOTFOUND|AI_AGAIN)|CONNECT_TIMEOUT|CONNECTION_CLOSED|57P03)$/

/** Publishes a step of the start. */
export type Say = (type: 'warning' | 'note', message: string) => void

interface Facts extends ServerVersion {
  readonly superuser: boolean
  readonly mayMake: boolean
  readonly mayEndSessions: boolean
  readonly maxConnections: number
  readonly reserved: number
  readonly comment: string | null
}

/** @throws CONFIGURATION_INVALID, MIGRATION_INVALID, MIGRATION_FAILED */
export async function prepareCentral(
  settings: Settings,
  pools: Pools,
  sets: readonly MigrationSet[],
  say: Say,
  progress: StartProgress,
): Promise<{ readonly allowed: number }> {
  const { host, port, database, user } = settings.database
  progress.doing(`the central database ${database} at ${host}:${port} was asked as ${user}`)
  const facts = await firstContact(settings, pools.central.sql, say, progress.patienceMs)
  checkMark(settings, facts)
  refuseOldServer(`${settings.database.host}:${settings.database.port}`, facts)
  checkRole(settings, facts, say)
  await checkTenantRoles(settings, pools.central.sql, say)
  checkBudget(settings, facts, say)
  checkIdentity(settings, say)
  progress.doing(`the central database ${database} was migrated`)
  const { sql } = pools.provisioning
  let migrated = false
  for (const set of sets) if ((await migrate(sql, set)).length > 0) migrated = true
  for (const file of FUNCTIONS) await ensureFunction(sql, file, migrated)
  await checkPlacements(settings, pools.central.sql)
  return { allowed: facts.maxConnections - facts.reserved }
}

/** A tenant on an instance that is not configured would look like one whose database is gone. */
async function checkPlacements({ instances }: Settings, sql: SqlClient): Promise<void> {
  const named = instances.map(({ name }) => name)
  const rows = await sql<{ instance: string; tenants: number }[]>`
    select instance, count(*)::int as tenants from tenants
    where instance <> all(${named}::text[]) and provisioned <> 'removed' group by instance order by instance`
  const [lost] = rows
  if (!lost) return
  throw new ConfigurationInvalid(
    `${lost.tenants} tenant(s) are on the instance ${lost.instance}, which DB_INSTANCES does not name: name it, or move them first.`,
  )
}

/**
 * Prepares the other instances, side by side. One that cannot be reached is reported, and its tenants wait for it.
 * @throws CONFIGURATION_INVALID when one is another service's
 */
export async function prepareInstances(
  settings: Settings,
  pools: Pools,
  ensureTemplate: (instance: string) => Promise<unknown>,
  say: Say,
): Promise<void> {
  await Promise.all(
    settings.instances
      .filter(({ name }) => name !== DEFAULT_INSTANCE)
      .map(async address => {
        try {
          await prepareInstance(settings, pools, address, say)
          await ensureTemplate(address.name)
        } catch (error) {
          if (error instanceof ConfigurationInvalid) throw error
          const { name, host, port } = address
          const { message } = causeOf(error)
          say(
            'warning',
            `the instance ${name} (${host}:${port}) cannot be used (${message}): its tenants get 503 until it can; check DB_INSTANCES, or run \`distributed-tenant init --service ${settings.service}\`.`,
          )
        }
      }),
  )
}

async function prepareInstance(settings: Settings, pools: Pools, address: InstanceAddress, say: Say): Promise<void> {
  const { name } = address
  const facts = await pools.sessionAt(name)(at => prepareAnchor(at, pools.central.sql, settings.service, address))
  warnOfPowerful(settings, facts.powerful, say)
  warnOfUnmanaged(settings, facts.unmanaged, say)
  const wanted = (pools.share + BESIDE_SHARE) * (settings.replicas ?? 1)
  const allowed = facts.maxConnections - facts.reserved
  if (wanted <= allowed) return
  say(
    'warning',
    `instance ${name}: ${settings.replicas ?? 1} replica(s) x (share of the budget ${pools.share} + ${BESIDE_SHARE}) = ${wanted} connections, but it allows ${facts.maxConnections} - ${facts.reserved} reserved = ${allowed}: lower DISTRIBUTED_MAX_CONNECTIONS or raise max_connections.`,
  )
}

async function firstContact(settings: Settings, sql: SqlClient, say: Say, patienceMs: number): Promise<Facts> {
  const wait = settings.waitForDatabase ? Math.min(WAIT_FOR_DATABASE_MS, patienceMs) : 0
  const deadline = performance.now() + wait
  for (;;) {
    try {
      const [facts] = await sql<Facts[]>`
        select rolsuper as superuser, rolsuper or (rolcreatedb and rolcreaterole) as "mayMake",
          pg_has_role(current_user, 'pg_signal_backend', 'USAGE') as "mayEndSessions", current_setting('max_connections')::int as "maxConnections",
          current_setting('superuser_reserved_connections')::int
            + coalesce(current_setting('reserved_connections', true)::int, 0) as reserved,
          current_setting('server_version') as version, current_setting('server_version_num')::int / 10000 as major,
          (select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()) as comment
        from pg_roles where rolname = current_user`
      return facts as Facts
    } catch (error) {
      if (performance.now() >= deadline || !NOT_YET.test(causeOf(error).code ?? '')) throw unreachable(settings, error)
      say('note', 'the central database does not answer yet; waiting')
      await sleep(500)
    }
  }
}

function causeOf(error: unknown): { message?: string; code?: string } {
  return (error as { cause?: { message?: string; code?: string } }).cause ?? (error as Error)
}

function unreachable({ database, service }: Settings, error: unknown): Error {
  const cause = causeOf(error)
  const { host, port, user, database: name } = database
  const what = `The central database ${name} at ${host}:${port} cannot be used as ${user}`
  if (isWithoutTls(cause)) return new ConfigurationInvalid(`${what}: ${cause.message}.`)
  return new ConfigurationInvalid(
    `${what} (${cause.message}): check DB_HOST, DB_PORT, DB_DATABASE, DB_USERNAME and DB_PASSWORD, or make it with \`distributed-tenant init --service ${service}\`.`,
  )
}

function checkMark({ database, service }: Settings, { comment }: Facts): void {
  const owner = parseCentralMark(comment)
  if (owner !== null && owner !== service) {
    throw new ConfigurationInvalid(
      `Connected to the wrong database: ${database.database} at ${database.host}:${database.port} belongs to ${owner}, this is ${service}. Check DB_HOST, DB_PORT and DB_DATABASE.`,
    )
  }
}

function checkRole({ production, database, service, roleKeysImplied }: Settings, facts: Facts, say: Say): void {
  const again = `\`distributed-tenant init --service ${service}\``
  const warn = (message: string) => say('warning', message)
  if (facts.superuser) {
    const message = `${database.user} is a superuser: make the service’s own role with ${again} and use it in DB_USERNAME.`
    if (production) throw new ConfigurationInvalid(message)
    warn(message)
  }
  if (!facts.mayMake)
    warn(`${database.user} may not create databases and roles, so no tenant can be made: run ${again}.`)
  else if (!facts.mayEndSessions) {
    warn(
      `${database.user} may not end tenants’ sessions, so a database in use cannot be dropped: run ${again} once more.`,
    )
  }
  if (roleKeysImplied) {
    const message = 'TENANT_ROLE_SECRET is not set: the passwords of tenants’ roles derive from DB_PASSWORD.'
    say('note', message)
  }
}

/** The roles that tenants' statements run as. Any right beyond rows and a connection was granted by hand. */
async function checkTenantRoles(settings: Settings, sql: SqlClient, say: Say): Promise<void> {
  const { service, database } = settings
  warnOfPowerful(settings, await powerfulRoles(sql, service), say)
  warnOfUnmanaged(settings, await unmanagedRoles(sql, service, database.user), say)
}

/** Existing tenants are served; none can be made or removed. */
function warnOfUnmanaged({ database, service }: Settings, roles: readonly string[], say: Say): void {
  if (roles.length === 0) return
  say(
    'warning',
    `${database.user} has no ADMIN OPTION on ${listed(roles)} (${roles.length} role(s)), which PostgreSQL 16 and later want and pg_upgrade does not give: no tenant can be made or removed. Run \`distributed-tenant init --service ${service}\`.`,
  )
}

const listed = (names: readonly string[]): string => `${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`

function warnOfPowerful({ production }: Pick<Settings, 'production'>, powerful: readonly string[], say: Say): void {
  if (powerful.length === 0) return
  const message = `${listed(powerful)} can do more than a tenant may: take SUPERUSER, CREATEDB, CREATEROLE, REPLICATION and BYPASSRLS from ${powerful.length} role(s).`
  if (production) throw new ConfigurationInvalid(message)
  say('warning', message)
}

function checkIdentity({ identity, source, enabled, nats }: Settings, say: Say): void {
  // Without events no other service makes tenants here.
  if (identity || source || !enabled || nats === null) return
  const message =
    'IDENTITY_URL or SERVICE_TOKEN is not set: lost events are not repaired, and databases of deleted tenants are never dropped.'
  say('warning', message)
}

/** All connections a replica may open: budget, central 5, provisioning 4 with 4 visits, listener 1. */
export const BESIDE_BUDGET = 14
/** The same on an instance that is not home: provisioning 4 with 4 visits, reading 2. */
const BESIDE_SHARE = 10

function checkBudget({ maxConnections, instances, replicas }: Settings, facts: Facts, say: Say): void {
  // Else each process has what the others leave.
  if (replicas === null) return
  const budget = shareOf(maxConnections, instances.length)
  const wanted = (budget + BESIDE_BUDGET) * replicas
  const allowed = facts.maxConnections - facts.reserved
  if (wanted <= allowed) return
  say(
    'warning',
    `${replicas} replica(s) x (budget ${budget} + ${BESIDE_BUDGET}) = ${wanted} connections, but the server allows ${facts.maxConnections} - ${facts.reserved} reserved = ${allowed}: lower DISTRIBUTED_MAX_CONNECTIONS or raise max_connections.`,
  )
}
