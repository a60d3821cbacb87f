// Owns what a tenant's settings may be. They travel in every event: what a service would refuse there, or PostgreSQL in
// its jsonb, is refused here, before the tenant is accepted.
import createError from '@fastify/error'
import { MAX_SETTINGS_BYTES } from '../../events/schemas.js'
import type { JsonObject, JsonValue } from '../../plugins/distributed-tenant/index.js'

export const SettingsTooLarge = createError(
  'SETTINGS_TOO_LARGE',
  `The settings have more than ${MAX_SETTINGS_BYTES} bytes as JSON: keep large things elsewhere and refer to them.`,
  413,
)
export const SettingsInvalid = createError(
  'SETTINGS_INVALID',
  'The settings hold a NUL or half a character, which cannot be stored: remove it.',
  400,
)

/** @throws SETTINGS_TOO_LARGE, SETTINGS_INVALID */
export function checkSettings(settings: JsonObject | undefined): void {
  if (settings === undefined) return
  if (Buffer.byteLength(JSON.stringify(settings)) > MAX_SETTINGS_BYTES) throw new SettingsTooLarge()
  if (!storable(settings)) throw new SettingsInvalid()
}

/** Recursion is bounded by the size, which is checked first. */
function storable(value: JsonValue): boolean {
  if (typeof value === 'string') return !/[\0\p{Cs}]/u.test(value)
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, inner]) => storable(key) && storable(inner))
}
