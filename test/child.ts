// A program as a child of a test: its output, its exit, and its end with the test. A wait for a line of a child that
// ends without it fails with its whole output.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Test } from 'tap'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

export interface Child {
  readonly process: ChildProcess
  /** Both streams, in the order of arrival. */
  output(): string
  /**
   * Resolves once `what` matches the output. @throws with the whole output, when it ends before that or `ms` are
   * over
   */
  waitFor(what: RegExp, ms?: number): Promise<void>
  /** Resolves, and never rejects, when it has ended and all of its output has been read. */
  readonly ended: Promise<Ended>
  /** Asks it to end, and waits until it has. */
  stop(signal?: NodeJS.Signals): Promise<Ended>
}

/** Longer than any start on a slow machine: the time of a line is not promised. */
const OUTPUT_MS = 60_000

/** @param args of node: the program first, or options of node before it */
export function startChild(t: Pick<Test, 'teardown'>, args: readonly string[], env: NodeJS.ProcessEnv): Child {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const seen = { out: '', err: '', both: '' }
  const listeners = new Set<() => void>()
  for (const [name, stream] of [
    ['out', child.stdout],
    ['err', child.stderr],
  ] as const) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      seen[name] += text
      seen.both += text
      for (const listener of listeners) listener()
    })
  }
  const ended = new Promise<Ended>(resolve => {
    child.once('error', error => {
      seen.both += String(error)
    })
    child.once('close', (code, signal) => resolve({ code, signal, out: seen.out, err: seen.err }))
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    process: child,
    output: () => seen.both,
    waitFor(what, ms = OUTPUT_MS) {
      return new Promise((resolve, reject) => {
        const finish = (error?: Error) => {
          clearTimeout(timer)
          listeners.delete(look)
          if (error) reject(error)
          else resolve()
        }
        const look = () => what.test(seen.both) && finish()
        const never = (why: string) => finish(new Error(`${why} without ${what}. Its output:\n${seen.both}`))
        const timer = setTimeout(() => never(`${ms} ms are over`), ms)
        listeners.add(look)
        look()
        ended.then(({ code, signal }) => never(`it ended (${signal ?? `exit code ${code}`})`))
      })
    },
    ended,
    stop(signal = 'SIGTERM') {
      child.kill(signal)
      return ended
    },
  }
}
