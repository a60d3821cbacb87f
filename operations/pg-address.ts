// The address of a PostgreSQL in the environment of its client programs, which look for the primary among several servers too.
import type { InstanceAddress } from '../plugins/distributed-tenant/config/instances.js'

export function addressIn(at: Pick<InstanceAddress, 'host' | 'port' | 'servers'>): NodeJS.ProcessEnv {
  const { host, port, servers = [{ host, port }] } = at
  return {
    PGHOST: servers.map(server => server.host).join(','),
    PGPORT: servers.map(server => server.port).join(','),
    ...(servers.length > 1 ? { PGTARGETSESSIONATTRS: 'primary' } : {}),
  }
}
