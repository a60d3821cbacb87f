// A NATS server of our own: JetStream on file storage, users and passwords in a file only its owner can read.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NatsAccount } from '../../events/index.js'
import { accountsSection, rule } from '../../operations/init/nats-accounts.js'
import { processWatch, type Watch } from '../watch.js'
import { findServers } from './find.js'
import { makeFolder, randomPassword } from './folder.js'
import { onPort } from './ports.js'
import { answers } from './probe.js'
import { type Program, type ServerProcess, serverOf, startProcess } from './server-process.js'

/** Without the lists a user may do everything; an empty one allows nothing. */
export interface NatsUser {
  name: string
  publish?: readonly string[]
  subscribe?: readonly string[]
}

export interface NatsOptions {
  dir?: string
  name?: string
  port?: number
  /** In one account, unless `accounts` has the others. */
  users?: readonly NatsUser[]
  /** Accounts with users of their own; `users` then go into the first, which holds the stream. */
  accounts?: readonly NatsAccount[]
  /** One server of a cluster: the ports of the routes of all, its own first, and a password that its users have on all. */
  cluster?: { routes: readonly number[]; password: string } | undefined
  /** Paths of PEM files: clients must speak TLS. */
  tls?: { key: string; cert: string } | undefined
  watch?: Watch | undefined
}

export interface NatsServer extends ServerProcess {
  host: string
  port: number
  /** The first user's. */
  user: string
  password: string
  url: string
  users: Record<string, { password: string; url: string }>
  log: string
}

export async function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  const { name = 'nats', accounts = [], cluster, tls, watch = processWatch() } = options
  const more = options.users ?? (accounts.length > 0 ? [] : [{ name: 'operator' }])
  const users: readonly NatsUser[] = [...accounts.flatMap(account => account.users), ...more]
  const command = findServers().nats
  const folder = makeFolder(options.dir, watch)
  const data = join(folder.path, name)
  const config = join(folder.path, `${name}.conf`)
  const log = join(folder.path, `${name}.log`)
  const passwords = new Map(users.map(user => [user.name, cluster?.password ?? randomPassword()]))
  mkdirSync(data, { recursive: true, mode: 0o700 })
  try {
    const { process, port } = await onPort(options.port, async port => {
      // The server sends its name to each client: this shows that it is this server and not another one on that port.
      const serverName = `${name}-${randomPassword().slice(0, 12)}`
      const text = configuration({ port, serverName, data, users: more, accounts, passwords, cluster, tls })
      writeFileSync(config, text, { mode: 0o600 })
      const program: Program = {
        name: 'NATS',
        kind: 'nats',
        command,
        args: ['--config', config],
        folder: folder.path,
        log,
        port,
        signals: [['SIGTERM', 3000]],
        ready: () => answers(port, '', info => info.startsWith('INFO ') && info.includes(`"${serverName}"`)),
        watch,
      }
      return { process: await startProcess(program), port }
    })
    const urlOf = (user: string) => `${tls ? 'tls' : 'nats'}://${user}:${passwords.get(user)}@127.0.0.1:${port}`
    const known = users.map(user => [user.name, { password: passwords.get(user.name) ?? '', url: urlOf(user.name) }])
    const [first] = users
    if (!first) throw new Error('startNats needs at least one user: leave `users` out, or name one.')
    return serverOf(process, folder, {
      host: '127.0.0.1',
      port,
      user: first.name,
      password: passwords.get(first.name) ?? '',
      url: urlOf(first.name),
      users: Object.fromEntries(known),
      log,
    })
  } catch (error) {
    folder.remove()
    throw error
  }
}

function configuration(how: {
  port: number
  serverName: string
  data: string
  users: readonly NatsUser[]
  accounts: readonly NatsAccount[]
  passwords: Map<string, string>
  cluster: NatsOptions['cluster']
  tls: NatsOptions['tls']
}): string {
  const users = how.users.map(user => ({
    user: user.name,
    password: how.passwords.get(user.name),
    ...((user.publish || user.subscribe) && {
      permissions: {
        ...(user.publish && { publish: rule(user.publish) }),
        ...(user.subscribe && { subscribe: rule(user.subscribe) }),
      },
    }),
  }))
  const withStream = how.accounts[0]?.name
  const accounts = accountsSection(how.accounts, name => how.passwords.get(name) ?? '')
  // The server's own format accepts JSON.
  return JSON.stringify(
    {
      host: '127.0.0.1',
      port: how.port,
      server_name: how.serverName,
      jetstream: { store_dir: how.data },
      ...(withStream === undefined
        ? { authorization: { users } }
        : { accounts: { ...accounts, [withStream]: { ...accounts[withStream], users } } }),
      ...(how.cluster && {
        cluster: {
          name: 'tenants',
          host: '127.0.0.1',
          port: how.cluster.routes[0],
          routes: how.cluster.routes.map(port => `nats-route://127.0.0.1:${port}`),
        },
      }),
      ...(how.tls && { tls: { cert_file: how.tls.cert, key_file: how.tls.key } }),
    },
    null,
    2,
  )
}
