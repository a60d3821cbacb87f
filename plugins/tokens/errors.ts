// The errors of the verification of tokens, beside the tenant plugin's UNAUTHENTICATED.
import { createError } from '@fastify/error'

export const RoleForbidden = createError(
  'ROLE_FORBIDDEN',
  'Your role may not do this: it takes one of the roles %s. Sign in again if your role has changed.',
  403,
)

export const TokenKeysUnavailable = createError(
  'TOKEN_KEYS_UNAVAILABLE',
  'The keys that verify tokens cannot be read now: try again after Retry-After seconds.',
  503,
)
