// The rules of which signatures a published key may verify: asymmetric ones of the kinds listed here, each key only with its
// own algorithm. A key of another kind (a shared secret, one for encryption, a short one) is ignored.
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'

export interface VerifyingKey {
  /** SubjectPublicKeyInfo, as PEM. */
  readonly pem: string
  readonly algorithms: readonly string[]
}

/** Where the key of a token is found. */
export interface KeySet {
  /** Null: there is no such key. @throws TOKEN_KEYS_UNAVAILABLE when that is unknown now */
  find(kid: string): Promise<VerifyingKey | null>
}

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const
const CURVES: Readonly<Record<string, 'ES256' | 'ES384'>> = { prime256v1: 'ES256', secp384r1: 'ES384' }

/** Every algorithm a token may name; `none` and shared secrets are not among them. */
export const ALGORITHMS = ['EdDSA', 'ES256', 'ES384', ...RSA] as const

const SHORTEST_RSA = 2048

/** The keys of a JWKS document, by `kid`. Unusable ones are left out. @throws TypeError when it is no such document */
export function parseKeySet(document: unknown): Map<string, VerifyingKey> {
  const { keys } = (document ?? {}) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new TypeError('no key set: it has no list of keys')
  const found = new Map<string, VerifyingKey>()
  for (const key of keys.slice(0, 100)) {
    const { kid } = (key ?? {}) as { kid?: unknown }
    const usable = typeof kid === 'string' && kid !== '' ? verifyingKey(key) : null
    if (usable) found.set(kid as string, usable)
  }
  return found
}

/** Null for a key that must not verify anything. */
export function verifyingKey(jwk: JsonWebKey): VerifyingKey | null {
  if (jwk.kty === 'oct' || (jwk.use !== undefined && jwk.use !== 'sig')) return null
  let key: KeyObject
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    return null
  }
  const fitting = algorithmsOf(key).filter(algorithm => jwk.alg === undefined || jwk.alg === algorithm)
  if (fitting.length === 0) return null
  return { pem: key.export({ type: 'spki', format: 'pem' }).toString(), algorithms: fitting }
}

function algorithmsOf(key: KeyObject): readonly string[] {
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return ['EdDSA']
    case 'ec':
      return CURVES[namedCurve] ? [CURVES[namedCurve]] : []
    case 'rsa':
      return modulusLength >= SHORTEST_RSA ? RSA : []
    default:
      return []
  }
}
