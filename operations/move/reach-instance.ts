// Connections of a transfer to one instance of the service: sessions in any of its databases beside the pools, by the
// service's own login. An unreachable instance is named in the error, as a move has two of them.

import { DEFAULT_INSTANCE, instanceDatabaseName } from '../../plugins/distributed-tenant/config/instances.js'
import { TenantDatabaseUnavailable, TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { withCause } from '../../postgres/connections/failures.js'
import { createInstance, type Instance } from '../copying/external-instance.js'
import type { MoveParts } from './parts.js'

/** @throws TRANSFER_REFUSED when this process has no settings of it */
export function instanceAt({ instances, database, service }: MoveParts, name: string): Instance {
  const place = instances.find(one => one.name === name)
  if (!place) throw new TransferRefused(`DB_INSTANCES does not name ${name}: name it, then go on.`)
  const own = name === DEFAULT_INSTANCE ? database.database : instanceDatabaseName(service)
  return createInstance({ ...database, host: place.host, port: place.port, servers: place.servers, database: own })
}

/** The same parts; an error of connecting names the instance and the cure. */
export function namingInstances(parts: MoveParts): MoveParts {
  const { service, instances, sessionAt, withDirectConnection } = parts
  const { code: unavailable } = new TenantDatabaseUnavailable()

  async function named<T>(name: string, work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      const { code, cause } = error as { code?: unknown; cause?: { message?: string } }
      const place = instances.find(one => one.name === name)
      if (code !== unavailable || !place) throw error
      const failed = new TransferFailed(
        `The instance ${name} of ${service} (${place.host}:${place.port}) cannot be used (${cause?.message}): check that it runs, that DB_INSTANCES has its address, and that \`distributed-tenant init --service ${service}\` was run for it.`,
      )
      throw withCause(failed, cause)
    }
  }

  return {
    ...parts,
    sessionAt: name => fn => named(name, sessionAt(name)(fn)),
    withDirectConnection: (database, fn, name = DEFAULT_INSTANCE) =>
      named(name, withDirectConnection(database, fn, name)),
  }
}
