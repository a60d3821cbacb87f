// The place of one test run on a PostgreSQL: a service's role and central database under a name that no other run has, and
// the removal of all that belongs to them.
// Invariant: what is dropped belongs to a role with the mark of tests, whose run is over: a session of the run holds an advisory
// lock for as long as the run's process lives, and PostgreSQL frees it when that is gone.
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrap, type Superuser, superuserAt } from '../operations/init/bootstrap.js'
import type { DatabaseOptions } from '../plugins/distributed-tenant/config/options.js'
import { dropDatabase, dropRole } from '../plugins/distributed-tenant/databases/databases.js'
import { CentralDatabaseUnavailable, ConfigurationInvalid } from '../plugins/distributed-tenant/errors.js'
import { parseServiceName, tenantGroupName } from '../plugins/distributed-tenant/names.js'
import type { ServiceName, SessionClient } from '../plugins/distributed-tenant/types.js'
import { ifUnlocked, lockSession } from '../postgres/advisory-locks.js'
import type { Server } from './server-process.js'

export interface Run {
  /** The service's name with the run's own letters behind it. */
  readonly service: ServiceName
  readonly database: DatabaseOptions
  /** Drops all that belongs to the run, unless its server goes with it. Safe to call twice. */
  close(): Promise<void>
}

const MARK = 'distributed-tenant:testing:v1 '
const lockOf = (service: string): string => `distributed_tenant.testing:${service}`
const roleOf = (service: ServiceName): string => `${service}_service`

/** Of a service's name: the rest of its 15 letters is the run's. */
const KEPT = 8
const OWN = 7

const END_MS = 10_000

/**
 * Makes a run's role and central database, and drops those of runs that are over.
 * @throws CONFIGURATION_INVALID when the server cannot be used, or not as a superuser
 */
export async function openRun(server: Server, service: ServiceName, password: string): Promise<Run> {
  const own = nameOfRun(service)
  const { host, port, ssl } = server
  const database: DatabaseOptions = {
    host,
    port,
    database: `${own}_central`,
    user: roleOf(own),
    password,
    ssl,
    sslRootCert: undefined,
  }
  const login = { user: server.user, password: server.password }
  const superuser = superuserAt({ database, superuser: login }, 2)
  const lock = await holdLock(superuser, lockOf(own)).catch(async error => {
    await superuser.close()
    throw explained(error, server)
  })
  let closed: Promise<void> | null = null
  const close = (): Promise<void> => {
    closed ??= (async () => {
      try {
        if (!server.own) await superuser.session(sql => drop(sql, own))
      } finally {
        await lock.release()
        await superuser.close()
      }
    })()
    return closed
  }
  try {
    await superuser.session(async sql => {
      await requireSuperuser(sql, server)
      if (!server.own) await dropFinished(sql)
      await makeRole(sql, own)
    })
    await bootstrap({ service: own, database, superuser: login, leaveShared: true, onStep() {} })
    return { service: own, database, close }
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}

function nameOfRun(service: ServiceName): ServiceName {
  const letters = Array.from({ length: OWN }, () => randomInt(36).toString(36)).join('')
  return parseServiceName(service.slice(0, KEPT) + letters)
}

/** Takes a lock on a session that is kept until `release`. */
async function holdLock(superuser: Superuser, name: string): Promise<{ release(): Promise<void> }> {
  let free: () => void = () => {}
  const wanted = new Promise<void>(resolve => {
    free = resolve
  })
  let held: Promise<void> = Promise.resolve()
  await new Promise<void>((resolve, reject) => {
    held = superuser.session(async sql => {
      await lockSession(sql, name)
      resolve()
      await wanted
    })
    held.catch(reject)
  })
  return {
    async release() {
      free()
      await held.catch(() => {})
    },
  }
}

async function requireSuperuser(sql: SessionClient, { host, port, user }: Server): Promise<void> {
  const [row] = await sql<{ fits: boolean; version: number }[]>`
    select rolsuper as fits, current_setting('server_version_num')::int / 10000 as version
    from pg_roles where rolname = current_user`
  if (!row?.fits) {
    throw new ConfigurationInvalid(
      `${user} is no superuser at ${host}:${port}: tests make roles and databases, and drop them, so give them a superuser of a server for tests.`,
    )
  }
}

/** The role carries the mark from the first moment, so that a run that is killed at once leaves nothing without it. */
async function makeRole(sql: SessionClient, service: ServiceName): Promise<void> {
  const role = roleOf(service)
  const [row] = await sql<{ comment: string }[]>`
    select format('comment on role %I is %L', ${role}::text, ${MARK + JSON.stringify({ service })}::text) as comment`
  await sql.begin(async tx => {
    await tx`create role ${tx(role)} nologin`
    await tx.unsafe((row as { comment: string }).comment)
  })
}

/** Drops what runs have left whose processes are gone. */
async function dropFinished(sql: SessionClient): Promise<void> {
  const rows = await sql<{ role: string; comment: string }[]>`
    select rolname as role, shobj_description(oid, 'pg_authid') as comment from pg_roles
    where starts_with(shobj_description(oid, 'pg_authid'), ${MARK})`
  for (const { role, comment } of rows) {
    const service = serviceIn(comment)
    if (service === null || roleOf(service) !== role) continue
    await ifUnlocked(
      sql,
      lockOf(service),
      () => drop(sql, service),
      () => {},
    )
  }
}

function serviceIn(comment: string): ServiceName | null {
  try {
    return parseServiceName(String((JSON.parse(comment.slice(MARK.length)) as { service?: unknown }).service))
  } catch {
    return null
  }
}

/** All databases of a run's role, its tenants' roles, and at last the role, which carries the mark. Safe to repeat. */
async function drop(sql: SessionClient, service: ServiceName): Promise<void> {
  const role = roleOf(service)
  const [marked] = await sql<{ service: string | null }[]>`
    select shobj_description(oid, 'pg_authid') as service from pg_roles where rolname = ${role}`
  if (!marked?.service || serviceIn(marked.service) !== service) return
  await sql`alter role ${sql(role)} nologin`
  await endSessions(sql, role)
  const databases = await sql<{ name: string }[]>`
    select datname as name from pg_database where datdba = (select oid from pg_roles where rolname = ${role})`
  for (const { name } of databases) await dropDatabase(sql, name)
  const roles = await sql<{ name: string }[]>`
    select rolname as name from pg_roles where rolname ~ ${`^(tenant_[^_]*|spare)_${service}(_[0-9]+)?$`}`
  for (const { name } of roles) await dropRole(sql, name)
  // The group of its tenants, and the role that its registry makes to write the audit log.
  for (const name of [tenantGroupName(service), `${role}_audit`]) await dropRole(sql, name)
  await dropRole(sql, role)
}

/** An application that is still open could be making a database. */
async function endSessions(sql: SessionClient, role: string): Promise<void> {
  const deadline = performance.now() + END_MS
  for (;;) {
    const { count } = await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role}`
    if (count === 0 || performance.now() > deadline) return
    await sleep(20)
  }
}

/** Without the password, which the driver's errors do not name either. */
function explained(error: unknown, { host, port, user }: Server): unknown {
  if (!(error instanceof CentralDatabaseUnavailable)) return error
  const cause = (error.cause as Error | undefined)?.message ?? error.message
  return new ConfigurationInvalid(
    `The PostgreSQL of the tests at ${host}:${port} cannot be used as ${user} (${cause}): check the address, user and password in TEST_DATABASE_URL or \`databaseUrl\`.`,
  )
}
