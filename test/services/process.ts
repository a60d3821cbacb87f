// A service of the product as a process of its own in a test, configured for the rig's servers.
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { inheritedEnvironment } from '../../stack/service-environment.js'
import { type Child, startChild } from '../child.js'
import type { Rig } from '../rig.js'
import { until } from '../until.js'

export interface ServiceProcess extends Child {
  /**
   * Resolves once a GET of `path` answers 200. @throws with its whole output, when it ends before that or a
   * minute is over
   */
  answers(path: string): Promise<void>
}

/** @param options of node, before the program. The conditions of a container are not tested here. */
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
        await until(`${name} answers ${path}`, async () => {
          if (child.process.exitCode !== null || child.process.signalCode !== null) {
            await child.ended
            throw new Error(`${name} ended before it answered ${path}`)
          }
          // A connection that is kept open would delay the end of the process after a signal.
          const response = await fetch(url, { headers: { connection: 'close' } }).catch(() => null)
          return response?.status === 200
        })
      } catch (error) {
        throw new Error(`${(error as Error).message}. Its output:\n${child.output()}`)
      }
    },
  }
}

/** The environment of a service of the rig: its servers, and its port. */
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
