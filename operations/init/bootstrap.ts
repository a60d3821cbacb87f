// The superuser's setup of a service, once: the service's role (may create databases and roles, no superuser),
// the group of its tenants' roles, its central database with its mark, and CONNECT revoked from PUBLIC everywhere. Invariant: safe to repeat; undoes nothing.

import { instanceDatabaseName } from '../../plugins/distributed-tenant/config/instances.js'
import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import {
  closeToPublic,
  commentDatabase,
  createDatabase,
  inspectDatabase,
  openToOwner,
} from '../../plugins/distributed-tenant/databases/databases.js'
import {
  centralMarkText,
  instanceMarkText,
  parseCentralMark,
  parseInstanceMark,
} from '../../plugins/distributed-tenant/databases/marks.js'
import { ensureTenantGroup, manageRoles } from '../../plugins/distributed-tenant/databases/roles.js'
import { CentralDatabaseUnavailable, ConfigurationInvalid } from '../../plugins/distributed-tenant/errors.js'
import { tenantGroupName } from '../../plugins/distributed-tenant/names.js'
import type { ServiceName, SessionClient } from '../../plugins/distributed-tenant/types.js'
import { lockNames, lockSession } from '../../postgres/advisory-locks.js'
import { createBuilder } from '../../postgres/connections/driver.js'
import { connectionClosed, isWithoutTls } from '../../postgres/connections/failures.js'
import { connectorOf } from '../../postgres/connections/primary.js'
import { tlsOptions } from '../../postgres/connections/target.js'
import { createPool } from '../../postgres/pool/pool.js'
import { createClients } from '../../postgres/sql/client.js'
import { settingsInTheWay } from '../move/online/server-settings.js'
import { verifierOf } from './role-password.js'

export interface BootstrapOptions {
  readonly service: ServiceName
  /** The service's instance, and the role and central database to make there. */
  readonly database: DatabaseOptions
  readonly superuser: { readonly user: string; readonly password: string | undefined }
  /** For a role that is made now, when `database` has no password: one that is there keeps what it has. */
  readonly passwordOfNew?: string | undefined
  readonly onStep: (line: string) => void
  /** Another instance of the service, the one of `database`: it gets a database for the plugin's functions, no central one. */
  readonly instance?: string | undefined
  /** PUBLIC keeps CONNECT on `postgres` and `template1`: for a server of tests, which others use too. */
  readonly leaveShared?: boolean
}

/** The objects that did not exist before. */
export interface Bootstrapped {
  readonly role: boolean
  readonly central: boolean
}

/** Sessions of a superuser in the database `postgres`. */
export interface Superuser {
  session<T>(fn: (sql: SessionClient) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Opens nothing yet. @param sessions how many at a time */
export function superuserAt(
  { database, superuser }: Pick<BootstrapOptions, 'database' | 'superuser'>,
  sessions = 1,
): Superuser {
  const connect = connectorOf(database)
  const pool = createPool({
    budget: sessions,
    perKey: sessions,
    acquireTimeout: 30_000,
    idleTimeout: 30_000,
    maxOpening: sessions,
    pooling: true,
    open: name =>
      connect(
        {
          host: database.host,
          port: database.port,
          database: name,
          user: superuser.user,
          password: superuser.password,
          tls: tlsOptions(database),
          applicationName: 'distributed-tenant-init',
          statementTimeout: 0,
        },
        10_000,
      ),
    refusal: () => connectionClosed('no connection'),
    report: () => {},
  })
  const client = createClients({
    pool,
    builder: createBuilder({ host: database.host, port: database.port }),
    queryTimeout: 60_000,
    unavailable: () => new CentralDatabaseUnavailable(),
  })
  const scope = client('postgres')
  return {
    session: fn => scope.session(fn),
    async close() {
      scope.release()
      await pool.close(5_000)
    },
  }
}

/** @throws CONFIGURATION_INVALID when the database is another service's, or the superuser is none */
export async function bootstrap(options: BootstrapOptions): Promise<Bootstrapped> {
  const superuser = superuserAt(options)
  try {
    return await superuser.session(sql => make(sql, options))
  } catch (error) {
    throw explain(error, options)
  } finally {
    await superuser.close()
  }
}

async function make(sql: SessionClient, options: BootstrapOptions): Promise<Bootstrapped> {
  const { service, database, onStep, instance } = options
  const name = instance === undefined ? database.database : instanceDatabaseName(service)
  const what = instance === undefined ? `central database ${name}` : `database ${name} on the instance ${instance}`
  const parse = instance === undefined ? parseCentralMark : parseInstanceMark
  await requireSuperuser(sql, options)
  await lockSession(sql, lockNames.init)
  const role = await ensureRole(sql, options)
  await ensureGroup(sql, options)
  const found = await inspectDatabase(sql, name)
  if (found.state === 'invalid') {
    throw new ConfigurationInvalid(
      `${name} is what an interrupted DROP DATABASE has left: drop it, then run \`distributed-tenant init\` again.`,
    )
  }
  const owner = found.state === 'present' ? parse(found.comment) : null
  if (owner !== null && owner !== service) {
    throw new ConfigurationInvalid(
      `${name} is the ${instance === undefined ? 'central database' : 'instance'} of ${owner}, not of ${service}: check ${instance === undefined ? 'DB_HOST, DB_PORT and DB_DATABASE' : 'DB_INSTANCES'}.`,
    )
  }
  const text = instance === undefined ? centralMarkText(service) : instanceMarkText(service)
  if (found.state === 'absent') {
    await createDatabase(sql, name, { template: 'template0', owner: database.user, comment: text })
    onStep(`${what} made`)
  } else if (found.state === 'present' && found.unfinished) {
    // An earlier run was killed before it had opened it.
    await openToOwner(sql, name, text)
    onStep(`${what} finished`)
  } else if (owner === null) await commentDatabase(sql, name, text)
  for (const one of options.leaveShared ? [name] : [name, 'postgres', 'template1']) await closeToPublic(sql, one)
  onStep(`CONNECT is taken from PUBLIC${instance === undefined ? '' : ` on the instance ${instance}`}`)
  for (const sentence of await settingsInTheWay(sql)) {
    const where = instance === undefined ? '' : ` on the instance ${instance}`
    onStep(`note${where}: tenants can be moved with --frozen alone while it has ${sentence}`)
  }
  return { role, central: found.state === 'absent' }
}

async function requireSuperuser(sql: SessionClient, { superuser }: BootstrapOptions): Promise<void> {
  const [row] = await sql<{ rolsuper: boolean }[]>`select rolsuper from pg_roles where rolname = current_user`
  if (row?.rolsuper) return
  throw new ConfigurationInvalid(
    `${superuser.user} is no superuser: give one in INIT_SUPERUSER and INIT_PASSWORD; it is used for this once.`,
  )
}

/** @returns whether it was made now */
async function ensureRole(sql: SessionClient, { database, passwordOfNew, onStep }: BootstrapOptions): Promise<boolean> {
  const { user } = database
  const [known] = await sql`select 1 from pg_roles where rolname = ${user}`
  if (!known) {
    await sql`create role ${sql(user)} login`
    onStep(`role ${user} made`)
  }
  await sql`alter role ${sql(user)} login createdb createrole nosuperuser noreplication nobypassrls`
  const password = database.password ?? (known ? undefined : passwordOfNew)
  if (password === undefined) return !known
  // ALTER ROLE takes no parameters, so the server quotes the text: a verifier, as the server may log every statement.
  const [row] = await sql<{ statement: string }[]>`
    select format('alter role %I password %L', ${user}::text, ${verifierOf(password)}::text) as statement`
  await sql.unsafe((row as { statement: string }).statement)
  return !known
}

/** Made as the service's role, so that it may grant the group to tenants' roles (PostgreSQL 16 requires its creator). */
async function ensureGroup(sql: SessionClient, { service, database, onStep }: BootstrapOptions): Promise<void> {
  // To end the sessions of a tenant's database before it is dropped.
  await sql`grant pg_signal_backend to ${sql(database.user)}`
  await sql`set role ${sql(database.user)}`
  await ensureTenantGroup(sql, service)
  await sql`reset role`
  // Before PostgreSQL 16 a member can become the group and give it a password: no login by it, and none to be left.
  const group = tenantGroupName(service)
  const changed = await sql`
    select from pg_authid where rolname = ${group} and (rolcanlogin or rolpassword is not null)`
  if (changed.length > 0) await sql`alter role ${sql(group)} nologin password null`
  const managed = await manageRoles(sql, service, database.user)
  if (managed.length > 0) onStep(`${database.user} may manage ${managed.length} role(s) of tenants again`)
}

function explain(error: unknown, { database, superuser }: BootstrapOptions): unknown {
  if (!(error instanceof CentralDatabaseUnavailable)) return error
  const cause = (error.cause as Error | undefined)?.message ?? error.message
  const what = `PostgreSQL at ${database.host}:${database.port} cannot be used as ${superuser.user}`
  if (isWithoutTls(error.cause)) return new ConfigurationInvalid(`${what}: ${cause}.`)
  return new ConfigurationInvalid(`${what} (${cause}): check DB_HOST, DB_PORT, INIT_SUPERUSER and INIT_PASSWORD.`)
}
