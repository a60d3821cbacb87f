// The servers of a stack: the ones the environment gives, if it gives all of them, or ones started here.
// Given servers are never stopped by the stack; own ones are, together with their data.

import { natsAccounts } from '../events/index.js'
import type { Superuser } from './init.js'
import { type PerService, perEach, serviceNames } from './names.js'
import { findServers } from './servers/find.js'
import type { NatsUser } from './servers/nats.js'
import type { PostgresServer } from './servers/postgres.js'
import { type Servers, startServers } from './servers/start.js'

export interface ServerSource {
  /** One sentence for the reader: which servers these are. */
  output: string
  databases: PerService<{ host: string; port: number }>
  superuser: PerService<Superuser>
  nats: { url: string; services: PerService<string> }
  redis: { url: string }
  own: StackServers | undefined
  stop(): Promise<void>
}

/** One PostgreSQL instance for each of the three services, and for those of the user's own. */
export type StackServers = Omit<Servers, 'postgres'> & { postgres: PerService<PostgresServer> }

const hostVariable = (name: string): string => `${name.toUpperCase()}_DB_HOST`

export const serverVariables = [...serviceNames.map(hostVariable), 'NATS_URL', 'REDIS_URL']

/** `more`: NATS users beside the services' own, in the account of the stream. `others`: the names of the user's own services. */
export async function obtainServers(
  env: NodeJS.ProcessEnv,
  durable: boolean,
  more: readonly NatsUser[] = [],
  others: readonly string[] = [],
): Promise<ServerSource> {
  const serverVariables = [...[...serviceNames, ...others].map(hostVariable), 'NATS_URL', 'REDIS_URL']
  const set = serverVariables.filter(name => env[name])
  if (set.length === serverVariables.length) return givenServers(env, serverVariables, others)

  const { version } = findServers().postgres
  const services: readonly string[] = [...serviceNames, ...others]
  const natsUsers = natsAccounts(services)
  const own = (await startServers({ services, durable, natsAccounts: natsUsers, natsUsers: more })) as StackServers
  const instanceOf = (name: string) => own.postgres[name] as PostgresServer
  const missing = serverVariables.filter(name => !env[name])
  const ignored = set.length > 0 ? ` ${set.join(', ')} not used, because ${missing.join(', ')} is not set.` : ''
  return {
    output: `Servers started here: ${services.length} x PostgreSQL ${version}, NATS, Redis, on temporary data.${ignored}`,
    databases: perEach(others, instanceOf),
    superuser: perEach(others, instanceOf),
    nats: { url: own.nats.url, services: perEach(others, name => own.nats.users[name]?.url as string) },
    redis: own.redis,
    own,
    stop: () => own.stop(),
  }
}

function givenServers(
  env: NodeJS.ProcessEnv,
  serverVariables: readonly string[],
  others: readonly string[],
): ServerSource {
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
    databases: perEach(others, name => address(env[hostVariable(name)] as string, env.DB_PORT, hostVariable(name))),
    superuser: perEach(others, () => superuser),
    // One user for all, as it was given: its rights are its owner's business.
    nats: { url: env.NATS_URL as string, services: perEach(others, () => env.NATS_URL as string) },
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
