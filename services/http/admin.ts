// Owns who may use the admin routes: the bearer of ADMIN_TOKEN. Compared over digests, in constant time, so that neither
// the token's length nor its beginning can be measured. Without a token configured nobody may.
import { createHash, timingSafeEqual } from 'node:crypto'
import createError from '@fastify/error'
import type { onRequestAsyncHookHandler } from 'fastify'

export const Unauthenticated = createError(
  'UNAUTHENTICATED',
  'This route needs the operator’s token: send `Authorization: Bearer <ADMIN_TOKEN>`.',
  401,
)

const digest = (value: string) => createHash('sha256').update(value).digest()

/** An `onRequest` hook that lets only the bearer of `token` pass. @throws UNAUTHENTICATED with WWW-Authenticate */
export function requireAdmin(token: string | undefined): onRequestAsyncHookHandler {
  const expected = token ? digest(token) : undefined
  return async (request, reply) => {
    const given = /^Bearer +([^\s]+) *$/i.exec(request.headers.authorization ?? '')?.[1]
    if (expected && given !== undefined && timingSafeEqual(digest(given), expected)) return
    reply.header('www-authenticate', given === undefined ? 'Bearer' : 'Bearer error="invalid_token"')
    throw new Unauthenticated()
  }
}
