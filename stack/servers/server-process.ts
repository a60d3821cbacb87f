// One server's process: a direct child in a group of its own, so that a terminal's Ctrl-C does not reach it, registered
// with the watchdog. Owns its start, readiness and every way down. A start that fails says why with the end of its log.
// stop() and kill() may be called twice; restart() brings the same program back on the same data and port.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { descendants, send, signalTree, waitGone } from '../processes.js'
import { type Kind, processWatch, type Watch } from '../watch.js'
import type { Folder } from './folder.js'
import { PortTaken } from './ports.js'

export interface Program {
  name: string
  kind: Kind
  command: string
  args: string[]
  folder: string
  log: string
  port: number
  owner?: { uid: number; gid: number } | undefined
  env?: NodeJS.ProcessEnv
  /** Asked in turn until the process is gone, each with its share of time in milliseconds; SIGKILL comes after them. */
  signals: [NodeJS.Signals, number][]
  ready(pid: number): Promise<boolean>
  beforeStart?(): void
  watch?: Watch | undefined
}

export interface ServerProcess {
  readonly pid: number
  /** Asks it to end and waits until it has. */
  stop(): Promise<void>
  /** As a crash would: SIGKILL to it and everything it has started. */
  kill(): Promise<void>
  /** Holds it still: connections stay open and nothing answers. */
  freeze(): void
  thaw(): void
  /** Starts it again on the same port and data; ends it first if it still runs. */
  restart(): Promise<void>
}

const startDeadline = 30_000

export async function startProcess(program: Program): Promise<ServerProcess> {
  const watch = program.watch ?? processWatch()
  let child = await begin(program, watch)

  const running = () => child.exitCode === null && child.signalCode === null
  const pid = () => child.pid as number

  async function stop(): Promise<void> {
    if (!running()) return
    const everyone = [pid(), ...descendants(pid())]
    signalTree(pid(), 'SIGCONT')
    for (const [signal, patience] of program.signals) {
      send(pid(), signal)
      if (await waitGone(everyone, patience)) return watch.gone(pid())
    }
    await kill()
  }

  async function kill(): Promise<void> {
    if (!running()) return
    const everyone = [pid(), ...descendants(pid())]
    signalTree(pid(), 'SIGKILL')
    if (!(await waitGone(everyone, 5000)))
      throw new Error(`${program.name} (process ${pid()}) does not end on SIGKILL.`)
    watch.gone(pid())
  }

  return {
    get pid() {
      return pid()
    },
    stop,
    kill,
    freeze: () => running() && signalTree(pid(), 'SIGSTOP'),
    thaw: () => running() && signalTree(pid(), 'SIGCONT'),
    async restart() {
      await stop()
      child = await begin(program, watch)
    },
  }
}

/** A server by its process and the facts that clients need. Its folder goes when it is stopped. */
export function serverOf<Facts extends object>(
  process: ServerProcess,
  folder: Folder,
  facts: Facts,
): ServerProcess & Facts {
  return {
    ...process,
    ...facts,
    get pid() {
      return process.pid
    },
    async stop() {
      await process.stop()
      folder.remove()
    },
  }
}

async function begin(program: Program, watch: Watch): Promise<ChildProcess> {
  program.beforeStart?.()
  const log = openSync(program.log, 'a', 0o600)
  const child = spawn(program.command, program.args, {
    cwd: program.folder,
    detached: true,
    stdio: ['ignore', log, log],
    env: program.env ?? { PATH: process.env.PATH },
    ...program.owner,
  })
  closeSync(log)
  let failure: Error | undefined
  child.on('error', error => {
    failure = error
  })
  const pid = child.pid
  if (pid === undefined) {
    await sleep(0)
    throw new Error(`${program.name} could not be started: ${failure?.message ?? 'unknown reason'}.`)
  }
  watch.group(pid, program.kind)
  child.unref()

  const end = performance.now() + startDeadline
  while (!(await program.ready(pid))) {
    if (child.exitCode !== null || child.signalCode !== null) {
      watch.gone(pid)
      throw failedStart(program, `ended at once (${child.signalCode ?? `exit code ${child.exitCode}`})`)
    }
    if (performance.now() > end) {
      signalTree(pid, 'SIGKILL')
      watch.gone(pid)
      throw failedStart(program, `did not answer within ${startDeadline / 1000} seconds`)
    }
    await sleep(10)
  }
  return child
}

function failedStart(program: Program, what: string): Error {
  const log = logTail(program.log)
  if (/address (already )?in use/i.test(log)) return new PortTaken(program.port, program.name)
  return new Error(`${program.name} ${what}. The end of its log:\n${log}`)
}

export function logTail(path: string, lines = 20): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return '(no log)'
  }
}
