// The programs of the documentation as their readers run them: real servers, `init` for each service, a program as a
// child process that ends with the test.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import postgres from 'postgres'
import type { Test } from 'tap'
import { freePort } from '../../stack/servers/ports.js'
import { type Servers, startServers } from '../../stack/servers/start.js'
import { inheritedEnvironment } from '../../stack/service-environment.js'
import { type Child, startChild } from '../child.js'

type Tap = Pick<Test, 'teardown'>

export interface Program extends Child {
  /** Undefined while the program does not listen. */
  ask(path: string, more?: RequestInit): Promise<Response | undefined>
}

export interface Programs {
  readonly servers: Servers<'main'>
  /** Runs `init`. @returns the variables of the service's programs, with a free port */
  init(service: string, more?: Record<string, string>): Promise<Record<string, string>>
  /** @param t whose end is the program's too @param file a compiled program */
  start(t: Tap, file: string, env: Record<string, string>): Program
  /** A superuser's client, which uses none of the product's code. */
  look(t: Tap, database: string): postgres.Sql
}

export async function documentedPrograms(t: Tap): Promise<Programs> {
  const servers = await startServers({ services: ['main'] as const })
  t.teardown(() => servers.stop())
  const { host, port, user, password } = servers.postgres.main
  return {
    servers,
    async init(service, more = {}) {
      const env = {
        DB_HOST: host,
        DB_PORT: String(port),
        DB_USERNAME: `${service}_service`,
        DB_PASSWORD: 'choose-one',
      }
      const args = [
        'dist/cli/main.js',
        'init',
        '--service',
        service,
        '--write-env',
        join(servers.dir, `${service}.env`),
      ]
      execFileSync(process.execPath, args, {
        env: { ...inherited(), ...env, INIT_PASSWORD: password },
        stdio: 'pipe',
      })
      return {
        ...env,
        SERVICE_NAME: `${service}-service`,
        NATS_URL: servers.nats.url,
        REDIS_URL: servers.redis.url,
        PORT: String(await freePort()),
        ...more,
      }
    },
    start(t, file, env) {
      const child = startChild(t, [file], { ...inherited(), ...env })
      return {
        ...child,
        // A connection that is kept open would delay the end of a closing program.
        ask: (path, more) =>
          fetch(`http://127.0.0.1:${env.PORT}${path}`, {
            ...more,
            headers: {
              connection: 'close',
              ...(more?.body ? { 'content-type': 'application/json' } : {}),
              ...more?.headers,
            },
          }).catch(() => undefined),
      }
    },
    look(t, database) {
      const sql = postgres({ host, port, user, password, database, max: 1, onnotice() {} })
      t.teardown(() => sql.end({ timeout: 1 }))
      return sql
    },
  }
}

const inherited = (): NodeJS.ProcessEnv => ({ ...inheritedEnvironment(process.env), DOCKER_ENABLED: 'false' })

/** The header that names the tenant. */
export const of = (tenant: string): Record<string, string> => ({ 'HRMS-Client-ID': tenant })
