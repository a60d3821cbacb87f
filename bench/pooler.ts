// A PgBouncer of our own in transaction mode: one database per tenant by wildcard, each login held to the budget,
// scram-sha-256 on both sides. Started as the user postgres where we are root, since it refuses to run as root.
import { execFileSync } from 'node:child_process'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram } from '../stack/servers/find.js'
import { onPort } from '../stack/servers/ports.js'
import { answers } from '../stack/servers/probe.js'
import { startProcess } from '../stack/servers/server-process.js'
import type { Login } from './arm.js'

export interface Pooler {
  readonly login: Login
  readonly version: string
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
  const command = findProgram('pgbouncer')
  if (!command) return null
  const owner = process.getuid?.() === 0 ? { uid: id('-u'), gid: id('-g') } : undefined
  const config = join(dir, 'pgbouncer.ini')
  const users = join(dir, 'pgbouncer.users')
  writeFileSync(users, `${list.join('\n')}\n`, { mode: 0o600 })
  const { process: running, port } = await onPort(undefined, async port => {
    writeFileSync(config, [...settings(server, port, users, budget), ...more, ''].join('\n'), { mode: 0o600 })
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
  const [version = 'unknown'] = execFileSync(command, ['--version'], { encoding: 'utf8' }).split('\n')
  return { login: { ...server, port }, version, stop: () => running.stop() }
}

function settings(server: Login, port: number, users: string, budget: number): string[] {
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
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0`.split('\n')
}

const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }))
