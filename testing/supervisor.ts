// The supervisor of one PostgreSQL for tests, a program: makes a temporary folder with a server in it, reports its port and
// password in one line, and waits for the end of its standard input. Then it stops the server and removes the folder.
// Invariant: it outlives neither its parent nor a signal, and the server outlives neither.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { linksOf, type Programs } from './programs.js'
import type { Report } from './server-process.js'

const programs = JSON.parse(process.argv[2] as string) as Programs
let ending = false
let server: ChildProcess | null = null
let working: Promise<unknown> = Promise.resolve()

// PostgreSQL refuses to run as root, and may then run as another user, who must get through to its folder.
const folder = mkdtempSync(join(tmpdir(), 'distributed-tenant-test-'))
chmodSync(folder, 0o711)
const log = join(folder, 'log')
const data = join(folder, 'data')

process.stdin.on('end', end).on('error', end).resume()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
// The reader may be gone already: then the input ends too.
process.stdout.on('error', () => {})

working = start()
  .catch((error: Error): Report => ({ failure: error.message }))
  .then(report => process.stdout.write(`${JSON.stringify(report)}\n`))

async function end(): Promise<void> {
  if (ending) return
  ending = true
  // Immediately, without a checkpoint: the data goes with the folder.
  server?.kill('SIGQUIT')
  await working
  if (server && server.exitCode === null && server.signalCode === null) {
    const stopped = new Promise(resolve => server?.once('exit', resolve))
    server.kill('SIGQUIT')
    await Promise.race([
      stopped,
      sleep(5_000)
        .then(() => server?.kill('SIGKILL'))
        .then(() => stopped),
    ])
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  process.exit(0)
}

async function start(): Promise<Report> {
  const owner = ownerOfServer()
  const bin = usable(programs, owner !== undefined)
  const password = randomBytes(24).toString('hex')
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (owner) for (const path of [folder, passwordFile]) chownSync(path, owner.uid, owner.gid)
  const args = ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8']
  const code = await exit(run(join(bin, 'initdb'), [...args, '--locale=C', '--no-sync'], owner))
  rmSync(passwordFile, { force: true })
  if (code !== 0) throw new Error(`initdb failed: ${lastLines()}`)
  for (let attempt = 1; !ending; attempt++) {
    const port = await freePort()
    const settings = {
      port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: 200,
      shared_buffers: '32MB',
      fsync: 'off',
      full_page_writes: 'off',
      synchronous_commit: 'off',
      // In the data folder, which goes with the server.
      ...(process.platform !== 'win32' && { dynamic_shared_memory_type: 'mmap' }),
    }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    server = run(join(bin, 'postgres'), ['-D', data, ...flags], owner)
    if (await ready(server)) return { port, password }
    // Its port may have been taken in between.
    if (attempt === 3) throw new Error(`PostgreSQL does not start: ${lastLines()}`)
  }
  throw new Error('ended before it was ready')
}

/** Whether it takes connections; false when it has ended instead. */
async function ready(started: ChildProcess): Promise<boolean> {
  while (started.exitCode === null && started.signalCode === null) {
    // The postmaster writes its state there; pg_ctl waits by the same line.
    if (existsSync(join(data, 'postmaster.pid'))) {
      const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
      if (lines[0] === String(started.pid) && lines[7]?.trim() === 'ready') return true
    }
    await sleep(20)
  }
  return false
}

interface Owner {
  readonly uid: number
  readonly gid: number
}

/** As root: the user that PostgreSQL's package has made. */
function ownerOfServer(): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }))
  try {
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    throw new Error('PostgreSQL does not run as root, and there is no user `postgres` to run it as')
  }
}

/** An npm package is used where it lies, unless its libraries lack links or another user has to read it. */
function usable({ bin, native }: Programs, asOther: boolean): string {
  if (native === undefined) return bin
  const links = linksOf(native)
  if (!asOther && links.every(({ path }) => existsSync(join(native, path)))) return bin
  const copy = join(folder, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  for (const { path, target } of links) {
    const at = join(copy, path)
    if (existsSync(at)) continue
    if (dirname(path) !== dirname(target)) throw new Error(`the link ${path} leads to another folder`)
    symlinkSync(basename(target), at)
  }
  return join(copy, 'bin')
}

function run(command: string, args: string[], owner: Owner | undefined): ChildProcess {
  const output = openSync(log, 'a', 0o600)
  const child = spawn(command, args, { cwd: '/', stdio: ['ignore', output, output], ...owner })
  closeSync(output)
  child.on('error', () => {})
  return child
}

function exit(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => child.once('error', reject).once('exit', resolve))
}

function lastLines(): string {
  return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-5).join(' | ')
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => (typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port'))))
    })
  })
}
