// A standby of a PostgreSQL instance of our own: a copy of its data that streams from it and can be promoted.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findServers } from './find.js'
import { type PostgresServer, startPostgres } from './postgres.js'
import { serverOwner } from './postgres-cluster.js'

const run = promisify(execFile)

export interface StandbyOptions {
  /** The folder for its data, which its owner may pass and write. */
  dir: string
  name: string
  port?: number
  durable?: boolean
}

/** @returns the standby, ready for readers; its superuser is that of the primary */
export async function startStandby(primary: PostgresServer, options: StandbyOptions): Promise<PostgresServer> {
  const { dir, name, port, durable = false } = options
  const from = `host=${primary.host} port=${primary.port} user=${primary.user} password=${primary.password}`
  const program = join(findServers().postgres.bin, 'pg_basebackup')
  await run(program, ['-D', join(dir, name), '-d', from, '-R', '-c', 'fast', '--no-sync'], {
    cwd: '/',
    ...serverOwner(),
  })
  const { password } = primary
  return startPostgres({ dir, name, password, durable, existing: true, ...(port !== undefined && { port }) })
}
