// Authentication: a bearer token is verified in `onRequest`, before a tenant is looked up and before its database is used.
// Register it before the tenant plugin. Invariant: `request.user` holds verified claims or null; a token that cannot be
// verified refuses the request, it never counts as none. If the issuer is down: keys that are known go on verifying.
import type { FastifyContextConfig, FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ConfigurationInvalid, checkPluginOptions, requirePeer, Unauthenticated } from '../distributed-tenant/index.js'
import { RoleForbidden, TokenKeysUnavailable } from './errors.js'
import { ALGORITHMS, type KeySet } from './key.js'

const fastifyJwt = requirePeer<typeof import('@fastify/jwt')>('@fastify/jwt')

/** The claims of a verified token. */
export interface Claims {
  /** The user. */
  readonly sub: string
  readonly [claim: string]: unknown
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    payload: { readonly [claim: string]: unknown }
    user: Claims | null
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Roles that may: a user with at least one of them, so that a token is needed. Without it every user of the tenant. */
    roles?: readonly string[]
  }
}

export interface TokensOptions {
  readonly keys: KeySet
  /** The only `iss` that is accepted. */
  readonly issuer: string
  /** The only `aud` that is accepted. */
  readonly audience: string
  /** The claim with the user's roles, a list of strings. Default `roles`. */
  readonly rolesClaim?: string
  /**
   * `false`: a request without a token passes, without a user. `true`: on a route that needs a tenant or a role it is
   * 401, unless the route has `config: { token: false }`.
   */
  readonly required: boolean
}

/** The tolerated difference between two clocks. */
const CLOCK_TOLERANCE_MS = 5_000
/** Verified tokens remembered for each key; a signature costs some 100 us, its memory a hash. */
const REMEMBERED = 10_000
const KID_MAX = 200

const checkGiven = checkPluginOptions<TokensOptions>('tokens', {
  keys: 'other',
  issuer: 'string',
  audience: 'string',
  rolesClaim: 'string',
  required: 'boolean',
})

async function tokensPlugin(app: FastifyInstance, options: TokensOptions): Promise<void> {
  checkGiven(options)
  const { keys, issuer, audience, rolesClaim = 'roles', required } = options
  await app.register(fastifyJwt, {
    secret: (_request: FastifyRequest, token: unknown) => keyOf(keys, token),
    decode: { complete: true },
    verify: {
      algorithms: [...ALGORITHMS],
      allowedIss: issuer,
      allowedAud: audience,
      requiredClaims: ['iss', 'aud', 'sub', 'exp'],
      clockTolerance: CLOCK_TOLERANCE_MS,
      cache: REMEMBERED,
    },
  })
  let reported = required
  app.addHook('onRoute', ({ method, url, config }) => {
    const wrong = config && wrongRoles(config)
    if (wrong) throw new ConfigurationInvalid(`roles of ${[method].flat().join()} ${url}: ${wrong}.`)
  })

  // By callback: a route without a tenant waits for nothing.
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.is404) return done()
    const { config } = request.routeOptions
    const { tenant, token, roles } = config
    // Of a route that was registered before this plugin.
    if (roles !== undefined && wrongRoles(config)) return done(new RoleForbidden(String(roles)))
    if (tenant === false || token === false) return done()
    if (request.headers.authorization === undefined) {
      if (required && (tenant === 'required' || roles !== undefined)) return done(new Unauthenticated())
      if (!reported) {
        reported = true
        app.log.warn('requests without a token are served: the tenant header is believed, as in development only')
      }
      return done()
    }
    verify(request).then(() => done(refuseRole(request, roles, rolesClaim)), done)
  })
}

/** @throws UNAUTHENTICATED, TOKEN_KEYS_UNAVAILABLE */
async function verify(request: FastifyRequest): Promise<void> {
  // Node keeps the first of two without a warning: a proxy in front may have checked the other.
  const { rawHeaders } = request.raw
  let seen = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 13 && name.toLowerCase() === 'authorization' && ++seen > 1) throw new Unauthenticated()
  }
  try {
    await request.jwtVerify()
  } catch (error) {
    if (error instanceof TokenKeysUnavailable) throw error
    request.log.debug({ reason: (error as Error).message }, 'token refused')
    throw new Unauthenticated()
  }
  if (typeof request.user?.sub !== 'string') throw new Unauthenticated()
}

/** The key a token names, if it may be used with the token's algorithm. @throws UNAUTHENTICATED */
async function keyOf(keys: KeySet, token: unknown): Promise<string> {
  const { kid, alg } = (token as { header?: { kid?: unknown; alg?: unknown } }).header ?? {}
  if (typeof kid !== 'string' || kid === '' || kid.length > KID_MAX) throw new Unauthenticated()
  if (!(ALGORITHMS as readonly unknown[]).includes(alg)) throw new Unauthenticated()
  const key = await keys.find(kid)
  if (!key?.algorithms.includes(alg as string)) throw new Unauthenticated()
  return key.pem
}

/** Null when they can be asked for. Of a string `includes` would find any part of it. */
function wrongRoles({ roles, tenant, token }: FastifyContextConfig): string | null {
  if (roles === undefined) return null
  if (!Array.isArray(roles) || roles.length === 0 || roles.some(role => typeof role !== 'string' || role === ''))
    return `write a list of names, like ['admin'], or leave it out`
  if (tenant === false || token === false)
    return 'no token is read on this route: leave `tenant: false` or `token: false` out'
  return null
}

function refuseRole({ user }: FastifyRequest, roles: readonly string[] | undefined, claim: string): Error | undefined {
  if (roles === undefined) return undefined
  const held = user?.[claim]
  const fits = Array.isArray(held) && held.some(role => roles.includes(role))
  return fits ? undefined : new RoleForbidden(roles.join(', '))
}

export const tokens = fp<TokensOptions>(tokensPlugin, { name: 'fastify-distributed-tenant-tokens', fastify: '5.x' })
export default tokens
// Its types give Fastify's request its `user`.
export type { FastifyJWT } from '@fastify/jwt'
export * from './errors.js'
export { type KeySet, parseKeySet, type VerifyingKey, verifyingKey } from './key.js'
export { createRemoteKeys, type RemoteKeys, type RemoteKeysOptions } from './remote-keys.js'
