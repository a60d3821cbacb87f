// The errors of one database's client, of its connections and migrations: a stable code, an HTTP status, and a message that ends
// with the cure. Invariant: a message never carries a secret, another tenant's data, or the raw value that was refused.
import { createError } from '@fastify/error'

export const TenantLookupFailed = createError(
  'TENANT_LOOKUP_FAILED',
  'It is unknown right now whether this tenant exists: try again after Retry-After seconds.',
  503,
)
export const TenantCommitUnknown = createError(
  'TENANT_COMMIT_UNKNOWN',
  'The connection was lost during COMMIT, so the outcome is unknown: read before you write again.',
  503,
)
export const TenantQueryTimeout = createError(
  'TENANT_QUERY_TIMEOUT',
  'The statement ran past its deadline and its connection was closed: make it smaller or raise queryTimeout.',
  504,
)
export const TenantClientReleased = createError(
  'TENANT_CLIENT_RELEASED',
  'The client was used after its request was over: await every query before the handler returns.',
  500,
)
export const TenantClientMethod = createError(
  'TENANT_CLIENT_METHOD',
  'sql.%s is not available on a leased connection: %s.',
  500,
)
export const TenantStatementRefused = createError('TENANT_STATEMENT_REFUSED', '`%s` is refused here: %s.', 500)
export const ConfigurationInvalid = createError('CONFIGURATION_INVALID', '%s', 500)
export const MigrationFailed = createError('MIGRATION_FAILED', '%s', 500)
export const MigrationInvalid = createError('MIGRATION_INVALID', '%s', 500)
