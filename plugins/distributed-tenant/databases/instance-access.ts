// The access to the PostgreSQL instances of a service, the home one included. Types only; assembly/ makes it.
// Invariant: work for a caller that holds a session on the central database is done on that session where the instance is
// home, so that no caller waits for a second one while it holds the first.
import type { QueryClient, RegistryRow, SessionClient, SqlClient, TransactionClient } from '../types.js'

/** Runs statements that must share a session. */
export type Session = <T>(fn: (sql: SessionClient) => Promise<T>) => Promise<T>

/** Runs statements in any database, on a connection that is closed when the function has settled. */
export type Visit = <T>(database: string, fn: (sql: SqlClient) => Promise<T>) => Promise<T>

export interface InstanceAccess {
  readonly name: string
  readonly session: Session
  /** For reading, with short waits and deadlines like a request's. */
  readonly look: Session
  readonly visit: Visit
  /** Clones its template under a name, on the caller's session; one that is taken counts as done. @returns whether this call made it */
  clone(sql: SessionClient, name: string): Promise<boolean>
  /** A session on it, for a caller that holds one on the central database. */
  beside<T>(central: SessionClient, fn: (sql: SessionClient) => Promise<T>): Promise<T>
  /** A transaction on it, for a caller that is in one on the central database. */
  transactionBeside<T>(central: TransactionClient, fn: (sql: QueryClient) => Promise<T>): Promise<T>
}

export interface InstancesAccess {
  readonly home: InstanceAccess
  /** Home first. */
  readonly all: readonly InstanceAccess[]
  readonly several: boolean
  /** @throws TENANT_DATABASE_UNAVAILABLE when this process has no settings of it: a process with more has placed a tenant there */
  at(instance: string): InstanceAccess
  /**
   * The instance of a tenant, chosen and recorded if it has no database yet; under its lock. @throws as `at`, where there is
   * one instance
   */
  settle(sql: SessionClient, row: RegistryRow): Promise<string>
}
