// The classification of failures of the driver and the server: which mean that this connection or server is gone (one code
// for all of them, as theirs vary with timing, docs/decisions/0001), and which are the caller's own and pass through unchanged.
import { TenantQueryTimeout } from '../errors.js'

/** SQLSTATEs about the connection or the server while a statement runs; 53xxx, say, is then the statement's own. */
const serverGone = /^(08...|57P0[1-5])$/
const driverGone =
  /^(CONNECTION_(CLOSED|DESTROYED|ENDED)|CONNECT_TIMEOUT|E(CONNREFUSED|CONNRESET|CONNABORTED|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN)|ERR_(SSL|TLS)_\w+)$/

const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? '')

/** True for an answer of this plugin's, made by @fastify/error. */
const isOurs = (error: unknown): boolean => typeof (error as { statusCode?: unknown } | null)?.statusCode === 'number'

/** True for statement_timeout, the server's guard before our own deadline. */
const isStatementTimeout = (error: unknown): boolean => codeOf(error) === '57014'

/** True when a write met a server that is read only: after a failover a new connection may find the primary. */
export const isReadOnlyServer = (error: unknown): boolean => codeOf(error) === '25006'

/** Refused at the login: no such database or role, a wrong password, no right to connect, closed to all logins. */
export const atTheDoor = (error: unknown): boolean => /^(3D000|28P01|28000|42501|55000)$/.test(codeOf(error))

/** A tenant's statement may be refused so while its database is moved: no rights to write, or a session that is read only. */
export const isRefusedWrite = (error: unknown): boolean => /^(42501|25006)$/.test(codeOf(error))

/** The server's routines that refuse a prepared statement only because it is out of date: prepared anew it would run. */
const staleRoutines: ReadonlySet<unknown> = new Set([
  'FetchPreparedStatement',
  'RevalidateCachedQuery',
  'transformAssignedExpr',
])

export const isStale = (error: unknown): boolean => staleRoutines.has((error as { routine?: unknown } | null)?.routine)

export interface FailureContext {
  /** While connecting, every failure is the server's: no statement of the caller's was sent. */
  readonly connecting: boolean
  /** The caller asked for it. */
  readonly cancelled: boolean
  /** The connection is gone. */
  readonly lost: boolean
  /** The caller's transaction is read only. */
  readonly readOnly: boolean
  readonly unavailable: (cause: unknown) => Error
}

/** The error that a caller sees for a failed query. */
export function toCaller(error: unknown, context: FailureContext): unknown {
  if (isOurs(error)) return error
  if (isStatementTimeout(error) && !context.cancelled) return withCause(new TenantQueryTimeout(), error)
  if (context.connecting || context.lost) return context.unavailable(error)
  const code = codeOf(error)
  const gone = serverGone.test(code) || driverGone.test(code) || (isReadOnlyServer(error) && !context.readOnly)
  return gone ? context.unavailable(error) : error
}

/** Keeps the cause for the log without printing it to the client. */
export function withCause<E extends Error>(error: E, cause: unknown): E {
  Object.defineProperty(error, 'cause', { value: cause, enumerable: false, configurable: true })
  return error
}

/** For a statement whose text cannot be sent; the code is the server's own for a parameter like that. */
export function nulInStatement(): Error {
  return Object.assign(new Error('the text of a statement holds a NUL character: remove it'), { code: '22021' })
}

/**
 * For a connection that was closed, by us or at the other end; reads as unavailable. Without a stack, which would be that of a
 * timer or a socket, and costs more than all else of a close.
 */
export function connectionClosed(why: string): Error {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const error = Object.assign(new Error(why), { code: 'CONNECTION_CLOSED' })
  Error.stackTraceLimit = stackTraceLimit
  return error
}

const NO_PRIMARY = 'no server is a primary'

/** For servers of one PostgreSQL that are standbys, or do not answer; `which` names them. */
export const noPrimary = (which: string): Error => connectionClosed(`${NO_PRIMARY}: ${which}`)

/** Then at least one server answers. */
export const isWithoutPrimary = (error: unknown): error is Error =>
  error instanceof Error && error.message.startsWith(NO_PRIMARY)

/** For a server that refuses a request for TLS. Its message ends with the cure, which other messages quote. */
export function serverWithoutTls(): Error {
  const message =
    'the server has no TLS: set ssl = on there, or DB_SSLMODE=disable here where the network to it is private (sslmode in --from)'
  return Object.assign(new Error(message), { code: 'ERR_TLS_NOT_OFFERED' })
}

/** Then no other setting is the cause. */
export const isWithoutTls = (error: unknown): boolean => codeOf(error) === 'ERR_TLS_NOT_OFFERED'

/** The server's own error, for a query that was cancelled before it ran. */
export function cancelledByCaller(): Error {
  return Object.assign(new Error('canceling statement due to user request'), { code: '57014' })
}
