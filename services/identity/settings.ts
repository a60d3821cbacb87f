// The limits of a tenant's settings. They travel in every event: settings that a service would refuse there, or PostgreSQL in
// its jsonb, are refused here, before the tenant is accepted.
import { createError } from '@fastify/error'
import { jsonFlaw } from '../../events/index.js'
import { MAX_SETTINGS_BYTES } from '../../events/schemas.js'
import type { JsonObject } from '../../plugins/distributed-tenant/index.js'

export const SettingsTooLarge = createError(
  'SETTINGS_TOO_LARGE',
  `The settings have more than ${MAX_SETTINGS_BYTES} bytes as JSON: keep large things elsewhere and refer to them.`,
  413,
)
export const SettingsInvalid = createError('SETTINGS_INVALID', 'The settings cannot be stored (%s): remove it.', 400)

/** @throws SETTINGS_TOO_LARGE, SETTINGS_INVALID */
export function checkSettings(settings: JsonObject | undefined): void {
  if (settings === undefined) return
  // Before the size: endless nesting cannot be made a text. As deep as in an event's body.
  const flaw = jsonFlaw({ settings })
  if (flaw !== null) throw new SettingsInvalid(flaw.replace('the body', 'the object'))
  if (Buffer.byteLength(JSON.stringify(settings)) > MAX_SETTINGS_BYTES) throw new SettingsTooLarge()
}
