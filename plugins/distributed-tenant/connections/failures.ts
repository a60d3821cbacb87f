// Owns how a failure of the driver or the server is told: which mean "this connection or server is gone" (one code for
// all of them, as theirs vary with timing, facts C), which are the caller's own and pass through untouched.
import { TenantQueryTimeout } from '../errors.js'

/** SQLSTATE classes and codes that speak of the connection or the server, not of the statement. */
const serverGone = /^(08...|57P0[1-5]|53[1-4]..|3D000|28...|25006|55000|58...|XX00[0-2])$/
const driverGone =
  /^(CONNECTION_(CLOSED|DESTROYED|ENDED)|CONNECT_TIMEOUT|E(CONNREFUSED|CONNRESET|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN)|SASL_\w+|AUTH_TYPE_NOT_IMPLEMENTED)$/

const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? '')

/** True when the connection or the server is at fault. `55000` and `53xxx` are so at connect; `connecting` says which. */
export function isUnavailable(error: unknown, connecting: boolean): boolean {
  const code = codeOf(error)
  if (driverGone.test(code)) return true
  if (!serverGone.test(code)) return false
  // While running, 55000 and 53xxx (object not in state, disk full) are the statement's own.
  return connecting || !/^(55000|53...|28...|3D000|58...|XX...)$/.test(code)
}

/** True for statement_timeout, the server's guard behind our own deadline. */
export function isStatementTimeout(error: unknown): boolean {
  return codeOf(error) === '57014'
}

/** Turns what a query failed with into what its caller sees. */
export function toCaller(
  error: unknown,
  context: { connecting: boolean; cancelled: boolean; unavailable: (cause: unknown) => Error },
): unknown {
  if (isStatementTimeout(error) && !context.cancelled) return withCause(new TenantQueryTimeout(), error)
  if (isUnavailable(error, context.connecting)) return context.unavailable(error)
  return error
}

/** Keeps the cause for the log without printing it to the client. */
export function withCause<E extends Error>(error: E, cause: unknown): E {
  Object.defineProperty(error, 'cause', { value: cause, enumerable: false, configurable: true })
  return error
}

/** For a connection that we or nobody known closed; reads as unavailable. */
export function connectionClosed(why: string): Error {
  return Object.assign(new Error(why), { code: 'CONNECTION_CLOSED' })
}
