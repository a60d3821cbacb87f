// The parent's end of an arm: starts its process, queries it, ends it. Registered with the watchdog, so that no arm outlives
// a benchmark that was killed. A process that dies fails the wait for its answer.
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { waitGone } from '../stack/processes.js'
import { processWatch } from '../stack/watch.js'
import type { ArmConfig, Usage } from './arm.js'

export interface ArmProcess {
  readonly name: string
  readonly port: number
  readonly pid: number
  /** How its process ended, if it has. */
  readonly death: string | null
  ask<T>(question: string, argument?: unknown): Promise<T>
  usage(): Promise<Usage>
  stop(): Promise<void>
}

const program = fileURLToPath(new URL('./service.js', import.meta.url))

export async function startArm(
  name: string,
  arm: string,
  config: ArmConfig,
  execArgv: string[] = [],
  /** Another built checkout, whose arm it is. */
  checkout?: string,
): Promise<ArmProcess> {
  const child = fork(checkout ? join(checkout, 'dist/bench/service.js') : program, {
    execArgv,
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env.PATH, NODE_ENV: 'bench' },
  })
  const { pid } = child
  if (pid === undefined) throw new Error(`the process of ${name} could not be started`)
  processWatch().group(pid, 'service')

  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let count = 0
  let death: string | null = null
  child.on('message', (message: { number: number; value?: unknown; error?: string }) => {
    const waiter = waiting.get(message.number)
    waiting.delete(message.number)
    if (message.error === undefined) waiter?.resolve(message.value)
    else waiter?.reject(new Error(`${name}: ${message.error}`))
  })
  child.on('exit', (code, signal) => {
    death = `the process of ${name} ended (${signal ?? `exit code ${code}`})`
    for (const { reject } of waiting.values()) reject(new Error(death))
    waiting.clear()
  })

  function ask<T>(question: string, argument?: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!child.connected) return reject(new Error(`the process of ${name} is gone`))
      const number = count++
      waiting.set(number, { resolve: resolve as (value: unknown) => void, reject })
      child.send({ number, name: question, argument })
    })
  }

  async function stop(): Promise<void> {
    // The database's connections are closed with the process.
    child.kill('SIGKILL')
    await waitGone([pid as number], 5_000)
    processWatch().gone(pid as number)
  }

  try {
    const port = await ask<number>('start', { arm, config })
    return {
      name,
      port,
      pid,
      get death() {
        return death
      },
      ask,
      usage: () => ask('usage'),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
