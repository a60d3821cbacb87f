// The grammar of a tenant id, the one name that every service, subject, key and database shares.
// Invariant: an id is checked on its raw bytes and never trimmed, lower-cased or normalised into validity.

/** A tenant id that has been parsed: `^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$`, no `--`, at most 40 bytes. */
export type TenantId = string & { readonly __tenantId: unique symbol }

/** The grammar as a JSON-schema pattern; `--` is refused by the look-ahead. Linear time: no nested quantifier. */
export const TENANT_ID_PATTERN = '^(?!.*--)[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$'

/** Longest id in bytes: `tenant_` + 40 + `_` + a service of 15 is PostgreSQL's limit of 63 (NAMEDATALEN - 1). */
export const TENANT_ID_MAX = 40

const pattern = new RegExp(TENANT_ID_PATTERN)

/** Narrows to {@link TenantId}; length is checked first so that a huge value costs nothing. */
export function isTenantId(value: unknown): value is TenantId {
  return typeof value === 'string' && value.length >= 1 && value.length <= TENANT_ID_MAX && pattern.test(value)
}
