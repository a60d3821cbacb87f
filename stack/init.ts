// Runs `distributed-tenant init` for one service: its role and central database, made once, as superuser.
// The only place that knows how that command is called. Passwords go by environment, never by argument.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { DatabaseAddress } from './stack-file.js'

export interface Superuser {
  user: string
  password: string
}

const run = promisify(execFile)

export async function initService(
  program: string,
  name: string,
  database: DatabaseAddress,
  superuser: Superuser,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  try {
    await run(process.execPath, [program, 'init', '--service', name, '--no-write-env'], {
      timeout: 30_000,
      env: {
        ...env,
        SERVICE_NAME: `${name}-service`,
        DB_HOST: database.host,
        DB_PORT: String(database.port),
        DB_DATABASE: database.name,
        DB_USERNAME: database.user,
        DB_PASSWORD: database.password,
        INIT_SUPERUSER: superuser.user,
        INIT_PASSWORD: superuser.password,
      },
    })
  } catch (error) {
    const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string }
    const output = (stderr || stdout).trim() || (error as Error).message
    throw new Error(`\`distributed-tenant init --service ${name}\` failed:\n${output}`)
  }
}
