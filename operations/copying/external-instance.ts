// Connections to the databases of an instance that is not this service's: the source of a transfer. Each to a tenant's
// database is a direct one, closed after use; those to the address's own database, which is queried about the instance
// repeatedly, are kept for a second. If the instance is down: the call fails, with that error.

import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import type { SessionClient } from '../../plugins/distributed-tenant/types.js'
import { createArrayTypes } from '../../postgres/connections/array-types.js'
import { createBuilder } from '../../postgres/connections/driver.js'
import { connectionClosed, withCause } from '../../postgres/connections/failures.js'
import { connectorOf } from '../../postgres/connections/primary.js'
import { tlsOptions } from '../../postgres/connections/target.js'
import { createPool, type Pool } from '../../postgres/pool/pool.js'
import { createClients } from '../../postgres/sql/client.js'

export interface Instance {
  /** `database` is the one that is queried about the instance. */
  readonly address: DatabaseOptions
  /** For messages and the journal: host, port and database, nothing secret. */
  readonly label: string
  /** One session in a database; without a name in the address's own. @throws TRANSFER_FAILED when it cannot be reached */
  withDirectConnection<T>(fn: (sql: SessionClient) => Promise<T>, database?: string): Promise<T>
  /** Closes the kept ones; without it a process ends a second later. A call after it fails. */
  close(): Promise<void>
}

/** Longer than any checksum of a tenant's largest table. */
const LONGEST_STATEMENT_MS = 6 * 3_600_000
const CONNECT_MS = 10_000
/** A freeze holds one while it looks, for each of the databases that are brought side by side. */
const KEPT = 16
const KEPT_MS = 1_000
/** Applies when several are wanted at once: a connection is held briefly, except by a freeze whose sessions do not end. */
const WAIT_MS = 600_000

/** @param what for errors */
export function createInstance(address: DatabaseOptions, what = 'source'): Instance {
  const { host, port, user, password } = address
  const label = `${host}:${port}/${address.database}`
  const arrayTypes = createArrayTypes({ ofDatabases: false })
  const connect = connectorOf(address)
  const isolation = 'read committed' as const
  const target = { host, port, user, password, tls: tlsOptions(address), statementTimeout: 0, isolation, arrayTypes }
  const builder = createBuilder({ host, port })
  const poolOf = (budget: number, idleTimeout: number, pooling: boolean): Pool =>
    createPool({
      budget,
      perKey: budget,
      acquireTimeout: WAIT_MS,
      idleTimeout,
      maxOpening: budget,
      pooling,
      open: name => connect({ ...target, database: name, applicationName: APPLICATION }, CONNECT_MS),
      refusal: () => connectionClosed('no connection'),
      report: () => {},
    })
  const unavailable = () =>
    new TransferFailed(
      `The ${what} ${host}:${port} cannot be reached or was cut off: check it, then go on with --resume.`,
    )

  async function within<T>(pool: Pool, database: string, fn: (sql: SessionClient) => Promise<T>): Promise<T> {
    const scope = createClients({ pool, builder, queryTimeout: LONGEST_STATEMENT_MS, unavailable })(database)
    try {
      return await scope.session(fn)
    } catch (error) {
      throw refusedAtTheDoor(error) ? withCause(unavailable(), error as Error) : error
    } finally {
      scope.release()
    }
  }

  const kept = poolOf(KEPT, KEPT_MS, true)
  return {
    address,
    label,
    async withDirectConnection(fn, database = address.database) {
      if (database === address.database) return within(kept, database, fn)
      const pool = poolOf(1, CONNECT_MS, false)
      try {
        return await within(pool, database, fn)
      } finally {
        await pool.close(5_000)
      }
    },
    close: () => kept.close(5_000),
  }
}

/** How a transfer's own sessions are known in `pg_stat_activity`. */
export const APPLICATION = 'distributed-tenant-transfer'

/** Classes 08, 28 and 57P: connection, authorization, and a server that is stopping or starting. */
const refusedAtTheDoor = (error: unknown): boolean => /^(08|28|57P|53300)/.test((error as { code?: string }).code ?? '')
