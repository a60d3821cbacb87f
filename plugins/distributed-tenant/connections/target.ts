// Owns where a connection goes and how its session begins: what the driver and the server are told at the start. Whatever is
// set here is what a reset returns to.
import net from 'node:net'
import type { DatabaseOptions } from '../config/options.js'
import { readTextFile } from '../text-file.js'
import type { ArrayTypes } from './array-types.js'

/** Where to connect and how the session begins. */
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
  /** A pooler in transaction mode takes no startup parameters and no prepared statements (docs/decisions/0011). */
  readonly pooler?: boolean
  readonly onNotify?: (channel: string, payload: string) => void
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
    // What waits behind a lost connection is failed at once, not after the driver's growing back-off.
    backoff: 0,
    prepare: !target.pooler,
    onnotice() {},
    onnotify: target.onNotify,
    connection: target.pooler
      ? {}
      : {
          application_name: target.applicationName,
          statement_timeout: target.statementTimeout,
          // The server notices within a second that we are gone and ends what it was running for us (PostgreSQL 14).
          client_connection_check_interval: 1000,
        },
  }
}

/** What the driver takes as `ssl`; reads the CA certificate, so call it once. */
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
