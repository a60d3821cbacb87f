// A PostgreSQL instance of our own in a fresh folder, on TCP only, scram-sha-256 for everyone, superuser `postgres` with a
// random password.
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { look } from '../processes.js'
import { processWatch, type Watch } from '../watch.js'
import { findServers } from './find.js'
import { makeFolder, randomPassword } from './folder.js'
import { onPort } from './ports.js'
import { copyCluster, initialise, readTemplate, serverOwner } from './postgres-cluster.js'
import { type Program, type ServerProcess, serverOf, startProcess } from './server-process.js'

export interface PostgresOptions {
  /** Where its data and log go; without it, a temporary folder that stop() removes. */
  dir?: string
  name?: string
  port?: number
  password?: string
  /** Where initdb and postgres are; default wherever this machine has them. */
  bin?: string | undefined
  settings?: Record<string, string | number>
  /** false (tests) trades safety against power loss for speed; killing the process loses nothing either way. */
  durable?: boolean
  /** The data is in `dir` already, and is used as it is. */
  existing?: boolean
  watch?: Watch | undefined
}

export interface PostgresServer extends ServerProcess {
  host: string
  port: number
  user: string
  password: string
  dir: string
  log: string
}

// Not synchronous_commit: without it a killed server forgets commits that it has confirmed, as its own memory held them.
const quick = { fsync: 'off', full_page_writes: 'off' }

export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const { name = 'postgres', durable = false, watch = processWatch() } = options
  const bin = options.bin ?? findServers().postgres.bin
  const owner = serverOwner()
  const folder = makeFolder(options.dir, watch)
  const data = join(folder.path, name)
  const log = join(folder.path, `${name}.log`)
  const made = durable ? null : readTemplate()
  const template = made?.bin === bin ? made : null
  const password = options.password ?? template?.password ?? randomPassword()
  try {
    const cluster = { data, log, owner, watch }
    if (options.existing) {
      // As another server, or initdb by hand, has left it.
    } else if (template?.password === password) await copyCluster(template, cluster)
    else await initialise({ ...cluster, bin, password, durable })
    const server = await onPort(options.port, port => {
      const settings = {
        port,
        listen_addresses: '127.0.0.1',
        unix_socket_directories: '',
        max_connections: 200,
        // For moves of tenants while they are written to.
        wal_level: 'logical',
        shared_buffers: '64MB',
        // In the data folder, which goes with the instance: a killed server would leave its segment in /dev/shm for ever.
        dynamic_shared_memory_type: 'mmap',
        ...(durable ? {} : quick),
        ...options.settings,
      }
      const program: Program = {
        name: `PostgreSQL (${name})`,
        kind: 'postgres',
        command: join(bin, 'postgres'),
        args: ['-D', data, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
        folder: folder.path,
        log,
        port,
        owner,
        // Fast (rolls back what is open), then immediate (recovers at the next start).
        signals: [
          ['SIGINT', 8000],
          ['SIGQUIT', 3000],
        ],
        ready: async pid => isReady(data, pid),
        beforeStart: () => removeStaleLock(data),
        watch,
      }
      return startProcess(program).then(process => ({ process, port }))
    })
    const { process } = server
    return serverOf(process, folder, {
      host: '127.0.0.1',
      port: server.port,
      user: 'postgres',
      password,
      dir: data,
      log,
    })
  } catch (error) {
    folder.remove()
    throw error
  }
}

/** The postmaster writes its process number and state into this file; pg_ctl waits by the same lines. */
function isReady(data: string, pid: number): boolean {
  const lines = lockFile(data)
  return lines[0] === String(pid) && (lines[7]?.trim() === 'ready' || lines[7]?.trim() === 'standby')
}

/** A killed postmaster leaves its file, and refuses to start if any process happens to have that number now. */
function removeStaleLock(data: string): void {
  const pid = Number(lockFile(data)[0])
  if (pid && !look(pid)) rmSync(join(data, 'postmaster.pid'), { force: true })
}

function lockFile(data: string): string[] {
  try {
    return readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return []
  }
}
