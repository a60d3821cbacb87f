// Owns one real nats-server for a test: free port, its own JetStream folder, stopped and removed with the test.
// Invariant: no process outlives stop(); kill, freeze and thaw act on that one process alone.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../stack/servers/ports.js'

export interface NatsServer {
  readonly url: string
  readonly port: number
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  freeze(): void
  thaw(): void
  /** The same port and folder again. */
  restart(): Promise<void>
}

export async function startNats(options: {
  dir: string
  port?: number
  config?: string
  /** Default: the program in PATH. */
  program?: string
}): Promise<NatsServer> {
  const port = options.port ?? (await freePort())
  const args = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', options.dir]
  if (options.config !== undefined) {
    const file = join(options.dir, 'nats.conf')
    writeFileSync(file, options.config)
    args.push('-c', file)
  }
  let child: ChildProcess | null = null

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ending = child
    child = null
    if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return
    const gone = once(ending, 'exit')
    ending.kill('SIGCONT')
    ending.kill(signal)
    await gone
  }

  async function start(): Promise<void> {
    child = spawn(options.program ?? 'nats-server', args, { stdio: 'ignore' })
    for (let tries = 0; !(await answers(port)); tries++) {
      if (tries > 250 || child.exitCode !== null) throw new Error(`nats-server did not start on ${port}`)
      await sleep(20)
    }
  }

  await start()
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    freeze() {
      // Its threads stop one by one after the signal was sent; until then one of them could still answer.
      if (child?.kill('SIGSTOP')) while (!isStopped(child.pid as number));
    },
    thaw: () => void child?.kill('SIGCONT'),
    async restart() {
      await end('SIGTERM')
      await start()
    },
  }
}

export function temporaryFolder(): { dir: string; remove: () => void } {
  const dir = mkdtempSync(join(tmpdir(), 'fdt-nats-'))
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) }
}

// The server's greeting, not the open port: the port is open a moment before the server is ready.
function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    const settle = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('data', data => settle(data.toString().startsWith('INFO')))
    socket.once('error', () => settle(false))
    socket.setTimeout(500, () => settle(false))
  })
}

/** Without /proc the process counts as stopped. */
function isStopped(pid: number): boolean {
  if (!existsSync('/proc/self/task')) return true
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.every(thread => /\) T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')))
}
