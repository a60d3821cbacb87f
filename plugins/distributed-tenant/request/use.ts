// Owns one use of a leased connection: statements within their deadline, our own commands, what is left behind. Invariant:
// it ends once, and a connection whose server may still be busy with it is never given to anybody else.
// A server that does not answer costs the connection at the deadline.
import { Stream } from 'node:stream'
import type { Connection } from '../connections/connection.js'
import type { DriverQuery } from '../connections/driver.js'
import { cancelledByCaller, isReadOnlyServer, toCaller, withCause } from '../connections/failures.js'
import type { Lease } from '../connections/pool.js'
import { type Aftermath, aftermathOf } from '../connections/state.js'
import { TenantClientMethod, TenantClientReleased, TenantQueryTimeout } from '../errors.js'
import { watchReader } from './cursor.js'

/** The server's own guard comes first and leaves the connection whole; ours is for a server that does not answer. */
const GRACE_MS = 100

/** `statement` is the same object at both ends. All but `ended` are told in the context of who asks. */
export type QueryReport =
  | { readonly type: 'waited'; readonly key: string; readonly ms: number; readonly error?: unknown }
  | { readonly type: 'sent'; readonly key: string; readonly statement: object; readonly operation: string }
  | { readonly type: 'ended'; readonly key: string; readonly statement: object; readonly error?: unknown }

/** Both give null while nobody listens, and else what to call when it is over. */
export interface Follow {
  wait(key: string): ((error?: unknown) => void) | null
  statement(key: string, query: DriverQuery): ((error?: unknown) => void) | null
}

export interface UseOptions {
  readonly queryTimeout: number
  readonly unavailable: () => Error
  /** The driver's word for "no more rows, please". */
  readonly end: unknown
  /** True once the scope of the client is over. */
  readonly over: () => boolean
  /** A write met a server that takes none. */
  readonly onReadOnly: () => void
  readonly follow?: Follow | undefined
}

export interface Use {
  readonly connection: Connection
  /** What its caller asked of the transaction under way. */
  readOnly: boolean
  /** Sends one query; `done` runs once, before the caller hears of it. */
  send(query: DriverQuery, done?: () => void): void
  /** Runs BEGIN, COMMIT and the like; resolves with the server's answer. */
  command(text: string): Promise<string>
  /** What the caller sees of a failure on this connection. */
  failure(error: unknown, cancelled?: boolean): unknown
  /** Says that something may be left behind. */
  leaves(what: Aftermath): void
  /** Gives the connection back; later calls do nothing. */
  finish(): void
}

export const COPY_REFUSED =
  'COPY holds a connection for as long as its reader likes; use a cursor, or insert rows in batches'

export function createUse(lease: Lease, options: UseOptions): Use {
  const { connection } = lease
  const deadline = options.queryTimeout + GRACE_MS
  let aftermath: Aftermath = 'clean'
  let running = 0

  const expire = (): void => connection.destroy(new TenantQueryTimeout())

  function leaves(what: Aftermath): void {
    if (what === 'destroy' || aftermath === 'clean') aftermath = what
  }

  function failure(error: unknown, cancelled = false): unknown {
    const seen = toCaller(error, {
      connecting: false,
      cancelled,
      lost: connection.lost !== null,
      readOnly: use.readOnly,
      unavailable: cause => withCause(options.unavailable(), cause),
    })
    if (seen !== error && isReadOnlyServer(error)) {
      leaves('destroy')
      options.onReadOnly()
    }
    return options.over() && connection.lost ? withCause(new TenantClientReleased(), error) : seen
  }

  function send(query: DriverQuery, done: () => void = () => {}): void {
    const { resolve, reject } = query
    let over = false
    let cancelled = false
    let timer = setTimeout(expire, deadline)
    const told = options.follow?.statement(connection.database, query)
    const finish = (error?: unknown): void => {
      if (over) return
      over = true
      clearTimeout(timer)
      running--
      told?.(error)
      done()
    }
    running++
    leaves(aftermathOf(query))
    query.canceller = () => {
      if (over) return
      cancelled = true
      // The request to cancel may come after the query has ended: nobody else may have this connection then.
      leaves('destroy')
      // What only waits behind another is not on its turn yet; the driver would lose count of the answers.
      if (query.active) void connection.cancel(query)
      else query.reject(cancelledByCaller())
    }
    // The deadline is for the server, batch by batch; the reader may take as long as the server lets it.
    const reader = watchReader(query, options.end, {
      begins: () => clearTimeout(timer),
      ends: () => {
        if (!over) timer = setTimeout(expire, deadline)
      },
      lost: () => connection.lost !== null,
    })
    query.resolve = value => {
      if (value instanceof Stream) {
        value.on('error', () => {})
        connection.destroy(new TenantClientMethod('copy', COPY_REFUSED))
        query.reject(connection.lost)
        return
      }
      finish()
      if (reader) reader.finished().then(() => resolve(value), reject)
      else resolve(value)
    }
    query.reject = error => {
      const seen = over ? error : failure(error, cancelled)
      finish(seen)
      reject(seen)
    }
    connection.execute(query)
  }

  async function command(text: string): Promise<string> {
    running++
    const timer = setTimeout(expire, deadline)
    try {
      return (await connection.run(text)).command
    } catch (error) {
      throw failure(error)
    } finally {
      clearTimeout(timer)
      running--
    }
  }

  const use: Use = {
    connection,
    readOnly: false,
    send,
    command,
    failure,
    leaves,
    finish: () => lease.release(running > 0 ? 'destroy' : aftermath),
  }
  return use
}
