// A server that is started for this process: by a supervisor, which is a process of its own and the parent of PostgreSQL. It
// ends both and removes their folder when its standard input ends, and that is when this process is gone, however it ended.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from './environment.js'
import type { Programs } from './programs.js'

/** A PostgreSQL and its superuser. */
export interface Server {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string | undefined
  readonly ssl: 'disable' | 'prefer' | 'require'
  /** Started by this process: what is in it goes with it. */
  readonly own: boolean
  /** Stops it, when it is our own. Safe to call twice. */
  close(): Promise<void>
}

const SUPERVISOR = fileURLToPath(new URL('./supervisor.js', import.meta.url))

/** The supervisor's only line: the server is ready, or there is none. */
export type Report = { readonly port: number; readonly password: string } | { readonly failure: string }

/** @throws Error with the reason, when PostgreSQL cannot be started */
export async function startServer(programs: Programs): Promise<Server> {
  const child = spawn(process.execPath, [SUPERVISOR, JSON.stringify(programs)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // A group of its own: a terminal's Ctrl-C is for the tests, whose end ends it.
    detached: true,
    env: childEnvironment(),
  })
  const gone = new Promise<void>(resolve => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  child.stdin.on('error', () => {})
  const report = await new Promise<Report>(resolve => {
    createInterface({ input: child.stdout }).once('line', line => resolve(JSON.parse(line) as Report))
    child.once('error', error => resolve({ failure: error.message }))
    child.once('exit', () => resolve({ failure: 'its supervisor ended before the server was ready' }))
  })
  // It ends by itself: tests that end without `close` are not held up.
  child.unref()
  for (const stream of [child.stdin, child.stdout]) (stream as unknown as { unref(): void }).unref()
  const close = async (): Promise<void> => {
    child.ref()
    child.stdin.end()
    await gone
  }
  if ('failure' in report) {
    await close()
    throw new Error(report.failure)
  }
  return { host: '127.0.0.1', user: 'postgres', ssl: 'disable', own: true, ...report, close }
}
