// The answer to an error: its status, its code and a message that ends with the cure, from the error or from those that caused it.
// Invariant: foreign texts (a driver's, a stack) are logged and never sent.
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { RETRY_AFTER } from '../distributed-tenant/index.js'
import { causeOfDatabase } from './causes.js'

export interface ErrorAnswer {
  statusCode: number
  code: string
  error: string
  message: string
}

/** Fastify's own refusals, with a cure. */
const cures: Readonly<Record<string, string>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'The body is too large: send less at once.',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'This media type is not understood: send application/json.',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'The body is empty: send a JSON object, or no Content-Type.',
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body is not well-formed JSON: send a JSON object.',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as its Content-Length: send the whole body.',
  FST_ERR_BAD_URL: 'The URL is malformed: percent-encode it correctly.',
}

/** A SQLSTATE, or a code of the driver's own, and the answer. The first that fits counts. */
type Rule = readonly [code: RegExp, ...answer: Parameters<typeof bodyOf>]

const rules: readonly Rule[] = [
  // JSON may hold a NUL that PostgreSQL's text and jsonb cannot.
  [/^(22021|22P05)$/, 400, 'REQUEST_INVALID', 'A text holds a NUL character, which cannot be stored: remove it.'],
  // The right form, and yet nothing of the column's type: 31 February, a number that is too large.
  [/^(22003|22007|22008)$/, 400, 'REQUEST_INVALID', 'A date or a number is out of range: correct it.'],
  // A value without the form of the column's type, like an id that is no UUID, or one that is longer than its column.
  [
    /^(22P02|22P03|22001)$/,
    400,
    'REQUEST_INVALID',
    'A value does not have the form or the length of its column: correct it.',
  ],
  // An expression or a value that is nested too deeply for the server's stack.
  [/^5400[01]$/, 400, 'REQUEST_INVALID', 'A value is nested too deeply or too large: send less at once.'],
  [
    /^(23505|23P01)$/,
    409,
    'ALREADY_EXISTS',
    'Another entry has this value already, and only one may: change that entry, or send another value.',
  ],
  // The server says the same of an insert whose parent is missing and of a delete of a parent.
  [
    /^(23503|23001)$/,
    409,
    'REFERENCE_BROKEN',
    'An entry would refer to one that does not exist: create that one first, or remove what refers to it.',
  ],
  [/^(23514|23502)$/, 422, 'VALUE_REFUSED', 'A value is missing or breaks a rule of its table: correct it.'],
  // No disk, memory or another resource (class 53 without its connections), or the server's system fails it.
  [
    /^(53(?!300)\w{3}|58000|58030)$/,
    503,
    'DATABASE_EXHAUSTED',
    'The database has no disk space, memory or connections left: try again after Retry-After seconds; the operator must make room.',
  ],
  // A conflict with another transaction, and this one has changed nothing: serialization, deadlock, a lock time-out.
  [
    /^(40001|40P01|55P03)$/,
    503,
    'TRANSACTION_CONFLICT',
    'The transaction conflicted with another one and nothing was changed: try again after Retry-After seconds.',
  ],
  // The driver's codes of a lost or unreachable central database; tenant databases have codes of their own.
  [
    /^(08\w{3}|57P0[1-5]|53300|25006|CONNECT(ION)?_\w+|ECONN(REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)$/,
    503,
    'CENTRAL_DATABASE_UNAVAILABLE',
    'The central database cannot be reached: try again after Retry-After seconds.',
  ],
]

/** Prisma's codes of what PostgreSQL refuses. */
const ofPrisma: Readonly<Record<string, string>> = {
  P2000: '22001',
  P2002: '23505',
  P2003: '23503',
  P2004: '23514',
  P2011: '23502',
  P2014: '23503',
  P2020: '22003',
  P2034: '40001',
}

/**
 * Logs an error by its weight and sends it. Also for failures before there is a route: `Fastify({ frameworkErrors: answer })`.
 * @param documentation the path of the API's documentation, for the message
 */
export function answer(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
  documentation?: string,
): FastifyReply {
  const body = describe(error, request, documentation)
  if (body.statusCode === 500) request.log.error({ err: error }, 'request failed')
  else if (body.statusCode > 500) request.log.warn({ err: error }, 'request refused')
  else request.log.debug({ code: body.code }, 'request not understood')
  const wait = RETRY_AFTER[body.code] ?? (body.statusCode === 503 ? 2 : undefined)
  if (wait !== undefined && !reply.hasHeader('retry-after')) reply.header('retry-after', wait)
  return reply.code(body.statusCode).send(body)
}

function describe(thrown: FastifyError, request: FastifyRequest, documentation: string | undefined): ErrorAnswer {
  const error = known(thrown)
  const { statusCode = 500 } = error
  const code = ofPrisma[error.code ?? ''] ?? error.code ?? ''
  if (error.validation) return bodyOf(400, 'REQUEST_INVALID', invalid(error, documentation))
  const rule = rules.find(([pattern]) => pattern.test(code))
  if (rule) {
    const [, ...answer] = rule
    return bodyOf(...answer)
  }
  const worded = error.statusCode !== undefined && statusCode >= 400 && statusCode < 600 && /^[A-Z][A-Z_]+$/.test(code)
  if (worded && (statusCode !== 500 || code.startsWith('TENANT_'))) {
    return bodyOf(statusCode, code, cures[code] ?? error.message)
  }
  if (error.statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return bodyOf(statusCode, 'REQUEST_INVALID', `${STATUS_CODES[statusCode] ?? 'Refused'}: correct the request.`)
  }
  return bodyOf(500, 'INTERNAL_ERROR', `The service failed: try again, or report the request id ${request.id}.`)
}

/**
 * The error itself, or the first of its causes that PostgreSQL, Prisma or the tenant plugin has thrown. Any other cause, like the
 * failed call of another service, does not say what this request's answer is.
 */
function known(thrown: FastifyError): FastifyError {
  if (thrown.statusCode !== undefined) return thrown
  return (causeOfDatabase(thrown) as FastifyError | null) ?? thrown
}

/** Anything can be thrown, and not everything has a code. */
export function asError(thrown: unknown): FastifyError {
  return thrown instanceof Error ? (thrown as FastifyError) : (new Error(`thrown: ${typeof thrown}`) as FastifyError)
}

/** Names the field and the rule it breaks, never the value. */
function invalid(error: FastifyError, documentation: string | undefined): string {
  const rules = error.validation ?? []
  // A property that is not allowed is reported twice, first as a false schema without a reason.
  const rule = rules.find(({ keyword }) => keyword !== 'boolean') ?? rules[0]
  const where = `${error.validationContext ?? 'request'}${rule?.instancePath ?? ''}`
  const extra = rule?.keyword === 'additionalProperties' ? [rule.params.additionalProperties].flat().join(', ') : ''
  const allowed = rule?.keyword === 'enum' ? [rule.params.allowedValues].flat().join(', ') : ''
  const which = extra ? ` (${extra.slice(0, 100)})` : allowed ? ` (${allowed})` : ''
  return `${where} ${rule?.message ?? 'is invalid'}${which}: correct it${documentation ? ` as ${documentation} says` : ''}.`
}

export function bodyOf(statusCode: number, code: string, message: string): ErrorAnswer {
  return { statusCode, code, error: STATUS_CODES[statusCode] ?? 'Error', message }
}
