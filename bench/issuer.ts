// An issuer of tokens inside an arm: one Ed25519 key, tokens as identity makes them. Its private key never leaves the process.
import { generateKeyPairSync, type JsonWebKey, sign } from 'node:crypto'
import { type KeySet, verifyingKey } from '../plugins/tokens/index.js'

export const issuer = 'bench'
export const audience = 'bench'

export interface Issuer {
  /** The public key as PEM. */
  readonly pem: string
  readonly keys: KeySet
  /** A token of a user of this tenant, good for an hour. */
  token(tenant: string): string
}

const KID = 'bench-1'

export function createIssuer(): Issuer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const key = verifyingKey(publicKey.export({ format: 'jwk' }) as JsonWebKey)
  if (!key) throw new Error('the key of the benchmark is no key to the plugin')
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return {
    pem: key.pem,
    keys: { find: async kid => (kid === KID ? key : null) },
    token(tenant) {
      const now = Math.floor(Date.now() / 1000)
      const claims = {
        iss: issuer,
        aud: audience,
        sub: `user-of-${tenant}`,
        iat: now,
        exp: now + 3600,
        tenant,
        roles: ['reader'],
      }
      const text = `${part({ alg: 'EdDSA', typ: 'JWT', kid: KID })}.${part(claims)}`
      return `${text}.${sign(null, Buffer.from(text), privateKey).toString('base64url')}`
    },
  }
}
