// Where the connections of one service process go, and the settings of their sessions: to the central database, to a pooler or an
// instance for tenants, and for provisioning.

import { createArrayTypes } from '../../../postgres/connections/array-types.js'
import type { Connect } from '../../../postgres/connections/connection.js'
import { openConnection } from '../../../postgres/connections/open-connection.js'
import { createPooledStatements } from '../../../postgres/connections/pooled-statements.js'
import { connectorOf } from '../../../postgres/connections/primary.js'
import { type Target, tlsOptions } from '../../../postgres/connections/target.js'
import { DEFAULT_INSTANCE } from '../config/instances.js'
import type { Settings } from '../config/settings.js'
import { TenantDatabaseUnavailable } from '../errors.js'
import type { Place } from '../instances/open-where-placed.js'

export type Destination = Omit<Target, 'database'> & { readonly connect: Connect }

export interface Targets {
  /** The instance of the central database, as the service's own role. */
  readonly direct: Destination
  /** For tenants' connections: the pooler, where there is one. */
  readonly pooled: Destination
  readonly provision: Destination
  /** The address and TLS of each instance, over the other settings of a connection. */
  readonly places: ReadonlyMap<string, Place>
  /** @throws TENANT_DATABASE_UNAVAILABLE when the instance is not configured in this process */
  placeOf(instance: string): Place
}

/** @param note is called when what the pooler keeps is known, and differs from before */
export function createTargets(settings: Settings, note: (message: string) => void): Targets {
  const { database, service } = settings
  const direct = {
    host: database.host,
    port: database.port,
    user: database.user,
    password: database.password,
    tls: tlsOptions(database),
    connect: connectorOf(database),
    applicationName: `${service}-service`,
    statementTimeout: settings.queryTimeout,
    arrayTypes: createArrayTypes(),
  }
  const pooled = settings.tenantDatabase
    ? {
        ...direct,
        ...settings.tenantDatabase,
        connect: openConnection,
        pooler: createPooledStatements(keeps => note(noteOf(keeps))),
        applicationName: `${service}-service`,
      }
    : direct
  const places = new Map(
    settings.instances.map(({ name, host, port }) => [
      name,
      name === DEFAULT_INSTANCE
        ? { host, port, tls: direct.tls, connect: direct.connect }
        : { host, port, tls: tlsOptions({ ...database, host, port }), connect: openConnection },
    ]),
  )
  const placeOf = (instance: string) => {
    const place = places.get(instance)
    // Placed there by a process with that instance in its configuration.
    if (!place) throw new TenantDatabaseUnavailable()
    return place
  }
  const central = { ...direct, isolation: 'read committed' as const }
  const provision = {
    ...central,
    statementTimeout: 0,
    applicationName: `${service}-provisioning`,
    // Its statements are ours, and read no arrays of types that a tenant or a service has made.
    arrayTypes: createArrayTypes({ ofDatabases: false }),
  }
  return { direct: central, pooled, provision, places, placeOf }
}

const noteOf = (keeps: boolean): string =>
  keeps
    ? 'the pooler of TENANT_DB_HOST keeps prepared statements: tenants’ statements are parsed once in a session'
    : 'the pooler of TENANT_DB_HOST keeps no prepared statements: each statement is parsed anew. PgBouncer keeps them from 1.21 on, with max_prepared_statements above 0'
