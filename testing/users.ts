// The users of tests: tokens that the run's own key signs, and requests that carry them. Verified as every other token is, by the
// plugin's `tokens` with the run's key set.
import { generateKeyPairSync, type JsonWebKey, sign } from 'node:crypto'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import type { Environment } from '../plugins/distributed-tenant/index.js'
import type { TokensOptions } from '../plugins/tokens/index.js'
// Not by the index, which needs the application's `@fastify/jwt`.
import { type VerifyingKey, verifyingKey } from '../plugins/tokens/key.js'

/** Claims of a user's token; the tenant's is added. */
export interface TestUserClaims {
  /** Default `test-user`. */
  readonly sub?: string
  /** Default: none. */
  readonly roles?: readonly string[]
  readonly [claim: string]: unknown
}

export interface TestUser {
  /** Names the tenant, and carries the user's token: for a request over HTTP, by `fetch` for one. */
  readonly headers: Readonly<Record<string, string>>
  /** `app.inject` with those headers; headers of its own win. */
  inject(app: Injectable, request: InjectOptions | string): Promise<LightMyRequestResponse>
}

/** A Fastify instance. */
export interface Injectable {
  inject(options: InjectOptions): Promise<LightMyRequestResponse>
}

export interface Users {
  /** For `app.register(tokens, …)`. */
  readonly tokens: TokensOptions
  userOf(tenant: string, claims: TestUserClaims | undefined): TestUser
}

const KID = 'testing'
/** Seconds. Longer than a test that is being debugged. */
const VALID_FOR = 86_400

export function createUsers(environment: Environment, header: string): Users {
  const { TOKEN_ISSUER: issuer, TOKEN_AUDIENCE: audience, TOKEN_ROLES_CLAIM: rolesClaim } = environment
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const key = verifyingKey({ ...(publicKey.export({ format: 'jwk' }) as JsonWebKey), alg: 'EdDSA' }) as VerifyingKey

  function tokenOf(claims: object): string {
    const text = [{ alg: 'EdDSA', typ: 'JWT', kid: KID }, claims]
      .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    return `${text}.${sign(null, Buffer.from(text), privateKey).toString('base64url')}`
  }

  return {
    tokens: {
      keys: { find: async kid => (kid === KID ? key : null) },
      issuer,
      audience,
      rolesClaim,
      required: true,
    },
    userOf(tenant, { sub = 'test-user', roles = [], ...more } = {}) {
      const now = Math.floor(Date.now() / 1000)
      const token = tokenOf({
        iss: issuer,
        aud: audience,
        sub,
        [environment.TOKEN_TENANT_CLAIM]: tenant,
        [rolesClaim]: roles,
        iat: now,
        exp: now + VALID_FOR,
        ...more,
      })
      const headers = { [header.toLowerCase()]: tenant, authorization: `Bearer ${token}` }
      return {
        headers,
        inject(app, request) {
          const options = typeof request === 'string' ? { url: request } : request
          return app.inject({ ...options, headers: { ...headers, ...lowered(options.headers) } })
        },
      }
    },
  }
}

const lowered = (headers: InjectOptions['headers'] = {}): NonNullable<InjectOptions['headers']> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
