// An issuer for tests: a real HTTP server with a key set, and tokens in any shape, right or forged. It signs by
// itself, so that a mistake in the product's own signing cannot hide one in its verifying.
import { createHmac, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Key {
  readonly kid: string
  readonly alg: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly jwk: JsonWebKey & { kid: string }
}

export function makeKey(kid: string, alg: 'EdDSA' | 'ES256' | 'RS256' = 'EdDSA'): Key {
  const { privateKey, publicKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { kid, alg, privateKey, publicKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } }
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export const now = (): number => Math.floor(Date.now() / 1000)

/** The claims of a good token. */
export const claims = (more: object = {}): object => ({
  iss: 'the-issuer',
  aud: 'the-audience',
  sub: 'user-1',
  tenant: 'acme',
  roles: ['admin'],
  iat: now(),
  exp: now() + 900,
  ...more,
})

/** A token signed with `key`; `header` replaces fields of the header or adds to them. */
export function tokenOf(key: Key, payload: object = claims(), header: object = {}): string {
  const text = `${part({ alg: key.alg, typ: 'JWT', kid: key.kid, ...header })}.${part(payload)}`
  const hash = key.alg === 'EdDSA' ? null : 'sha256'
  const signature = sign(hash, Buffer.from(text), { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}

/** A well-known attack: the public key as the secret of an HMAC. */
export function confusedToken(key: Key, payload: object = claims()): string {
  const text = `${part({ alg: 'HS256', typ: 'JWT', kid: key.kid })}.${part(payload)}`
  const secret = key.publicKey.export({ type: 'spki', format: 'pem' })
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

export const unsignedToken = (kid: string, alg = 'none', payload: object = claims()): string =>
  `${part({ alg, typ: 'JWT', kid })}.${part(payload)}.`

export interface Issuer {
  readonly url: string
  keys: JsonWebKey[]
  /** Its answer: its keys, an error, a body that is no key set, or none at all. */
  mood: 'well' | 'error' | 'garbage' | 'silent' | 'huge'
  asked: number
}

export async function issuer(t: Pick<Test, 'teardown'>, keys: Key[]): Promise<Issuer> {
  const one: Issuer = { url: '', keys: keys.map(({ jwk }) => jwk), mood: 'well', asked: 0 }
  const server = createServer((_request, response) => {
    one.asked++
    if (one.mood === 'silent') return
    if (one.mood === 'error') response.statusCode = 500
    if (one.mood === 'huge') response.write(' '.repeat(1024 * 1024))
    response.end(one.mood === 'garbage' ? '<html>' : JSON.stringify({ keys: one.keys }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return Object.assign(one, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys` })
}
