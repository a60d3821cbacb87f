// Owns who may use the admin routes: the bearer of ADMIN_TOKEN, or of one of several while it is being replaced. Compared
// over digests, in constant time, so that neither a token's length nor its beginning can be measured. Without a token
// configured nobody may.
import { createHash, timingSafeEqual } from 'node:crypto'
import createError from '@fastify/error'
import type { onRequestAsyncHookHandler } from 'fastify'

export const Unauthenticated = createError(
  'UNAUTHENTICATED',
  'This route needs the operator’s token: send `Authorization: Bearer <ADMIN_TOKEN>`.',
  401,
)

const digest = (value: string) => createHash('sha256').update(value).digest()

/**
 * An `onRequest` hook that lets only the bearer of one of `tokens` pass.
 * @param tokens one, or several separated by commas
 * @throws UNAUTHENTICATED with WWW-Authenticate
 */
export function requireAdmin(tokens: string | undefined): onRequestAsyncHookHandler {
  const expected = (tokens ?? '').split(',').filter(Boolean).map(digest)
  return async (request, reply) => {
    const given = /^Bearer +([^\s]+) *$/i.exec(request.headers.authorization ?? '')?.[1]
    if (given !== undefined && isOneOf(digest(given), expected)) return
    reply.header('www-authenticate', given === undefined ? 'Bearer' : 'Bearer error="invalid_token"')
    throw new Unauthenticated()
  }
}

/** Compares with every one, so that the time does not tell which fitted. */
function isOneOf(given: Buffer, expected: readonly Buffer[]): boolean {
  let fits = false
  for (const one of expected) fits = timingSafeEqual(given, one) || fits
  return fits
}
