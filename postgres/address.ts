// The address of a PostgreSQL and the login there. Types only.

export interface ServerAddress {
  readonly host: string
  readonly port: number
}

export type SslMode = 'disable' | 'prefer' | 'require' | 'verify-full'

/** The address of this service's PostgreSQL and its login there. */
export interface DatabaseOptions {
  readonly host: string
  readonly port: number
  /** All servers, where it has several and one of them is the primary at a time; `host` and `port` are the first. */
  readonly servers?: readonly ServerAddress[] | undefined
  /** The central database. */
  readonly database: string
  readonly user: string
  readonly password: string | undefined
  readonly ssl: SslMode
  readonly sslRootCert: string | undefined
}
