// All servers of one stack on this machine: one PostgreSQL instance per service, NATS and Redis, in one temporary folder.
// Started side by side; if one fails the others are taken down again. stop() goes NATS, Redis, PostgreSQL, then the
// folder, and may be called twice. A stopped or killed single server can be brought back with its own restart().
import type { NatsAccount } from '../../events/index.js'
import { processWatch, type Watch } from '../watch.js'
import { findServers } from './find.js'
import { type Folder, makeFolder } from './folder.js'
import { type NatsServer, type NatsUser, startNats } from './nats.js'
import { type PostgresServer, startPostgres } from './postgres.js'
import { type RedisServer, startRedis } from './redis.js'

export interface ServersOptions<Name extends string> {
  services: readonly Name[]
  ports?: { postgres?: Partial<Record<Name, number>>; nats?: number; redis?: number }
  /** false (the default, for tests) gives up safety against power loss for speed. */
  durable?: boolean
  settings?: Record<string, string | number>
  /** Where the programs of one instance are, when it is of another version than the others. */
  bins?: Partial<Record<Name, string>>
  natsAccounts?: readonly NatsAccount[]
  /** Beside those of the accounts, in the account of the stream; without accounts: all. */
  natsUsers?: readonly NatsUser[]
  dir?: string
  watch?: Watch
}

export interface Servers<Name extends string = string> {
  postgres: Record<Name, PostgresServer>
  nats: NatsServer
  redis: RedisServer
  dir: string
  stop(): Promise<void>
}

export async function startServers<Name extends string>(options: ServersOptions<Name>): Promise<Servers<Name>> {
  findServers()
  const { services, ports, durable = false, settings, watch = processWatch() } = options
  const folder = makeFolder(options.dir, watch)
  const dir = folder.path

  const instances = services.map(name =>
    startPostgres({
      dir,
      name: `postgres-${name}`,
      durable,
      watch,
      ...given({ port: ports?.postgres?.[name], settings, bin: options.bins?.[name] }),
    }),
  )
  const nats = startNats({
    dir,
    watch,
    ...given({ port: ports?.nats, users: options.natsUsers, accounts: options.natsAccounts }),
  })
  const redis = startRedis({ dir, watch, ...given({ port: ports?.redis }) })

  const outcomes = await Promise.allSettled([nats, redis, ...instances])
  const started = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const failed = outcomes.find(outcome => outcome.status === 'rejected')
  if (failed) {
    await stopAll(started, folder)
    throw failed.reason
  }

  const postgres = {} as Record<Name, PostgresServer>
  for (const [index, name] of services.entries()) postgres[name] = (await instances[index]) as PostgresServer
  let stopping: Promise<void> | undefined
  return {
    postgres,
    nats: await nats,
    redis: await redis,
    dir,
    stop() {
      stopping ??= stopAll(started, folder)
      return stopping
    },
  }
}

/** In the order NATS, Redis, PostgreSQL: servers that others store to go last. One that fails stops no other. */
async function stopAll(started: (NatsServer | RedisServer | PostgresServer)[], folder: Folder): Promise<void> {
  const errors: unknown[] = []
  const stop = (server: { stop(): Promise<void> }) => server.stop().catch(error => errors.push(error))
  const instances = started.filter(server => 'dir' in server)
  for (const server of started) if (!('dir' in server)) await stop(server)
  await Promise.all(instances.map(stop))
  folder.remove()
  if (errors.length > 0) throw errors[0]
}

/** Leaves out what is undefined: an option that is present means something. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never
}
