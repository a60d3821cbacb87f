// The addresses of one PostgreSQL of several servers, one of which is the primary at a time: `DB_HOST=a,b,c`, with one port for
// all or one for each. Pure.
import type { ServerAddress } from '../../../postgres/address.js'
import { ConfigurationInvalid } from '../errors.js'

const ONE = '([1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-5])'
export const PORTS_PATTERN = `^${ONE}(,${ONE})*$`

/** At least one. @throws CONFIGURATION_INVALID naming DB_HOST or DB_PORT and the cure */
export function parseServers(hosts: string, ports: string | number): readonly [ServerAddress, ...ServerAddress[]] {
  const names = hosts.split(',').map(host => host.trim())
  const numbers = String(ports).split(',')
  if (names.some(host => host === '')) {
    throw new ConfigurationInvalid('DB_HOST has an empty name between its commas: write it like db1,db2,db3.')
  }
  if (!new RegExp(PORTS_PATTERN).test(String(ports))) {
    throw new ConfigurationInvalid('DB_PORT is not usable: it must be a port from 1 to 65535, or one for each host.')
  }
  if (numbers.length !== 1 && numbers.length !== names.length) {
    throw new ConfigurationInvalid(
      `DB_HOST names ${names.length} servers and DB_PORT ${numbers.length} ports: give one port for all, or one for each.`,
    )
  }
  const servers = names.map((host, at) => ({ host, port: Number(numbers[at] ?? numbers[0]) }))
  return servers as unknown as [ServerAddress, ...ServerAddress[]]
}

/** The parts of an address: the first server, and all of them where there are several. */
export function addressOf(
  hosts: string,
  ports: string | number,
): ServerAddress & { readonly servers?: readonly ServerAddress[] } {
  const servers = parseServers(hosts, ports)
  return servers.length === 1 ? servers[0] : { ...servers[0], servers }
}
