// A Redis server of our own: memory only, a random password in a file only its owner can read.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { processWatch, type Watch } from '../watch.js'
import { findServers } from './find.js'
import { makeFolder, randomPassword } from './folder.js'
import { freePort, onPort } from './ports.js'
import { answers } from './probe.js'
import { type Program, type ServerProcess, serverOf, startProcess } from './server-process.js'

export interface RedisOptions {
  dir?: string
  name?: string
  port?: number
  /** Paths of PEM files: there is a port for TLS too, and `url` leads to it. */
  tls?: { key: string; cert: string } | undefined
  /** Further lines of its configuration. */
  settings?: readonly string[]
  /** It watches servers and stores nothing. */
  sentinel?: boolean
  /** Of a primary and its replicas; default: one of its own. */
  password?: string
  watch?: Watch | undefined
}

export interface RedisServer extends ServerProcess {
  host: string
  port: number
  password: string
  url: string
  log: string
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { name = 'redis', tls, settings = [], sentinel = false, watch = processWatch() } = options
  const command = findServers().redis
  const folder = makeFolder(options.dir, watch)
  const config = join(folder.path, `${name}.conf`)
  const log = join(folder.path, `${name}.log`)
  const password = options.password ?? randomPassword()
  const tlsPort = tls && (await freePort())
  try {
    const { process, port } = await onPort(options.port, async port => {
      const lines = ['bind 127.0.0.1', `port ${port}`, `dir ${folder.path}`, 'save ""', 'appendonly no']
      if (tls)
        lines.push(`tls-port ${tlsPort}`, `tls-cert-file ${tls.cert}`, `tls-key-file ${tls.key}`, 'tls-auth-clients no')
      writeFileSync(config, `${[...lines, ...settings, `requirepass ${password}`].join('\n')}\n`, { mode: 0o600 })
      const program: Program = {
        name: 'Redis',
        kind: 'redis',
        command,
        args: [config, ...(sentinel ? ['--sentinel'] : [])],
        folder: folder.path,
        log,
        port,
        signals: [['SIGTERM', 3000]],
        // Only ours takes this password.
        ready: () => answers(port, `AUTH ${password}\r\nPING\r\n`, answer => answer === '+OK\r\n+PONG\r\n'),
        watch,
      }
      return { process: await startProcess(program), port }
    })
    return serverOf(process, folder, {
      host: '127.0.0.1',
      port,
      password,
      url: tls ? `rediss://:${password}@127.0.0.1:${tlsPort}` : `redis://:${password}@127.0.0.1:${port}`,
      log,
    })
  } catch (error) {
    folder.remove()
    throw error
  }
}
