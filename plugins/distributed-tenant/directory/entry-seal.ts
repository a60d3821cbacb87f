// The seal of entries in Redis: a MAC by a key derived from the service's secret. Invariant: a writer to Redis without the
// secret can cause lookups in the registry, and nothing else.
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { RoleKey } from '../credentials/role-credentials.js'
import type { ServiceName } from '../types.js'

export interface Seal {
  /** The text with its seal in front. */
  close(text: string): string
  /** The text that was sealed, by the current key or an older one; null for anything else. */
  open(bytes: Buffer): Buffer | null
}

/** SHA-256 in base64url. */
export const SEAL_BYTES = 43

export function createSeal(service: ServiceName, secrets: readonly RoleKey[]): Seal {
  const keys = secrets.map(({ secret }) =>
    createSecretKey(createHmac('sha256', secret).update(`redis\n${service}`).digest()),
  )
  const mac = (key: KeyObject, text: string | Buffer): string =>
    createHmac('sha256', key).update(text).digest('base64url')
  return {
    close: text => mac(keys[0] as KeyObject, text) + text,
    open(bytes) {
      if (bytes.length <= SEAL_BYTES) return null
      const given = bytes.subarray(0, SEAL_BYTES)
      const text = bytes.subarray(SEAL_BYTES)
      return keys.some(key => timingSafeEqual(given, Buffer.from(mac(key, text)))) ? text : null
    },
  }
}
