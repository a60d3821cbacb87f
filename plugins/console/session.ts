// The operator's session: a signed cookie with name, role and end, and the CSRF token that belongs to it. It is stored nowhere, so
// every replica with the same secret knows it; those that were signed out of are, see sign-outs.ts. Invariants: the cookie is
// HttpOnly and SameSite=Strict and never holds a token of the operator API; a session that is over is refused.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createError } from '@fastify/error'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Operator } from '../operator/index.js'

export const SignInRequired = createError('UNAUTHENTICATED', 'The console has no session of yours: sign in.', 401)
export const CsrfTokenInvalid = createError(
  'CSRF_TOKEN_INVALID',
  'A change needs the token of this session in `x-csrf-token`, from the console’s own page: load the page again.',
  403,
)

export interface Session extends Operator {
  readonly id: string
  /** Milliseconds since 1970. */
  readonly until: number
}

export interface Sessions {
  open(operator: Operator, request: FastifyRequest, reply: FastifyReply): Session
  /** Null without a valid cookie; it may have been signed out of. */
  read(request: FastifyRequest): Session | null
  /** Takes the cookie away. */
  clear(reply: FastifyReply): void
  csrfToken(session: Session): string
  /** @throws CSRF_TOKEN_INVALID */
  checkCsrf(session: Session, request: FastifyRequest): void
}

const COOKIE = 'console_session'

export function createSessions(options: { secret: string; path: string; lifetimeMs: number }): Sessions {
  const { secret, path, lifetimeMs } = options
  const sign = (text: string): string => createHmac('sha256', secret).update(text).digest('base64url')
  const isSigned = (text: string, signature: string): boolean => {
    const [a, b] = [Buffer.from(sign(text)), Buffer.from(signature)]
    return a.length === b.length && timingSafeEqual(a, b)
  }
  const attributes = `Path=${path}; HttpOnly; SameSite=Strict`
  const csrfToken = (session: Session): string => sign(`csrf ${session.id}`)

  return {
    csrfToken,
    open({ name, role }, request, reply) {
      const session = { id: randomBytes(16).toString('base64url'), name, role, until: Date.now() + lifetimeMs }
      const body = Buffer.from(JSON.stringify(session)).toString('base64url')
      const secure = request.protocol === 'https' ? '; Secure' : ''
      const age = Math.floor(lifetimeMs / 1000)
      reply.header('set-cookie', `${COOKIE}=${body}.${sign(body)}; ${attributes}; Max-Age=${age}${secure}`)
      return session
    },
    read({ headers }) {
      for (const pair of (headers.cookie ?? '').split(';')) {
        const [, body, signature] = /^ *console_session=([\w-]+)\.([\w-]+) *$/.exec(pair) ?? []
        if (body === undefined || signature === undefined || !isSigned(body, signature)) continue
        const session = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as Session
        if (session.until > Date.now()) return session
      }
      return null
    },
    clear(reply) {
      reply.header('set-cookie', `${COOKIE}=; ${attributes}; Max-Age=0`)
    },
    checkCsrf(session, request) {
      const given = request.headers['x-csrf-token']
      const site = request.headers['sec-fetch-site']
      const ownPage = site === undefined || site === 'same-origin'
      if (!ownPage || typeof given !== 'string' || !isSigned(`csrf ${session.id}`, given)) throw new CsrfTokenInvalid()
    },
  }
}
