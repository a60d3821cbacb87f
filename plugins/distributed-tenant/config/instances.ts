// The names and addresses of a service's PostgreSQL instances. Pure. Invariants: `main` is always there and always first, the
// instance of the central database; the others have the same login, and hold only tenants' databases.

import type { ServerAddress } from '../../../postgres/address.js'
import { ConfigurationInvalid } from '../errors.js'
import type { ServiceName } from '../types.js'

/** The instance of the central database: a tenant is there unless its registry row says otherwise. */
export const DEFAULT_INSTANCE = 'main'

/** The address of an instance. Login, password and TLS are those of the home instance. */
export interface InstanceAddress {
  readonly name: string
  readonly host: string
  readonly port: number
  /** Of the home instance, where it has several. */
  readonly servers?: readonly ServerAddress[] | undefined
}

export const INSTANCES_PATTERN = '^[a-z][a-z0-9]{0,14}=[^\\s,=]+(,[a-z][a-z0-9]{0,14}=[^\\s,=]+)*$'

const NAME = /^[a-z][a-z0-9]{0,14}$/
/** A host name or an address, an IPv6 one in brackets, and a port unless it is PostgreSQL's own. */
const ADDRESS = /^(\[[0-9a-fA-F:.]+\]|[^\s,=:[\]]+)(?::(\d{1,5}))?$/

/** Reads `b=db2.internal:5432,c=[fd00::3]`. @throws CONFIGURATION_INVALID naming DB_INSTANCES and the cure */
export function parseInstances(text: string): Record<string, { host: string; port: number }> {
  const found: Record<string, { host: string; port: number }> = {}
  for (const part of text.split(',')) {
    const at = part.indexOf('=')
    const name = part.slice(0, at)
    const [, host, port = '5432'] = ADDRESS.exec(part.slice(at + 1)) ?? []
    if (at < 1 || !host) throw refused(`${part} is no name=host:port`)
    if (name in found) throw refused(`${name} is there twice`)
    found[name] = { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
  }
  return found
}

/** All instances of a service, home first. @throws CONFIGURATION_INVALID */
export function instancesOf(
  home: Pick<InstanceAddress, 'host' | 'port' | 'servers'>,
  others: Readonly<Record<string, { readonly host: string; readonly port?: number | undefined }>>,
): readonly InstanceAddress[] {
  const instances: InstanceAddress[] = [
    { name: DEFAULT_INSTANCE, host: home.host, port: home.port, ...(home.servers && { servers: home.servers }) },
  ]
  for (const [name, { host, port = 5432 }] of Object.entries(others)) {
    if (!NAME.test(name))
      throw refused(`the name ${name} is not usable: 1 to 15 of a-z and 0-9, beginning with a letter`)
    if (name === DEFAULT_INSTANCE)
      throw refused(`${DEFAULT_INSTANCE} is the instance of DB_HOST and is not named there`)
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw refused(`${name} has no port from 1 to 65535`)
    const same = instances.find(one => (one.servers ?? [one]).some(its => its.host === host && its.port === port))
    if (same) throw refused(`${name} and ${same.name} are the same server, ${host}:${port}`)
    instances.push({ name, host, port })
  }
  return instances
}

const refused = (why: string): Error =>
  new ConfigurationInvalid(`DB_INSTANCES is not usable (${why}): write it like b=db2.internal:5432,c=db3.internal.`)

/** The database that a service's role logs in to on an instance that is not its home: it holds our functions and no data. */
export const instanceDatabaseName = (service: ServiceName): string => `${service}_instance`
