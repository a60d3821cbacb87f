// A PgBouncer of our own in transaction mode: one database per tenant by wildcard, each login held to the budget,
// scram-sha-256 on both sides. The newest that is found; from 1.21 on it follows prepared statements. Started as the user postgres where we are root, since it refuses to run as root.
import { execFileSync } from 'node:child_process'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findPrograms } from '../stack/servers/find.js'
import { onPort } from '../stack/servers/ports.js'
import { answers } from '../stack/servers/probe.js'
import { startProcess } from '../stack/servers/server-process.js'
import type { Login } from './arm.js'

export interface Pooler {
  readonly login: Login
  readonly version: string
  /** It follows prepared statements. */
  readonly prepares: boolean
  stop(): Promise<void>
}

/** Null where the machine has none: its cases are then left out, and the report says so. */
export async function startPooler(
  server: Login,
  dir: string,
  budget: number,
  /** Lines of its `auth_file`. */
  list: readonly string[] = [`"${server.user}" "${server.password}"`],
  /** Further lines of its settings. */
  more: readonly string[] = [],
): Promise<Pooler | null> {
  const newest = newestPooler()
  if (!newest) return null
  const { command, version, prepares } = newest
  const owner = process.getuid?.() === 0 ? { uid: id('-u'), gid: id('-g') } : undefined
  const config = join(dir, 'pgbouncer.ini')
  const users = join(dir, 'pgbouncer.users')
  writeFileSync(users, `${list.join('\n')}\n`, { mode: 0o600 })
  const { process: running, port } = await onPort(undefined, async port => {
    writeFileSync(config, [...settings(server, port, users, budget, prepares), ...more, ''].join('\n'), { mode: 0o600 })
    if (owner) for (const path of [config, users]) chownSync(path, owner.uid, owner.gid)
    const process = await startProcess({
      name: 'PgBouncer',
      kind: 'nats',
      command,
      args: ['-q', config],
      folder: '/',
      log: join(dir, 'pgbouncer.log'),
      port,
      owner,
      signals: [['SIGINT', 1000]],
      // The start of a login, which a pooler that serves answers with a challenge or an error.
      ready: () => answers(port, '\0\0\0\x10\0\x03\0\0user\0x\0\0', answer => /^[RE]/.test(answer)),
    })
    return { process, port }
  })
  return { login: { ...server, port }, version, prepares, stop: () => running.stop() }
}

/** Statements that it keeps prepared in each of its connections; a client's own count as one wherever it is prepared. */
export const PREPARED_STATEMENTS = 200

/** The first release with `max_prepared_statements`. */
const FOLLOWS = [1, 21]

function newestPooler(): { command: string; version: string; prepares: boolean } | null {
  const found = findPrograms('pgbouncer').map(command => {
    const [version = ''] = execFileSync(command, ['--version'], { encoding: 'utf8' }).split('\n')
    const [major = 0, minor = 0] = (/\d+\.\d+/.exec(version)?.[0] ?? '').split('.').map(Number)
    return { command, version, number: [major, minor] as const }
  })
  const [newest] = found.sort((a, b) => b.number[0] - a.number[0] || b.number[1] - a.number[1])
  if (!newest) return null
  const [major, minor] = newest.number
  return { ...newest, prepares: major > (FOLLOWS[0] as number) || minor >= (FOLLOWS[1] as number) }
}

function settings(server: Login, port: number, users: string, budget: number, prepares: boolean): string[] {
  return `[databases]
* = host=${server.host} port=${server.port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
max_client_conn = 15000
default_pool_size = 10
max_user_connections = ${budget}
${prepares ? `max_prepared_statements = ${PREPARED_STATEMENTS}` : ''}
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0`.split('\n')
}

const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }))
