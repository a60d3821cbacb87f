// The shape of one connection: one socket, one database, one life. open-connection.ts opens it; what stands above receives it as an
// argument.
import type { DriverQuery } from './driver.js'
import type { Target } from './target.js'

export interface Connection {
  /** Resolves when the server is ready for queries; rejects with the driver's error. */
  readonly opened: Promise<void>
  /** Resolves once the socket is closed by the server, or after LINGER_MS. Never rejects. */
  readonly closed: Promise<void>
  /** Why it was lost, or null while it lives. */
  readonly lost: Error | null
  /** True when it should be closed: it has prepared very many distinct statements, or the driver has lost count on it. */
  readonly worn: boolean
  /** The server was a standby when it last reported its state. */
  readonly standby: boolean
  /** A transaction may be open: set by who begins and ends them, read by the reset. */
  transacting: boolean
  /** Calls back once when it is lost, at once if it is already; returns the function that unsubscribes. */
  watch(onLost: (error: Error) => void): () => void
  /** Hands a query to the wire. Its end is reported to `listener`, or else to its caller. */
  execute(query: DriverQuery, listener?: StatementListener): void
  /** Runs our own text in the simple protocol and resolves with its result. */
  run(text: string): Promise<{ command: string }>
  /** Asks the server to stop this query. The connection must not be used again after: the request may come late. */
  cancel(query: DriverQuery): Promise<void>
  /** Fails the queries in flight with `error` and ends the session; `closed` follows. */
  destroy(error: Error): void
  /** Ends the session, and waits until the server has closed it. */
  close(): Promise<void>
}

/** Is called at the end of one query, once or more often: only the first time counts. */
export interface StatementListener {
  resolved(value: unknown): void
  rejected(error: unknown): void
}

/** Begins to connect to a target, as `openConnection` does. */
export type Connect = (target: Target, connectTimeout: number) => Connection
