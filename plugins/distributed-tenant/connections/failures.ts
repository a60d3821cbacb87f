// Owns how a failure of the driver or the server is told: which mean "this connection or server is gone" (one code for
// all of them, as theirs vary with timing, facts C), which are the caller's own and pass through untouched.
import { TenantQueryTimeout } from '../errors.js'

/** SQLSTATEs of a running statement that speak of the connection or the server: lost, shut down, turned read-only. */
const serverGone = /^(08...|57P0[1-5]|25006)$/
/** At connect every refusal of the server means the same to the caller: no such database, no right, no room. */
const sqlState = /^[0-9A-Z]{5}$/
const driverGone =
  /^(CONNECTION_(CLOSED|DESTROYED|ENDED)|CONNECT_TIMEOUT|E(CONNREFUSED|CONNRESET|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN)|SASL_\w+|AUTH_TYPE_NOT_IMPLEMENTED)$/

const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? '')

/** True when the connection or the server is at fault, and not the statement. */
export function isUnavailable(error: unknown, connecting: boolean): boolean {
  const code = codeOf(error)
  return driverGone.test(code) || (connecting ? sqlState : serverGone).test(code)
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
