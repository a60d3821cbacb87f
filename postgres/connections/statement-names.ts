// Whether the statements of one session behind a pooler have names: by what is known of the pooler, which is asked first where that
// is nothing (pooled-statements.ts).
import type postgres from 'postgres'
import type { StatementListener } from './connection.js'
import type { DriverQuery } from './driver.js'
import { askPooler, type PooledStatements } from './pooled-statements.js'

export interface StatementNames {
  allow(may: boolean): void
  /** Asks the pooler whether it keeps named statements; the connection is not in use yet. */
  learn(): Promise<void>
}

export interface StatementNamesOptions {
  readonly sql: postgres.Sql
  readonly pooler: PooledStatements
  readonly database: string
  readonly execute: (query: DriverQuery, listener: StatementListener) => void
  /** Runs a text without a name. */
  readonly run: (text: string) => Promise<unknown>
}

export function createStatementNames({ sql, pooler, database, execute, run }: StatementNamesOptions): StatementNames {
  /** The driver reads it with each statement. */
  function allow(may: boolean): void {
    Object.assign(sql.options, { prepare: may })
  }

  async function named(text: string) {
    allow(true)
    // The option that keeps a text without parameters out of the simple protocol is not in the driver's types.
    const options = { prepare: true, simple: false }
    const query = sql.unsafe(text, [], options) as unknown as DriverQuery
    query.executed = true
    const answer = new Promise((resolve, reject) => execute(query, { resolved: resolve, rejected: reject }))
    const rows = await answer.finally(() => allow(false))
    return { name: query.statement?.name ?? '', rows: rows as { name: string }[] }
  }

  return {
    allow,
    async learn() {
      pooler.learn(await askPooler(run, named))
      allow(pooler.mayUse(database))
    },
  }
}
