// Authorization of the admin routes by ADMIN_TOKEN, and of the feed by SERVICE_TOKEN; any of several while one is being
// replaced. Compared over digests, in constant time, so that neither a token's length nor its beginning can be measured.
// Without a configured token every request is refused.
import { createHash, timingSafeEqual } from 'node:crypto'
import { createError } from '@fastify/error'
import type { FastifyRequest, onRequestAsyncHookHandler } from 'fastify'

export const Unauthenticated = createError(
  'UNAUTHENTICATED',
  'This route needs the operator’s token: send `Authorization: Bearer <ADMIN_TOKEN>`.',
  401,
)

/** The same code for the routes that other services use. */
export const ServiceUnauthenticated = createError(
  'UNAUTHENTICATED',
  'This route is for services: send `Authorization: Bearer <SERVICE_TOKEN>`.',
  401,
)

const digest = (value: string) => createHash('sha256').update(value).digest()

export interface Bearers {
  /** In constant time. */
  accepts(token: string): boolean
}

export function bearersOf(tokens: readonly string[]): Bearers {
  const expected = tokens.map(digest)
  return {
    accepts(token) {
      const seen = digest(token)
      // All of them, so that the matching one cannot be measured either.
      return expected.map(one => timingSafeEqual(seen, one)).includes(true)
    },
  }
}

/** The token a request brings along. */
export const bearerOf = ({ headers }: FastifyRequest): string | undefined =>
  /^Bearer +([^\s]+) *$/i.exec(headers.authorization ?? '')?.[1]

/** Requests with the operator's token. */
const operators = new WeakSet<FastifyRequest>()

/** Whether {@link requireAdmin} accepted a request's token. False before its check. */
export const isOperator = (request: FastifyRequest): boolean => operators.has(request)

/**
 * An `onRequest` hook that lets only the bearer of one of `tokens` pass.
 * @param tokens one, or several separated by commas; or the source of those valid now
 * @throws UNAUTHENTICATED with WWW-Authenticate
 */
export function requireAdmin(tokens: string | undefined | Bearers): onRequestAsyncHookHandler {
  const bearers = typeof tokens === 'object' ? tokens : bearersOf((tokens ?? '').split(',').filter(Boolean))
  return requireBearer(bearers, () => new Unauthenticated(), operators)
}

/** As {@link requireAdmin}, for services. Several tokens are valid at once while they are replaced. */
export function requireService(tokens: readonly string[]): onRequestAsyncHookHandler {
  return requireBearer(bearersOf(tokens), () => new ServiceUnauthenticated())
}

function requireBearer(
  bearers: Bearers,
  refusal: () => Error,
  accepted?: WeakSet<FastifyRequest>,
): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const given = bearerOf(request)
    if (given !== undefined && bearers.accepts(given)) {
      accepted?.add(request)
      return
    }
    reply.header('www-authenticate', given === undefined ? 'Bearer' : 'Bearer error="invalid_token"')
    throw refusal()
  }
}
