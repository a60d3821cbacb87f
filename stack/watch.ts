// The launcher's end of the watchdog: registers the stack's processes and folders over a pipe.
// One per process, started with the first registration. It never keeps the process alive, and when the pipe closes with
// something still registered, whatever the reason, the watchdog ends and removes that. A lost watchdog is started again.
import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { alive, signalTree } from './processes.js'

/** Which order processes are ended in: the ones that use others come first. */
export type Kind = 'service' | 'nats' | 'redis' | 'postgres'

export interface Watch {
  group(pid: number, kind: Kind): void
  gone(pid: number): void
  folder(path: string): void
  file(path: string): void
  forget(path: string): void
  /** Ends and removes everything registered at once, without asking and without waiting for the event loop. */
  endNow(): void
}

const program = fileURLToPath(new URL('./watchdog.js', import.meta.url))
const restartsAllowed = 3

let shared: Watch | undefined

/** The watch of this process. */
export function processWatch(): Watch {
  shared ??= startWatch()
  return shared
}

function startWatch(): Watch {
  const registered = new Map<string, string>()
  const pids = new Set<number>()
  const paths = new Set<string>()
  let child: ChildProcess | undefined
  let starts = 0

  function write(line: string): void {
    child?.stdin?.write(`${line}\n`)
  }

  function begin(): void {
    starts++
    // No environment: the watchdog needs none, and this one may hold passwords.
    const started = spawn(process.execPath, [program], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { PATH: process.env.PATH },
    })
    child = started
    started.on('error', () => {})
    started.stdin.on('error', () => {})
    started.on('exit', () => {
      child = undefined
      if (registered.size > 0 && starts <= restartsAllowed) begin()
    })
    started.unref()
    const pipe: unknown = started.stdin
    ;(pipe as { unref(): void }).unref()
    for (const line of registered.values()) write(line)
  }

  function register(key: string, line: string): void {
    if (!child) begin()
    registered.set(key, line)
    write(line)
  }

  function drop(key: string, line: string): void {
    if (registered.delete(key)) write(line)
  }

  function endNow(): void {
    for (const pid of pids) signalTree(pid, 'SIGKILL')
    const end = performance.now() + 2000
    while ([...pids].some(alive) && performance.now() < end)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    for (const path of [...paths].reverse())
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    registered.clear()
    write('done')
  }

  return {
    group(pid, kind) {
      pids.add(pid)
      register(String(pid), `group ${pid} ${kind}`)
    },
    gone(pid) {
      pids.delete(pid)
      drop(String(pid), `gone ${pid}`)
    },
    folder(path) {
      paths.add(path)
      register(path, `folder ${path}`)
    },
    file(path) {
      paths.add(path)
      register(path, `file ${path}`)
    },
    forget(path) {
      paths.delete(path)
      drop(path, `forget ${path}`)
    },
    endNow,
  }
}
