// Sign-in: /api/login for the users of a tenant, and the keys that verify its tokens. Invariant: neither the answer nor its
// time reveals whether a user exists. Guessing is slowed for each tenant, address and e-mail, for each tenant and address
// whatever the e-mail, and for each address whatever the tenant.
import { createHash, randomUUID } from 'node:crypto'
import { createError } from '@fastify/error'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { AuditRecord } from '../../../plugins/audit/index.js'
import { addressOf } from '../../../plugins/limits/index.js'
import { errors, tenantErrors } from '../../http/schemas.js'
import { createCredentials } from '../credentials.js'
import type { Passwords } from '../passwords.js'
import { KeySetBody, Login, Token } from '../schemas/credentials.js'
import { type SigningKeys, TOKEN_SECONDS } from '../signing-keys.js'
import { callerOf } from '../turns.js'

export const LoginFailed = createError(
  'LOGIN_FAILED',
  'The e-mail address or the password is wrong: check both, and that the tenant is yours.',
  401,
)

export interface LoginRouteOptions {
  readonly keys: SigningKeys
  readonly passwords: Passwords
  readonly issuer: string
  readonly audience: string
  /** Logins a minute of one address, at all tenants together; 0: no limit. */
  readonly perMinute: number
}

const tags = ['login']
const MINUTE = 60_000

export const loginRoutes: FastifyPluginAsyncTypebox<LoginRouteOptions> = async (app, options) => {
  const { keys, passwords, issuer, audience, perMinute } = options
  const inAll = perMinute > 0 ? app.limit({ name: 'logins', max: perMinute, windowMs: MINUTE }) : undefined
  const perAddress = app.limit({
    name: 'login',
    max: 60,
    windowMs: MINUTE,
    of: request => `${request.tenantId}:${addressOf(request)}`,
  })
  const perAccount = app.limit({
    name: 'account',
    max: 10,
    windowMs: MINUTE,
    of: request => `${request.tenantId}:${addressOf(request)}:${nameless((request.body as Login).email)}`,
  })

  app.post(
    '/api/login',
    {
      config: { tenant: 'required', token: false },
      bodyLimit: 4096,
      schema: {
        tags,
        summary: 'Sign in to the named tenant',
        description: 'The token is good for 15 minutes, in every service, for this tenant alone.',
        body: Login,
        response: { 200: Token, ...tenantErrors(413, 415) },
      },
    },
    async (request, reply) => {
      inAll?.(request, reply)
      perAddress(request, reply)
      perAccount(request, reply)
      const { email, password } = request.body
      const credentials = createCredentials(request.sql)
      const account = await credentials.find(email)
      const outcome = await passwords.check(password, account?.passwordHash, callerOf(request))
      if (!account || outcome === 'wrong') {
        app.audit.record(failed(request))
        throw new LoginFailed()
      }
      if (outcome === 'outdated') {
        const renewed = await passwords.hash(password, callerOf(request))
        await credentials.renew(account.id, account.passwordHash, renewed)
      }
      const { kid, privateKey } = keys.signer()
      const claims = { sub: account.id, tenant: request.tenant.id, roles: [account.role], jti: randomUUID() }
      const token = app.jwt.sign(claims, {
        algorithm: 'EdDSA',
        key: privateKey,
        kid,
        iss: issuer,
        aud: audience,
        expiresIn: TOKEN_SECONDS,
      })
      return { token, tokenType: 'Bearer' as const, expiresIn: TOKEN_SECONDS }
    },
  )

  app.get(
    '/.well-known/jwks.json',
    {
      config: { tenant: false },
      schema: { tags, summary: 'The keys that verify tokens', response: { 200: KeySetBody, ...errors() } },
    },
    async (_request, reply) => {
      reply.header('cache-control', 'public, max-age=300')
      return keys.published()
    },
  )
}

/** The tenant and the address of failed logins. Not the e-mail: people type passwords into the wrong field. */
const failed = (request: FastifyRequest): AuditRecord => ({
  kind: 'refused',
  result: 'LOGIN_FAILED',
  tenantId: request.tenantId,
  requestId: request.id,
  detail: { method: request.method, route: request.routeOptions.url, address: request.ip },
})

/** The counted key goes to Redis, so the e-mail in it is hashed. */
const nameless = (email: string): string =>
  createHash('sha256').update(email.toLowerCase()).digest('base64url').slice(0, 22)
