// The manual steps of a migration guide: for each tenant and each service a database is created and `pg_dump` is piped
// into `psql`, one after the other. Nothing is frozen, compared, marked or registered.
import { spawn } from 'node:child_process'
import type { Login } from '../arm.js'

export interface Copy {
  readonly from: Login
  readonly fromDatabase: string
  readonly to: Login
  readonly toDatabase: string
}

/** @returns milliseconds for all of them */
export async function copyByHand(copies: readonly Copy[]): Promise<number> {
  const began = performance.now()
  for (const one of copies) await copy(one)
  return performance.now() - began
}

async function copy({ from, fromDatabase, to, toDatabase }: Copy): Promise<void> {
  await ended(spawn('createdb', [toDatabase], { stdio: 'inherit', env: environmentOf(to, 'postgres') }), 'createdb')
  const restore = spawn('psql', ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--output=/dev/null'], {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: environmentOf(to, toDatabase),
  })
  const restoring = ended(restore, 'psql')
  const dump = spawn('pg_dump', [], {
    stdio: ['ignore', restore.stdin, 'inherit'],
    env: environmentOf(from, fromDatabase),
  })
  restore.stdin?.destroy()
  await Promise.all([ended(dump, 'pg_dump'), restoring])
}

const environmentOf = ({ host, port, user, password }: Login, database: string): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  PGHOST: host,
  PGPORT: String(port),
  PGUSER: user,
  PGPASSWORD: password,
  PGDATABASE: database,
})

function ended(child: ReturnType<typeof spawn>, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', code => (code === 0 ? resolve() : reject(new Error(`${name} ended with ${code}`))))
  })
}
