// Owns what the verification of tokens answers with, beside the tenant plugin's UNAUTHENTICATED.
import createError from '@fastify/error'

export const RoleForbidden = createError(
  'ROLE_FORBIDDEN',
  'Your role may not do this: ask somebody whose role is one of %s, or sign in again if yours has changed.',
  403,
)

export const TokenKeysUnavailable = createError(
  'TOKEN_KEYS_UNAVAILABLE',
  'The keys that verify tokens cannot be read now: try again after Retry-After seconds.',
  503,
)
