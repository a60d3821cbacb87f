// Access to a service: the issuers of tokens it accepts, the source of a request's tenant, and the rate limits.
// Invariant: in production a tenant route without a token is 401, and a token serves its own tenant alone. In development
// a request without a token is served for the tenant it names; one with a token is held to the token's tenant there too.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  ConfigurationInvalid,
  type DistributedTenantOptions,
  type Environment,
  fromClaim,
  fromDomain,
  fromHeader,
  fromSubdomain,
  tenantClaim,
} from '../plugins/distributed-tenant/index.js'
import tokens, { createRemoteKeys, type KeySet } from '../plugins/tokens/index.js'
import { bearerOf, bearersOf } from './http/admin.js'

/** Requests a minute in production, unless the environment overrides it: far above people, below a runaway program. */
const PER_ADDRESS = 12_000
const PER_TENANT = 60_000

/** 0: no limit, as in development. */
export function rateLimits({ NODE_ENV, RATE_LIMIT_PER_ADDRESS, RATE_LIMIT_PER_TENANT }: Environment) {
  const production = NODE_ENV === 'production'
  return {
    perAddress: RATE_LIMIT_PER_ADDRESS ?? (production ? PER_ADDRESS : 0),
    perTenant: RATE_LIMIT_PER_TENANT ?? (production ? PER_TENANT : 0),
  }
}

/**
 * Whether a request may read the detail of `/api/health`: the bearer of METRICS_TOKEN and those of `readers` may, wherever
 * they are.
 * @param readers default: the bearers of ADMIN_TOKEN and SERVICE_TOKEN
 */
export function readersOfDetail(
  { ADMIN_TOKEN, SERVICE_TOKEN, METRICS_TOKEN }: Environment,
  readers = bearersOf([ADMIN_TOKEN, SERVICE_TOKEN].flatMap(tokens => tokens?.split(',') ?? [])),
): (request: FastifyRequest) => boolean {
  const scrapers = bearersOf(METRICS_TOKEN ? [METRICS_TOKEN] : [])
  return request => {
    const given = bearerOf(request)
    return given !== undefined && [readers, scrapers].map(bearers => bearers.accepts(given)).includes(true)
  }
}

/**
 * Verifies tokens from here on.
 * @param own the service's own keys; else those of TOKEN_KEYS_URL, else those identity publishes
 * @returns the options of the tenant plugin that go with it
 * @throws CONFIGURATION_INVALID in production when there is no source of keys
 */
export async function identifyUsers(
  app: FastifyInstance,
  environment: Environment,
  own: KeySet | undefined,
): Promise<Pick<DistributedTenantOptions, 'identifyBy' | 'authorizeTenant'>> {
  const required = environment.NODE_ENV === 'production'
  const { TENANT_HEADER, TENANT_BASE_DOMAIN, TOKEN_TENANT_CLAIM: claim, TOKEN_ROLES_CLAIM: rolesClaim } = environment
  await app.register(tokens, {
    keys: environment.TOKEN_KEYS_URL || !own ? remoteKeys(app, environment, required) : own,
    issuer: environment.TOKEN_ISSUER,
    audience: environment.TOKEN_AUDIENCE,
    rolesClaim,
    required,
  })
  const holds = tenantClaim({ claim })
  return {
    identifyBy: [
      fromHeader(TENANT_HEADER),
      fromDomain(),
      ...(TENANT_BASE_DOMAIN ? [fromSubdomain(TENANT_BASE_DOMAIN)] : []),
      fromClaim(claim),
    ],
    authorizeTenant: required ? holds : (request, tenant) => request.user === null || holds(request, tenant),
  }
}

function remoteKeys(app: FastifyInstance, environment: Environment, required: boolean): KeySet {
  const { TOKEN_KEYS_URL, IDENTITY_URL } = environment
  const url = TOKEN_KEYS_URL ?? (IDENTITY_URL && new URL('/.well-known/jwks.json', IDENTITY_URL).href)
  if (!url && required) {
    throw new ConfigurationInvalid(
      'Tokens cannot be verified: set IDENTITY_URL to the identity service, or TOKEN_KEYS_URL to the key set of your identity provider.',
    )
  }
  const keys = createRemoteKeys({
    url,
    onChange: error =>
      error === undefined
        ? app.log.info('the keys that verify tokens can be read again')
        : app.log.warn(
            { reason: reasonOf(error) },
            'the keys that verify tokens cannot be read; known ones stay valid for a day',
          ),
  })
  // Never rejects; a service starts without its issuer. Not awaited: the issuer may be waiting for this service.
  if (url) app.addHook('onReady', async () => void keys.refresh())
  app.addHook('onClose', async () => keys.close())
  return keys
}

/** `fetch failed` alone says nothing; its cause names the address. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message}: ${cause.message}` : message
}
