// The tenant in a verified token: as a source of identification, and as the check of the claims of other sources. Both read
// `request.user`, which an authentication plugin has verified before our `onRequest`; neither verifies anything. Invariant:
// the tenant of a token is never overruled, and a token without a tenant is no token for any.

import type { FastifyRequest } from 'fastify'
import type { Identifier } from '../config/options.js'
import { Unauthenticated } from '../errors.js'
import type { Tenant } from '../types.js'

/** The verified claims of a request; null or undefined when it brought none. */
export type ClaimsOf = (request: FastifyRequest) => unknown

export interface ClaimOptions {
  /** The claim that holds the tenant's id. Default `tenant`. */
  readonly claim?: string
  /** Reads the verified claims. Default `request.user`, where `@fastify/jwt` puts them. */
  readonly of?: ClaimsOf
}

const userOf: ClaimsOf = request => (request as { user?: unknown }).user

function claimOf(claims: unknown, name: string): unknown {
  return typeof claims === 'object' && claims !== null && Object.hasOwn(claims, name)
    ? (claims as Record<string, unknown>)[name]
    : undefined
}

/**
 * The tenant in a verified claim: names the tenant when no other source does, and refuses with 403 (TENANT_FORBIDDEN), before
 * any lookup, when another source names another. Verify in an `onRequest` hook that comes before this plugin.
 */
export function fromClaim(claim = 'tenant', of: ClaimsOf = userOf): Identifier {
  return request => {
    const id = claimOf(of(request), claim)
    return typeof id === 'string' ? { id, verified: true } : null
  }
}

/**
 * For `authorizeTenant`: the request's verified claim must be this tenant. A route with `config: { token: false }` needs no
 * token. @throws UNAUTHENTICATED when the request brought no verified claims
 */
export function tenantClaim({ claim = 'tenant', of = userOf }: ClaimOptions = {}) {
  return (request: FastifyRequest, tenant: Pick<Tenant, 'id'>): boolean => {
    if (request.routeOptions.config.token === false) return true
    const claims = of(request)
    if (claims === null || claims === undefined) throw new Unauthenticated()
    return claimOf(claims, claim) === tenant.id
  }
}
