// Owns a service of ours as a process of its own in a test, told where the rig's servers are.
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { inheritedEnvironment } from '../../stack/service-environment.js'
import { type Child, startChild } from '../child.js'
import { type Rig, until } from '../rig.js'

export interface ServiceProcess extends Child {
  /** Resolves once a GET of `path` answers 200. @throws with all it said, when it ends before that or a minute is over */
  answers(path: string): Promise<void>
}

/** @param options of node, before the program. What a container waits for is no test's business. */
export function startService(
  t: Pick<Test, 'teardown'>,
  name: string,
  env: Record<string, string>,
  options: readonly string[] = [],
): ServiceProcess {
  const main = fileURLToPath(new URL(`../../services/${name}/main.js`, import.meta.url))
  const child = startChild(t, [...options, main], {
    ...inheritedEnvironment(process.env),
    DOCKER_ENABLED: 'false',
    ...env,
  })
  return {
    ...child,
    async answers(path) {
      const url = `http://127.0.0.1:${env.PORT}${path}`
      try {
        await until(`${name} answers ${path}`, 60_000, async () => {
          if (child.process.exitCode !== null || child.process.signalCode !== null) {
            await child.ended
            throw new Error(`${name} ended before it answered ${path}`)
          }
          // A connection that is kept would hold the process up when it is told to leave.
          const response = await fetch(url, { headers: { connection: 'close' } }).catch(() => null)
          return response?.status === 200
        })
      } catch (error) {
        throw new Error(`${(error as Error).message}. It said:\n${child.output()}`)
      }
    },
  }
}

/** Where a service of the rig finds its servers, and the port it listens on. */
export function environmentOf({ servers, database }: Rig, name: string, port: number) {
  const { host, port: databasePort, user, password } = database(name)
  return {
    DB_HOST: host,
    DB_PORT: String(databasePort),
    DB_USERNAME: user,
    DB_PASSWORD: password ?? '',
    NATS_URL: servers.nats.url,
    REDIS_URL: servers.redis.url,
    PORT: String(port),
  }
}
