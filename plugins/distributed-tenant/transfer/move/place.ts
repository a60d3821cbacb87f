// Owns reaching one instance of the service as a transfer does: sessions in any of its databases beside the pools, by the
// service's own login.
import { TransferRefused } from '../../errors.js'
import { HOME, instanceDatabaseName } from '../../placement/instances.js'
import { createInstance, type Instance } from '../instance.js'
import type { MoveParts } from './parts.js'

/** @throws TRANSFER_REFUSED when this process was not told of it */
export function instanceAt({ instances, database, service }: MoveParts, name: string): Instance {
  const place = instances.find(one => one.name === name)
  if (!place) throw new TransferRefused(`DB_INSTANCES does not name ${name}: name it, then go on.`)
  const own = name === HOME ? database.database : instanceDatabaseName(service)
  return createInstance({ ...database, host: place.host, port: place.port, database: own })
}
