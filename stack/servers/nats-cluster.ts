// Three NATS servers of our own as one cluster, `nats-1` to `nats-3`, with the same users on each.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { makeFolder } from './folder.js'
import { type NatsServer, type NatsUser, startNats } from './nats.js'
import { freePort } from './ports.js'

export interface NatsCluster {
  readonly servers: readonly NatsServer[]
  /** All servers, as that user. */
  url(user: string): string
  /** By the name that a stream's `cluster.leader` has, which begins with that of the server. */
  named(leader: string): NatsServer
  /** Ends the servers that still run, and removes the data. */
  stop(): Promise<void>
}

const NAMES = ['nats-1', 'nats-2', 'nats-3']

export async function startNatsCluster(users: readonly NatsUser[]): Promise<NatsCluster> {
  const folder = makeFolder()
  const password = `n${randomBytes(12).toString('hex')}`
  const ports = await Promise.all(NAMES.map(() => freePort()))
  const starts = await Promise.allSettled(
    NAMES.map((name, at) => {
      const port = ports[at] as number
      const routes = [port, ...ports.filter(other => other !== port)]
      return startNats({ dir: join(folder.path, name), name, users, cluster: { routes, password } })
    }),
  )
  const servers = starts.flatMap(start => (start.status === 'fulfilled' ? [start.value] : []))
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map(server => server.stop()))
    folder.remove()
  }
  const failed = starts.find(start => start.status === 'rejected')
  if (failed) {
    await stop()
    throw failed.reason
  }
  return {
    servers,
    url: user => servers.map(server => server.users[user]?.url).join(),
    named(leader) {
      const found = servers[NAMES.findIndex(name => leader.startsWith(`${name}-`))]
      if (!found) throw new Error(`no server is named ${leader}`)
      return found
    },
    stop,
  }
}
