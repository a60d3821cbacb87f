// The least that bringing a database takes: created by a connection that is there already, and the two programs that
// `import-hybrid` starts, as it starts them. Nothing is planned, frozen, compared, marked or registered.
import type postgres from 'postgres'
import { createPrograms } from '../../operations/copying/pg-programs.js'
import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import type { Login } from '../arm.js'
import type { Copy } from '../baselines/guide.js'

export interface BareCopy extends Copy {
  /** The superuser on the target's instance. */
  readonly cluster: postgres.Sql
}

/** @returns milliseconds for all of them */
export async function copyBare(copies: readonly BareCopy[], sideBySide: number): Promise<number> {
  const programs = createPrograms({ environment: { PATH: process.env.PATH } })
  const began = performance.now()
  const line = copies[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (const { cluster, from, fromDatabase, to, toDatabase } of line) {
      await cluster`create database ${cluster(toDatabase)} template template0 strategy wal_log`
      await programs.pipe(at(from, fromDatabase), at(to, toDatabase))
    }
  }
  await Promise.all(Array.from({ length: sideBySide }, worker))
  return performance.now() - began
}

const at = (login: Login, database: string): DatabaseOptions => ({
  ...login,
  database,
  ssl: 'disable',
  sslRootCert: undefined,
})
