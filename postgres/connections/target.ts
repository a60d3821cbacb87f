// The address of a connection and the settings of its session, as the driver and the server get them at the start. A reset
// returns to these settings.
import net from 'node:net'
import { readTextFile } from '../../files/text-file.js'
import type { DatabaseOptions } from '../address.js'
import type { ArrayTypes } from './array-types.js'
import type { PooledStatements } from './pooled-statements.js'

/** The address of a connection and the settings of its session. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string | undefined
  /** From {@link tlsOptions}. */
  readonly tls: false | string | object
  readonly applicationName: string
  /** Milliseconds; the server's own guard behind our deadlines. 0: none. */
  readonly statementTimeout: number
  /** Of a pooler in transaction mode: it takes no startup parameters, and not each keeps named statements (docs/decisions/0011). */
  readonly pooler?: PooledStatements
  /** Of sessions for statements of this package: they were written for it, whatever the server's default is. */
  readonly isolation?: 'read committed'
  readonly onNotify?: (channel: string, payload: string) => void
  /** A session of the replication protocol in that database, which takes its commands and the simple query protocol. */
  readonly replication?: boolean
  /** Without it arrays come and go as text. */
  readonly arrayTypes?: ArrayTypes
}

/** In the driver's parsed form, but for the socket and the codecs. */
export function sessionOptions(target: Target): object {
  return {
    host: [target.host],
    port: [target.port],
    database: target.database,
    user: target.user,
    pass: target.password ?? '',
    ssl: target.tls,
    max: 1,
    idle_timeout: null,
    max_lifetime: null,
    // Our own timer covers all of it; the driver's does not cover a peer that accepts and closes (docs/decisions/0001).
    connect_timeout: null,
    // See array-types.ts.
    fetch_types: false,
    // Queries behind a lost connection fail at once, not after the driver's growing back-off.
    backoff: 0,
    prepare: target.pooler?.mayUse(target.database) ?? true,
    onnotice() {},
    onnotify: target.onNotify,
    connection: settingsOf(target),
  }
}

/** The settings that a session begins with. */
function settingsOf(target: Target): Record<string, string | number> {
  if (target.pooler) return {}
  return {
    application_name: target.applicationName,
    ...(target.statementTimeout > 0 && { statement_timeout: target.statementTimeout }),
    // The server notices within a second that the client is gone and ends its statement (PostgreSQL 14).
    client_connection_check_interval: 1000,
    // The pool closes what rests. A limit of the server's would also end the sessions that listen or hold a lock (PostgreSQL 14).
    idle_session_timeout: 0,
    // The driver reads this form alone, and takes the other one for other bytes (findings/postgres-output-settings.sh).
    bytea_output: 'hex',
    ...(target.isolation && { default_transaction_isolation: target.isolation }),
    ...(target.replication && { replication: 'database' }),
  }
}

/** Of the startup message, as the driver writes it. */
export const startupParameters = (target: Target): Record<string, string | number> => ({
  user: target.user,
  database: target.database,
  client_encoding: 'UTF8',
  ...settingsOf(target),
})

/** The driver's `ssl` option; reads the CA certificate, so call it once. */
export function tlsOptions(database: DatabaseOptions): Target['tls'] {
  if (database.ssl === 'disable') return false
  if (database.ssl !== 'verify-full') return database.ssl
  return {
    rejectUnauthorized: true,
    ca: readTextFile(database.sslRootCert as string),
    // An address has no SNI, but its certificate is still checked against it.
    ...(net.isIP(database.host) ? { host: database.host } : { servername: database.host }),
  }
}
