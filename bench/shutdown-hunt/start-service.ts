// One life of the service's process: started, read, shut down. Its own log shows the requests that it accepted.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { inheritedEnvironment } from '../../stack/service-environment.js'
import { processWatch } from '../../stack/watch.js'

const LAST_LINES = 30
const program = fileURLToPath(new URL('./service.js', import.meta.url))

export interface RunningService {
  readonly port: number
  /** Numbers of the requests it took, without those that are only held. */
  readonly accepted: ReadonlySet<string>
  /** Resolves when it has logged its shutdown. */
  readonly closing: Promise<void>
  /** Unexpected output: errors, and lines that are no JSON. */
  readonly complaints: readonly string[]
  /** The last lines of its log, of any kind. */
  readonly lastLines: readonly string[]
  signal(signal: NodeJS.Signals): void
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

export async function startService(env: Record<string, string>): Promise<RunningService> {
  const child = spawn(process.execPath, [program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inheritedEnvironment(process.env), DOCKER_ENABLED: 'false', LOG_LEVEL: 'info', PORT: '0', ...env },
  })
  if (child.pid) processWatch().group(child.pid, 'service')
  const accepted = new Set<string>()
  const complaints: string[] = []
  const lastLines: string[] = []
  let notifyClosing: () => void = () => {}
  const closing = new Promise<void>(resolve => {
    notifyClosing = resolve
  })
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(resolve => {
    child.once('close', (code, signal) => {
      if (child.pid) processWatch().gone(child.pid)
      resolve({ code, signal })
    })
  })
  let foundPort: (port: number) => void = () => {}
  const port = new Promise<number>((resolve, reject) => {
    foundPort = resolve
    void ended.then(({ code, signal }) => {
      const logged = lastLines.join('\n') || 'nothing'
      reject(
        new Error(`the service ended before it was ready, by ${signal ?? `exit code ${code}`}. It said:\n${logged}`),
      )
    })
  })

  const onLine = (line: string): void => {
    lastLines.push(line)
    if (lastLines.length > LAST_LINES) lastLines.shift()
    let logged: { msg?: string; level?: number; req?: { url: string } }
    try {
      logged = JSON.parse(line)
    } catch {
      complaints.push(line)
      return
    }
    const { msg = '', level = 0, req } = logged
    const [, found] = /ready at http:\/\/127\.0\.0\.1:(\d+)/.exec(msg) ?? []
    if (found) foundPort(Number(found))
    if (msg.startsWith('shutting down')) notifyClosing()
    if (msg === 'incoming request' && req && /^\/(quick|slow|stream)\/(?!held)/.test(req.url)) {
      accepted.add(req.url.split('/')[2] as string)
    }
    if (level >= 50) complaints.push(line)
  }
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', onLine)

  return {
    port: await port,
    accepted,
    closing,
    complaints,
    lastLines,
    signal: signal => void child.kill(signal),
    ended,
  }
}
