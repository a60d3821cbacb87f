// The accounts of NATS as a file of nats-server's, and one more service in it. Passwords stay in the server's environment, so the file
// holds no secret. Invariant: a file that is not as this code writes it is refused and left as it is.
import { existsSync, writeFileSync } from 'node:fs'
import { natsAccounts } from '../../events/index.js'
import { readTextFile } from '../../files/text-file.js'
import { ConfigurationInvalid } from '../../plugins/distributed-tenant/errors.js'
import { accountsSection } from './nats-accounts.js'

export const passwordVariable = (name: string): string => `NATS_${name.toUpperCase()}_PASSWORD`

const HEAD = `# Accounts and users of NATS, for nats-server 2.9 and later. Made from events/permissions.ts: change it there.
# Passwords come from the environment; begin them with a letter, or the server may read a number:
#   NATS_OPERATOR_PASSWORD=… NATS_IDENTITY_PASSWORD=… NATS_EMPLOYEE_PASSWORD=… NATS_CORE_PASSWORD=… \\
#     nats-server -js -sd /data -c deploy/nats.conf
# compose.yaml gets a copy with passwords in it, made by deploy/secrets.sh. The lines for a service of your own:
# docs/events.md. With a JetStream domain, its name stands in place of the _ in $JS.ACK._.
`

/** One line for each subject, export and import. */
function print(value: unknown, indent = ''): string {
  const inner = `${indent}  `
  if (typeof value === 'string') return /^\$NATS_\w+$/.test(value) ? value : JSON.stringify(value)
  if (Array.isArray(value)) {
    return `[\n${value.map(one => `${inner}${isShort(one) ? onOneLine(one) : print(one, inner)}\n`).join('')}${indent}]`
  }
  if (typeof value !== 'object' || value === null) return String(value)
  const lines = Object.entries(value).map(([key, one]) => `${inner}${key}: ${print(one, inner)}\n`)
  return `{\n${lines.join('')}${indent}}`
}

const isShort = (value: unknown): boolean => typeof value === 'object' && value !== null && 'service' in value

function onOneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(onOneLine).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{ ${Object.entries(value)
    .map(([key, one]) => `${key}: ${onOneLine(one)}`)
    .join(', ')} }`
}

export const natsConf = (services: readonly string[]): string =>
  `${HEAD}accounts: ${print(accountsSection(natsAccounts(services), name => `$${passwordVariable(name)}`))}\n`

const CLUSTER_HEAD = `# One of three NATS servers of a cluster, for nats-server 2.10 and later; the accounts are those of nats.conf. Made from
# events/permissions.ts: change it there. The same file for each server; names and passwords come from its environment:
#   NATS_SERVER_NAME=nats-1 NATS_ROUTE_PASSWORD=… NATS_SYSTEM_PASSWORD=… NATS_OPERATOR_PASSWORD=… NATS_IDENTITY_PASSWORD=… … \\
#   NATS_ROUTES='["nats-route://route:…@nats-1:6222", "nats-route://route:…@nats-2:6222", "nats-route://route:…@nats-3:6222"]' \\
#     nats-server -c deploy/nats-cluster.conf
# NATS_ROUTES has the password of the routes in each address. The services get all three in NATS_URL, and identity NATS_STREAM_REPLICAS=3: docs/clusters.md.
server_name: $NATS_SERVER_NAME
port: 4222

# Probes, for this port alone inside your network. Started: /healthz. Ready: /healthz?js-server-only=true.
# Alive: /healthz?js-enabled-only=true, which a server without a quorum passes too: a restart would not help it.
http_port: 8222

jetstream: {
  store_dir: "/data"
  # Each acknowledged event is on the disk. By default it may be in memory for two minutes, and a loss of power takes it.
  # nats-server 2.9 does not know this line.
  sync_interval: always
}

cluster: {
  name: tenants
  port: 6222
  authorization: { user: "route", password: $NATS_ROUTE_PASSWORD }
  # The route to itself is ignored. Between machines that others can reach, add a tls block here and at the top.
  routes: $NATS_ROUTES
}

`

/** A server of a cluster, with a user of the system account: only that one can remove a server that is gone for good. */
export function natsClusterConf(services: readonly string[]): string {
  const system = { users: [{ user: 'system', password: '$NATS_SYSTEM_PASSWORD' }] }
  const accounts = accountsSection(natsAccounts(services), name => `$${passwordVariable(name)}`)
  return `${CLUSTER_HEAD}accounts: ${print({ $SYS: system, ...accounts })}\nsystem_account: "$SYS"\n`
}

/** Users of a file that are no service's. */
const OTHERS = ['operator', 'system']

/** The services that have a user in the text of a file. */
const servicesIn = (text: string): string[] =>
  [...text.matchAll(/^[ \t]+user: "([a-z0-9]+)"$/gm)]
    .map(([, user]) => user as string)
    .filter(user => !OTHERS.includes(user))

/**
 * The file at `path` with the accounts of `service` too; null: it has them. A file that is not there begins with `others`.
 * @throws CONFIGURATION_INVALID when it is not as this release writes it
 */
export function natsConfWith(path: string, service: string, others: readonly string[]): string | null {
  if (!existsSync(path)) return natsConf([...new Set([...others, service])])
  const text = readTextFile(path)
  const services = servicesIn(text)
  const form = [natsConf, natsClusterConf].find(written => written(services) === text)
  if (!form) {
    throw new ConfigurationInvalid(
      `${path} is not as this release writes it, so it was left as it is: write a new file, with REQUIRED_SERVICES naming all services, and merge the two.`,
    )
  }
  return services.includes(service) ? null : form([...services, service])
}

/** The URL with this user and password for each server; null: it names a user already. A password begins with a letter. */
export function natsUrlOf(url: string, user: string, secret: string): string | null {
  if (url.includes('@')) return null
  const withUser = (server: string): string =>
    server.trim().replace(/^([a-z]+:\/\/)?/, (_, scheme = 'nats://') => `${scheme}${user}:n${secret}@`)
  return url.split(',').map(withUser).join()
}

export function writeNatsConf(path: string, text: string): void {
  writeFileSync(path, text)
}
