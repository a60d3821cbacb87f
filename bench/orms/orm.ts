// What a test, a hunt or a benchmark needs of an ORM over the client of a tenant, whatever the ORM is.
import type { SqlClient } from '../../plugins/distributed-tenant/types.js'

/** Statements as text, sent by the ORM. */
export interface Runner {
  run(text: string, parameters?: readonly unknown[]): Promise<readonly unknown[]>
}

export interface Orm extends Runner {
  transaction<T>(work: (inner: Runner) => Promise<T>): Promise<T>
  /** In batches of so many rows, where the ORM can. */
  stream?(text: string, rows: number): AsyncIterable<readonly unknown[]>
}

/** The ORM over one client. */
export type OrmOver = (sql: SqlClient) => Orm

/** What `postgres` or the server has thrown, which an ORM may keep as the cause of an error of its own. */
export function causeOf(error: unknown): unknown {
  let at = error as { code?: unknown; cause?: unknown } | null | undefined
  while (at?.code === undefined && at?.cause) at = at.cause as typeof at
  return at
}
