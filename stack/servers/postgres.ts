// A PostgreSQL instance of our own: initialised in a fresh folder, on TCP only, scram-sha-256 for everyone, superuser
// `postgres` with a random password. As root it runs as the user `postgres`, because PostgreSQL refuses to run as root.
import { execFileSync, spawn } from 'node:child_process'
import { chownSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { look } from '../processes.js'
import { processWatch, type Watch } from '../watch.js'
import { findServers } from './find.js'
import { makeFolder, randomPassword } from './folder.js'
import { onPort } from './ports.js'
import { logTail, type Program, type ServerProcess, startProcess } from './server-process.js'

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

type Owner = { uid: number; gid: number }

// Not synchronous_commit: without it a killed server forgets commits that it has confirmed, as its own memory held them.
const quick = { fsync: 'off', full_page_writes: 'off' }

export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const { name = 'postgres', password = randomPassword(), durable = false, watch = processWatch() } = options
  const bin = options.bin ?? findServers().postgres.bin
  const owner = serverOwner()
  const folder = makeFolder(options.dir, watch)
  const data = join(folder.path, name)
  const log = join(folder.path, `${name}.log`)
  try {
    await initialise({ bin, data, log, password, durable, owner, watch })
    const server = await onPort(options.port, port => {
      const settings = {
        port,
        listen_addresses: '127.0.0.1',
        unix_socket_directories: '',
        max_connections: 200,
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
        ready: async pid => saysReady(data, pid),
        beforeStart: () => removeStaleLock(data),
        watch,
      }
      return startProcess(program).then(process => ({ process, port }))
    })
    const { process } = server
    return {
      ...process,
      host: '127.0.0.1',
      port: server.port,
      user: 'postgres',
      password,
      dir: data,
      log,
      get pid() {
        return process.pid
      },
      async stop() {
        await process.stop()
        folder.remove()
      },
    }
  } catch (error) {
    folder.remove()
    throw error
  }
}

async function initialise(how: {
  bin: string
  data: string
  log: string
  password: string
  durable: boolean
  owner: Owner | undefined
  watch: Watch
}): Promise<void> {
  const { bin, data, log, owner, watch } = how
  const passwordFile = `${data}.password`
  mkdirSync(data, { mode: 0o700 })
  writeFileSync(passwordFile, `${how.password}\n`, { mode: 0o600 })
  if (owner) for (const path of [data, passwordFile]) chownSync(path, owner.uid, owner.gid)
  try {
    const args = ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
    args.push('-E', 'UTF8', '--locale=C', ...(how.durable ? [] : ['--no-sync']))
    const output = openSync(log, 'a', 0o600)
    const child = spawn(join(bin, 'initdb'), args, {
      cwd: '/',
      detached: true,
      stdio: ['ignore', output, output],
      env: { PATH: process.env.PATH },
      ...owner,
    })
    closeSync(output)
    if (child.pid) watch.group(child.pid, 'postgres')
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', resolve)
    })
    if (child.pid) watch.gone(child.pid)
    if (code !== 0) throw new Error(`initdb failed with exit code ${code}. The end of its log:\n${logTail(log)}`)
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

/** The postmaster writes its process number and state into this file; pg_ctl waits by the same lines. */
function saysReady(data: string, pid: number): boolean {
  const lines = lockFile(data)
  return lines[0] === String(pid) && lines[7]?.trim() === 'ready'
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

function serverOwner(): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }))
  try {
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    throw new Error(
      'PostgreSQL does not run as root and this machine has no user `postgres` to run it as. ' +
        'Install the package postgresql, which makes that user, or run this as another user.',
    )
  }
}
