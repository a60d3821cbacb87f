// The format of an application's log lines, as options of Fastify's logger. Invariant: no line holds a credential of a request, a
// query of a URL, or a row of a table.
import type { FastifyRequest } from 'fastify'
import { causeOfDatabase } from './causes.js'

/** `Fastify({ logger: { level: 'info', ...logFormat } })` */
export const logFormat = {
  redact: ['req.headers.authorization', 'req.headers.cookie'],
  serializers: { err: serializeError, req: serializeRequest },
}

const PATH_MAX = 500

/** The path alone, and not all of a long one: people put names and tokens into queries. */
function serializeRequest({ method, url, ip }: FastifyRequest) {
  const path = url.split('?', 1)[0] as string
  return { method, url: path.length > PATH_MAX ? `${path.slice(0, PATH_MAX)}…` : path, remoteAddress: ip }
}

/**
 * A driver's error also holds its row (`detail`, `parameters`): people's data, not for the log. So does the message of an ORM's
 * error that wraps it, like Drizzle's: then the log has the message and the stack of the driver's.
 */
function serializeError(error: Error & { code?: string; constraint_name?: string }) {
  const { message, code, constraint_name: constraint, stack, cause } = origin(error)
  const why = cause instanceof Error ? cause.message : undefined
  return { type: error.name, message, code, constraint, cause: why, stack: stack ?? '' }
}

/** The error of PostgreSQL or of the tenant plugin that an ORM's error wraps, or the error itself. */
function origin(error: Error & { code?: string; constraint_name?: string }): typeof error {
  if (error.code !== undefined) return error
  const caused = causeOfDatabase(error)
  return caused ? (caused as typeof error) : error
}
