// The errors this plugin answers with: a stable code, an HTTP status, and a message that ends with the cure.
// Invariant: a message never carries a secret, another tenant's data, or the raw value that was refused.
import { createError } from '@fastify/error'
import { TenantLookupFailed } from '../../postgres/errors.js'

export * from '../../postgres/errors.js'

export const TenantRequired = createError(
  'TENANT_REQUIRED',
  'This route works on a tenant and the request names none: send the %s header or use the tenant’s host name.',
  400,
)
export const TenantIdInvalid = createError(
  'TENANT_ID_INVALID',
  'The tenant id is malformed: use 1 to 40 of a-z, 0-9 and single inner hyphens.',
  400,
)
export const TenantAmbiguous = createError(
  'TENANT_AMBIGUOUS',
  'The request names a tenant more than once in the same place: send the %s header once.',
  400,
)
export const TenantConflict = createError(
  'TENANT_CONFLICT',
  'The request names two different tenants: make its header, host and path agree, or send one of them.',
  400,
)
export const HostInvalid = createError(
  'HOST_INVALID',
  'The host is malformed, repeated or contradicts the request line: send one plain host name.',
  400,
)
export const TenantForbidden = createError(
  'TENANT_FORBIDDEN',
  'You may not act for this tenant: use a token issued for it.',
  403,
)
export const Unauthenticated = createError(
  'UNAUTHENTICATED',
  'This request needs a valid token: send `Authorization: Bearer <token>`, fresh from the login.',
  401,
)
export const TenantSuspended = createError(
  'TENANT_SUSPENDED',
  'This tenant is suspended: an operator can activate it again.',
  403,
)
export const TenantNotFound = createError(
  'TENANT_NOT_FOUND',
  'No such tenant here: check the id, or create the tenant in the identity service.',
  404,
)
export const TenantInvalid = createError(
  'TENANT_INVALID',
  'This tenant cannot be published to the other services, so it was not accepted: %s. Correct it and send it again.',
  400,
)
export const TenantIdReserved = createError(
  'TENANT_ID_RESERVED',
  'This tenant id is reserved: choose another one.',
  422,
)
export const TenantIdTaken = createError(
  'TENANT_ID_TAKEN',
  'This tenant id is taken, or was once and is never reused: choose another one.',
  409,
)
export const TenantDomainTaken = createError(
  'TENANT_DOMAIN_TAKEN',
  'This domain belongs to a tenant already: choose another one or release it first.',
  409,
)
export const TenantProvisioning = createError(
  'TENANT_PROVISIONING',
  'This tenant is known and not ready here yet: try again after Retry-After seconds.',
  503,
)
export const TenantSchemaOutdated = createError(
  'TENANT_SCHEMA_OUTDATED',
  'This tenant’s schema is older than this release serves: run `distributed-tenant migrate`, then try again.',
  503,
)
export const TenantMoving = createError(
  'TENANT_MOVING',
  'This tenant’s database is being moved to another instance and takes no writes until it is there: try again after Retry-After seconds.',
  503,
)
export const TenantDatabaseUnavailable = createError(
  'TENANT_DATABASE_UNAVAILABLE',
  'The tenant’s database cannot be reached or was cut off during the request: try again after Retry-After seconds.',
  503,
)
export const TenantBusy = createError(
  'TENANT_BUSY',
  'All connections are in use and the wait is over: try again after Retry-After seconds.',
  503,
)
export const TenantContextMissing = createError(
  'TENANT_CONTEXT_MISSING',
  'This request has no tenant: remove `tenant: false` from this route, or use fastify.tenants.run().',
  500,
)
export const CentralDatabaseUnavailable = createError(
  'CENTRAL_DATABASE_UNAVAILABLE',
  'The central database cannot be reached right now: try again after Retry-After seconds.',
  503,
)
export const TenantRetained = createError(
  'TENANT_RETAINED',
  'This tenant’s database is kept: it is dropped once identity confirms that the tenant is deleted and its retention over.',
  409,
)
export const TenantCopyFollows = createError(
  'TENANT_COPY_FOLLOWS',
  'An old copy of this tenant follows it since its move %s, so its databases cannot be dropped: `distributed-tenant purge %s --service %s` with INIT_SUPERUSER and INIT_PASSWORD ends that and drops them.',
  409,
)
export const IdentityUnavailable = createError(
  'IDENTITY_UNAVAILABLE',
  'The identity service cannot be used (%s): check IDENTITY_URL, SERVICE_TOKEN and that it runs, then try again.',
  503,
)
export const InstancesFull = createError(
  'INSTANCES_FULL',
  'No instance takes new tenants: %s marked full, and the others do not answer. Open one with `distributed-tenant instances open <name>`, or add one to DB_INSTANCES.',
  503,
)
export const TenantDisabled = createError(
  'TENANT_DISABLED',
  'Tenant databases are switched off here: set DISTRIBUTED_DATABASE_ENABLED=true.',
  503,
)
export const StartTimeout = createError(
  'START_TIMEOUT',
  'The start was not done within %s s (pluginTimeout is %s ms), while %s: raise it, `Fastify({ pluginTimeout: 60_000 })`. What was made is kept, and the next start goes on from there.',
  500,
)
export const TransferRefused = createError('TRANSFER_REFUSED', '%s', 409)
export const TransferFailed = createError('TRANSFER_FAILED', '%s', 500)
export const TransferNotFound = createError(
  'TRANSFER_NOT_FOUND',
  'No such run in this service: list them with `distributed-tenant import-hybrid --list` or `move --list`.',
  404,
)
export const ArchiveInvalid = createError(
  'ARCHIVE_INVALID',
  '%s cannot be restored: %s. Nothing was changed; take another archive.',
  422,
)
export const MigrationRunNotFound = createError(
  'MIGRATION_RUN_NOT_FOUND',
  'No such migration run in this service: list them with `distributed-tenant migrate --list`.',
  404,
)
export const MigrationRunning = createError(
  'MIGRATION_RUNNING',
  'A process of this service carries out a migration already: wait for its end, or stop it.',
  409,
)
export const RoleKeyUnknown = createError(
  'TENANT_ROLE_KEY_UNKNOWN',
  'The role of this tenant was set by the key %s, which this process does not have: give all processes of the service the same TENANT_ROLE_SECRET, older keys after a comma; if the key is lost, `distributed-tenant doctor` names the cure.',
  500,
)
export const DatabaseForeign = createError('TENANT_DATABASE_FOREIGN', '%s', 500)
export const DatabaseEntered = createError(
  'DATABASE_ENTERED',
  'Sessions that may not be in %s do not end (process %s): end them with pg_terminate_backend, then try again.',
  500,
)
export const TenantUnconfirmed = createError(
  'TENANT_UNCONFIRMED',
  'The incarnation of this tenant has changed or is not known here yet: it is tried again once identity’s feed has been read; check IDENTITY_URL and SERVICE_TOKEN if that does not happen.',
  503,
)
export const DatabaseMissing = createError('TENANT_DATABASE_MISSING', '%s', 500)

/** The seconds of `Retry-After`, by code; errors not listed carry none. */
export const RETRY_AFTER: Readonly<Record<string, number>> = {
  TENANT_PROVISIONING: 1,
  TENANT_SCHEMA_OUTDATED: 10,
  TENANT_MOVING: 5,
  TENANT_LOOKUP_FAILED: 2,
  TENANT_DATABASE_UNAVAILABLE: 2,
  CENTRAL_DATABASE_UNAVAILABLE: 2,
  TENANT_BUSY: 1,
  IDENTITY_UNAVAILABLE: 2,
  TENANT_DISABLED: 30,
}

// Fastify's default error handler sends an error's `headers`; a handler of yours may do the same.
for (const type of [
  TenantProvisioning,
  TenantSchemaOutdated,
  TenantMoving,
  TenantLookupFailed,
  TenantDatabaseUnavailable,
  CentralDatabaseUnavailable,
  TenantBusy,
  TenantDisabled,
]) {
  const { code } = new type()
  Object.defineProperty(type.prototype, 'headers', { value: { 'retry-after': String(RETRY_AFTER[code]) } })
}
Object.defineProperty(Unauthenticated.prototype, 'headers', { value: { 'www-authenticate': 'Bearer' } })
