// One service's process: a program of this package, in a group of its own, configured by its environment and ready when
// /api/health/ready answers 200. It can be stopped, killed, frozen and started again on the same port.
// An unexpected end is reported once, with the last lines of its output.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { descendants, send, signalTree, waitGone } from './processes.js'
import { processWatch } from './watch.js'

export interface ServiceOptions {
  name: string
  program: string
  /** The folder it runs in; default this process's own. */
  folder?: string | undefined
  port: number
  env: NodeJS.ProcessEnv
  onLine?: ((line: string) => void) | undefined
  died?: ((message: string) => void) | undefined
}

export interface Service {
  readonly name: string
  readonly port: number
  readonly url: string
  readonly env: NodeJS.ProcessEnv
  readonly pid: number | undefined
  readonly running: boolean
  /** Starts it and waits until it is ready; while it runs, only waits. */
  start(abort?: AbortSignal): Promise<void>
  stop(): Promise<void>
  kill(): Promise<void>
  freeze(): void
  thaw(): void
  /** The last lines of its output. */
  tail(): string
}

/** From one start to its end. `asked`: it was stopped on request. */
interface Life {
  child: ChildProcess
  asked: boolean
}

/** A service is ready within two seconds where it has a processor; beside many others on a slow machine it may take a minute. */
const readyDeadline = 120_000
/** Its parts have deadlines of their own, which are shorter. */
const answerDeadline = 10_000
const stopDeadline = 8000
const READY = 'ready'
const linesKept = 40

export const localUrl = (port: number) => `http://127.0.0.1:${port}`

export function createService(options: ServiceOptions): Service {
  const { name, program, folder, port, env } = options
  const url = localUrl(port)
  const lines: string[] = []
  let life: Life | undefined

  const tail = () => lines.join('\n') || '(no output)'

  function begin(): Life {
    lines.length = 0
    const started = spawn(process.execPath, [program], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...env, PORT: String(port) },
      ...(folder !== undefined && { cwd: folder }),
    })
    const begun: Life = { child: started, asked: false }
    if (started.pid) processWatch().group(started.pid, 'service')
    for (const stream of [started.stdout, started.stderr]) createInterface({ input: stream }).on('line', read)
    // 'close' comes after the last line of output, so that the report can hold it.
    started.once('close', (code, signal) => {
      if (life === begun) life = undefined
      if (started.pid) processWatch().gone(started.pid)
      const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`
      if (!begun.asked) options.died?.(`${name} ${how}. Its last output:\n${tail()}`)
    })
    started.once('error', () => {})
    return begun
  }

  function read(line: string): void {
    lines.push(line)
    if (lines.length > linesKept) lines.shift()
    options.onLine?.(line)
  }

  async function waitReady(begun: Life, abort: AbortSignal | undefined): Promise<void> {
    const end = performance.now() + readyDeadline
    for (;;) {
      const answer = await askReady(url)
      if (answer === READY) return
      abort?.throwIfAborted()
      if (life !== begun) throw new Error(`${name} ended before it was ready. Its last output:\n${tail()}`)
      if (performance.now() > end) {
        const seconds = readyDeadline / 1000
        throw new Error(
          `${name} was not ready at ${url} within ${seconds} seconds: ${answer}. Its last output:\n${tail()}`,
        )
      }
      await sleep(25)
    }
  }

  async function end(signals: [NodeJS.Signals, number][]): Promise<void> {
    const ended = life
    const pid = ended?.child.pid
    if (ended === undefined || pid === undefined) return
    ended.asked = true
    const everyone = [pid, ...descendants(pid)]
    signalTree(pid, 'SIGCONT')
    for (const [signal, patience] of signals) {
      if (signal === 'SIGKILL') signalTree(pid, signal)
      else send(pid, signal)
      if (!(await waitGone(everyone, patience))) continue
      if (life === ended) life = undefined
      return processWatch().gone(pid)
    }
    throw new Error(`${name} (process ${pid}) does not end on SIGKILL.`)
  }

  return {
    name,
    port,
    url,
    env,
    get pid() {
      return life?.child.pid
    },
    get running() {
      return life !== undefined
    },
    async start(abort) {
      life ??= begin()
      await waitReady(life, abort)
    },
    stop: () =>
      end([
        ['SIGTERM', stopDeadline],
        ['SIGKILL', 5000],
      ]),
    kill: () => end([['SIGKILL', 5000]]),
    freeze: () => life?.child.pid && signalTree(life.child.pid, 'SIGSTOP'),
    thaw: () => life?.child.pid && signalTree(life.child.pid, 'SIGCONT'),
    tail,
  }
}

/** READY, or what it answered instead. */
async function askReady(url: string): Promise<string> {
  try {
    const response = await fetch(`${url}/api/health/ready`, {
      signal: AbortSignal.timeout(answerDeadline),
      headers: { connection: 'close' },
    })
    const body = await response.text()
    return response.status === 200 ? READY : `it answers ${response.status} ${body}`
  } catch (error) {
    return `it does not answer (${(error as Error).message})`
  }
}
