// The operator's command as tests give it: many commands one after the other in one process, as the start of a process
// takes most of the time of a command. What must be a process of its own is one: a command beside another one, and one with
// options of node's, such as the preload that kills it. Both end with the test.
import { type ChildProcess, execFile, fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { Order } from './command-host.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const hostProgram = fileURLToPath(new URL('command-host.js', import.meta.url))

export interface Outcome {
  /** Of a killed one its signal. */
  readonly code: number | string
  readonly out: string
  readonly err: string
}

export interface OperatorCommands {
  /** In the process that they share, unless it is busy. */
  run(args: readonly string[], env?: Record<string, string>): Promise<Outcome>
  /** In a process of its own. @param how `node`: options of node before the program; `shell`: words of sh before it begins */
  alone(
    args: readonly string[],
    env?: Record<string, string>,
    how?: { readonly node?: readonly string[]; readonly shell?: string | undefined },
  ): Promise<Outcome>
}

/** @param folder in which they run */
export function operatorCommands(t: Pick<Test, 'teardown'>, folder: string): OperatorCommands {
  let host: ChildProcess | undefined
  let busy = false
  t.teardown(() => host?.kill('SIGKILL'))

  const alone: OperatorCommands['alone'] = (args, env = {}, { node = [], shell } = {}) =>
    new Promise(resolve => {
      const all = [process.execPath, ...node, program, ...args]
      const [file, ...rest] = shell === undefined ? all : ['/bin/sh', '-c', `${shell}; exec "$@"`, 'sh', ...all]
      const options = { cwd: folder, env: { ...path(), ...env }, maxBuffer: 1 << 26 }
      execFile(file as string, rest, options, (error, out, err) => {
        resolve({ code: error ? (error.code ?? (error.signal as string)) : 0, out, err })
      })
    })

  async function hosted(args: readonly string[], env: Record<string, string>): Promise<Outcome> {
    if (host?.exitCode !== null || host.signalCode !== null) host = undefined
    host ??= fork(hostProgram, { cwd: folder, env: path(), execArgv: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    const order: Order = { args, env: { ...path(), ...env }, mark: `\n${randomUUID()}\n` }
    return carryOut(host, order)
  }

  return {
    alone,
    async run(args, env = {}) {
      if (busy) return alone(args, env)
      busy = true
      try {
        return await hosted(args, env)
      } finally {
        busy = false
      }
    },
  }
}

const path = (): { PATH: string } => ({ PATH: process.env.PATH ?? '' })

/** Resolves when the host has answered and all that was written before its marks is here, or when the host has ended. */
function carryOut(host: ChildProcess, order: Order): Promise<Outcome> {
  const { stdout, stderr } = host
  if (!stdout || !stderr) throw new Error('the host was started without pipes')
  return new Promise(resolve => {
    const texts = { out: '', err: '' }
    let code: number | undefined
    const look = (): void => {
      if (code !== undefined && texts.out.endsWith(order.mark) && texts.err.endsWith(order.mark)) finish(code)
    }
    const readOut = (text: string): void => {
      texts.out += text
      look()
    }
    const readErr = (text: string): void => {
      texts.err += text
      look()
    }
    const answered = (answer: unknown): void => {
      code = answer as number
      look()
    }
    const ended = (exit: number | null, signal: NodeJS.Signals | null): void => finish(exit ?? signal ?? 'ended')
    const finish = (outcome: number | string): void => {
      stdout.off('data', readOut)
      stderr.off('data', readErr)
      host.off('message', answered).off('close', ended)
      resolve({ code: outcome, out: texts.out.replace(order.mark, ''), err: texts.err.replace(order.mark, '') })
    }
    stdout.setEncoding('utf8').on('data', readOut)
    stderr.setEncoding('utf8').on('data', readErr)
    host.on('message', answered).on('close', ended)
    host.send(order)
  })
}
