// The servers of a stack: the ones the environment gives, if it gives all of them, or ones started here.
// Given servers are never stopped by the stack; own ones are, together with their data.

import { natsAccounts } from '../events/index.js'
import type { Superuser } from './init.js'
import { perService, type ServiceName, serviceNames } from './names.js'
import { findServers } from './servers/find.js'
import type { NatsUser } from './servers/nats.js'
import { type Servers, startServers } from './servers/start.js'

export interface ServerSource {
  /** One sentence for the reader: which servers these are. */
  output: string
  databases: Record<ServiceName, { host: string; port: number }>
  superuser: Record<ServiceName, Superuser>
  nats: { url: string; services: Record<ServiceName, string> }
  redis: { url: string }
  own: Servers<ServiceName> | undefined
  stop(): Promise<void>
}

const hostVariables = perService(name => `${name.toUpperCase()}_DB_HOST`)

export const serverVariables = [...Object.values(hostVariables), 'NATS_URL', 'REDIS_URL']

/** `more`: NATS users beside the services' own, in the account of the stream. */
export async function obtainServers(
  env: NodeJS.ProcessEnv,
  durable: boolean,
  more: readonly NatsUser[] = [],
): Promise<ServerSource> {
  const set = serverVariables.filter(name => env[name])
  if (set.length === serverVariables.length) return givenServers(env)

  const { version } = findServers().postgres
  const own = await startServers({
    services: serviceNames,
    durable,
    natsAccounts: natsAccounts(serviceNames),
    natsUsers: more,
  })
  const missing = serverVariables.filter(name => !env[name])
  const ignored = set.length > 0 ? ` ${set.join(', ')} not used, because ${missing.join(', ')} is not set.` : ''
  return {
    output: `Servers started here: ${serviceNames.length} x PostgreSQL ${version}, NATS, Redis, on temporary data.${ignored}`,
    databases: perService(name => own.postgres[name]),
    superuser: perService(name => own.postgres[name]),
    nats: { url: own.nats.url, services: perService(name => own.nats.users[name]?.url as string) },
    redis: own.redis,
    own,
    stop: () => own.stop(),
  }
}

function givenServers(env: NodeJS.ProcessEnv): ServerSource {
  const password = env.DB_PASSWORD
  if (!password) {
    throw new Error(
      `${serverVariables.join(', ')} are set, so no server is started here; but DB_PASSWORD is not. ` +
        'Set DB_USERNAME (default postgres) and DB_PASSWORD to a superuser of these PostgreSQL instances.',
    )
  }
  const superuser = { user: env.DB_USERNAME ?? 'postgres', password }
  return {
    output: 'Servers given by the environment: none is started here.',
    databases: perService(name => address(env[hostVariables[name]] as string, env.DB_PORT, hostVariables[name])),
    superuser: perService(() => superuser),
    // One user for all, as it was given: its rights are its owner's business.
    nats: { url: env.NATS_URL as string, services: perService(() => env.NATS_URL as string) },
    redis: { url: env.REDIS_URL as string },
    own: undefined,
    async stop() {},
  }
}

function address(value: string, defaultPort = '5432', variable: string): { host: string; port: number } {
  const match = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(value)
  const port = Number(match?.[2] ?? defaultPort)
  if (!match?.[1] || !(port > 0 && port < 65_536)) {
    throw new Error(`${variable} is \`${value}\`, which is no host. Write it as \`host\` or \`host:port\`.`)
  }
  return { host: match[1].replace(/^\[|\]$/g, ''), port }
}
