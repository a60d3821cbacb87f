// The preparation of an instance that is not the home one for this release: checks its mark, creates our functions as the
// central database has them, and builds the template. Safe to repeat. An instance that is another service's stops the start.
// If an instance is down: it is reported, and only its own tenants are affected.

import { lockNames, lockTransaction } from '../../../postgres/advisory-locks.js'
import { type InstanceAddress, instanceDatabaseName } from '../config/instances.js'
import { parseInstanceMark } from '../databases/marks.js'
import { powerfulRoles, unmanagedRoles } from '../databases/roles.js'
import { refuseOldServer, type ServerVersion } from '../databases/server-version.js'
import { ConfigurationInvalid } from '../errors.js'
import type { QueryClient, ServiceName, SessionClient, SqlClient } from '../types.js'

const FUNCTION = 'prepare_tenant_role(text,text,text)'

/** The properties of an instance, from its catalogues. */
export interface AnchorFacts {
  readonly maxConnections: number
  readonly reserved: number
  /** Roles of tenants with more rights than work in their database needs. */
  readonly powerful: readonly string[]
  /** Roles of tenants that the service's role may not manage. */
  readonly unmanaged: readonly string[]
}

/** @throws CONFIGURATION_INVALID when it is another service's or too old, or `init` was not run for it */
export async function prepareAnchor(
  at: SessionClient,
  central: SqlClient,
  service: ServiceName,
  { name, host, port }: InstanceAddress,
): Promise<AnchorFacts> {
  const [row] = await at<
    (ServerVersion & { comment: string | null; user: string; maxConnections: number; reserved: number })[]
  >`
    select current_user::text as user, current_setting('server_version') as version, current_setting('server_version_num')::int / 10000 as major,
      (select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()) as comment,
      current_setting('max_connections')::int as "maxConnections",
      current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0) as reserved`
  const facts = row as NonNullable<typeof row>
  refuseOldServer(`the instance ${name} (${host}:${port})`, facts)
  const owner = parseInstanceMark(facts.comment)
  if (owner !== service) {
    throw new ConfigurationInvalid(
      `${instanceDatabaseName(service)} on the instance ${name} (${host}:${port}) ${owner === null ? 'carries no mark of ours' : `belongs to ${owner}`}: check DB_INSTANCES, or run \`distributed-tenant init --service ${service}\`.`,
    )
  }
  const wanted = await definitionOf(central)
  if (wanted !== (await definitionOf(at))) {
    await at.begin(async tx => {
      await lockTransaction(tx, lockNames.migrate)
      await tx.unsafe(`
        create table if not exists templates (
          name text collate "C" primary key,
          version integer not null,
          used_at timestamptz not null default now()
        )`)
      await tx.unsafe(wanted as string)
    })
  }
  const { maxConnections, reserved, user } = facts
  return {
    maxConnections,
    reserved,
    powerful: await powerfulRoles(at, service),
    unmanaged: await unmanagedRoles(at, service, user),
  }
}

async function definitionOf(sql: QueryClient): Promise<string | null> {
  const [row] = await sql<{ definition: string | null }[]>`
    select pg_get_functiondef(to_regprocedure(${FUNCTION})) as definition`
  return row?.definition ?? null
}
