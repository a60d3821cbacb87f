// The shape of every error of a service: `{ statusCode, code, error, message }`, the message ending with the cure.
// Invariant: foreign texts (a driver's, a stack) are logged and never sent.
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { RETRY_AFTER } from '../../plugins/distributed-tenant/index.js'

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

/** The driver's codes of a lost or unreachable central database; tenant databases have codes of their own. */
const unreachable =
  /^(08\w{3}|57P0[1-5]|53300|25006|CONNECT(ION)?_\w+|ECONN(REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)$/

/** The server lacks disk, memory or another resource (class 53), or its system fails it (58000, 58030). */
const exhausted = /^(53\w{3}|58000|58030)$/
/** A conflict with another transaction, and this one has changed nothing: serialization, deadlock, a lock time-out. */
const inTheWay = /^(40001|40P01|55P03)$/

/** JSON may hold a NUL that PostgreSQL's text and jsonb cannot. */
const unstorable = /^(22021|22P05)$/
/** A value that has the right form and does not exist for the column's type: 31 February, a number that is too large. */
const beyondType = /^(22003|22007|22008)$/
/** An expression or a value that is nested too deeply for the server's stack. */
const tooComplex = /^5400[01]$/

/** Makes every error of this instance leave in the one shape; unknown routes too. */
export function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler<FastifyError>((error, request, reply) => answer(asError(error), request, reply))
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send(body(404, 'ROUTE_NOT_FOUND', 'No such route: see /api/docs for those there are.')),
  )
}

/** Logs an error by its weight and sends it. Also for failures before there is a route (`frameworkErrors`). */
export function answer(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const body = describe(error, request)
  if (body.statusCode === 500) request.log.error({ err: error }, 'request failed')
  else if (body.statusCode > 500) request.log.warn({ err: error }, 'request refused')
  else request.log.debug({ code: body.code }, 'request not understood')
  const wait = RETRY_AFTER[body.code] ?? (body.statusCode === 503 ? 2 : undefined)
  if (wait !== undefined && !reply.hasHeader('retry-after')) reply.header('retry-after', wait)
  return reply.code(body.statusCode).send(body)
}

function describe(error: FastifyError, request: FastifyRequest): ErrorAnswer {
  const { code = '', statusCode = 500 } = error
  if (error.validation) return body(400, 'REQUEST_INVALID', invalid(error))
  if (unstorable.test(code)) {
    return body(400, 'REQUEST_INVALID', 'A text holds a NUL character, which cannot be stored: remove it.')
  }
  if (beyondType.test(code)) {
    return body(400, 'REQUEST_INVALID', 'A date or a number is out of range: correct it as /api/docs says.')
  }
  if (tooComplex.test(code)) {
    return body(400, 'REQUEST_INVALID', 'A value is nested too deeply or too large: send less at once.')
  }
  if (exhausted.test(code) && code !== '53300') {
    return body(
      503,
      'DATABASE_EXHAUSTED',
      'The database has no disk space, memory or connections left: try again after Retry-After seconds; the operator must make room.',
    )
  }
  if (inTheWay.test(code)) {
    return body(
      503,
      'TRANSACTION_CONFLICT',
      'The transaction conflicted with another one and nothing was changed: try again after Retry-After seconds.',
    )
  }
  if (unreachable.test(code)) {
    return body(
      503,
      'CENTRAL_DATABASE_UNAVAILABLE',
      'The central database cannot be reached: try again after Retry-After seconds.',
    )
  }
  const worded = error.statusCode !== undefined && statusCode >= 400 && statusCode < 600 && /^[A-Z][A-Z_]+$/.test(code)
  if (worded && (statusCode !== 500 || code.startsWith('TENANT_'))) {
    return body(statusCode, code, cures[code] ?? error.message)
  }
  if (error.statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return body(statusCode, 'REQUEST_INVALID', `${STATUS_CODES[statusCode] ?? 'Refused'}: correct the request.`)
  }
  return body(500, 'INTERNAL_ERROR', `The service failed: try again, or report the request id ${request.id}.`)
}

/** Anything can be thrown, and not everything has a code. */
function asError(thrown: unknown): FastifyError {
  return thrown instanceof Error ? (thrown as FastifyError) : (new Error(`thrown: ${typeof thrown}`) as FastifyError)
}

/** Names the field and the rule it breaks, never the value. */
function invalid(error: FastifyError): string {
  const rules = error.validation ?? []
  // A property that is not allowed is reported twice, first as a false schema without a reason.
  const rule = rules.find(({ keyword }) => keyword !== 'boolean') ?? rules[0]
  const where = `${error.validationContext ?? 'request'}${rule?.instancePath ?? ''}`
  const extra = rule?.keyword === 'additionalProperties' ? [rule.params.additionalProperties].flat().join(', ') : ''
  const allowed = rule?.keyword === 'enum' ? [rule.params.allowedValues].flat().join(', ') : ''
  const which = extra ? ` (${extra.slice(0, 100)})` : allowed ? ` (${allowed})` : ''
  return `${where} ${rule?.message ?? 'is invalid'}${which}: correct it as /api/docs says.`
}

function body(statusCode: number, code: string, message: string): ErrorAnswer {
  return { statusCode, code, error: STATUS_CODES[statusCode] ?? 'Error', message }
}
