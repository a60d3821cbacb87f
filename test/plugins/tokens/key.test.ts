import { generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import t from 'tap'
import { parseKeySet, verifyingKey } from '../../../plugins/tokens/index.js'
import { makeKey } from './issuer.js'

const jwk = (key: { export(options: { format: 'jwk' }): JsonWebKey }) => key.export({ format: 'jwk' })

t.test('a key verifies signatures of its own kind', async t => {
  t.same(verifyingKey(makeKey('a').jwk)?.algorithms, ['EdDSA'])
  t.same(verifyingKey(makeKey('a', 'ES256').jwk)?.algorithms, ['ES256'])
  t.same(verifyingKey(makeKey('a', 'RS256').jwk)?.algorithms, ['RS256'], 'the one it is published for')
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  t.same(verifyingKey(jwk(publicKey))?.algorithms.length, 6, 'any of its kind when it names none')
})

t.test('a key that must not verify is refused', async t => {
  const { jwk: good } = makeKey('a')
  const bad: [string, JsonWebKey][] = [
    ['a shared secret', { kty: 'oct', k: 'c2VjcmV0' }],
    ['one for encryption', { ...good, use: 'enc' }],
    ['one for another algorithm', { ...good, alg: 'HS256' }],
    ['one without a signature', { ...good, alg: 'none' }],
    ['a short RSA key', jwk(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)],
    ['another curve', jwk(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)],
    ['another kind', jwk(generateKeyPairSync('x25519').publicKey)],
    ['half a key', { kty: 'OKP', crv: 'Ed25519' }],
    ['nothing', {}],
  ]
  for (const [what, key] of bad) t.equal(verifyingKey(key), null, what)
})

t.test('a key set holds its usable keys, by name', async t => {
  const { jwk: good } = makeKey('good')
  const { kid: _kid, ...nameless } = makeKey('x').jwk
  t.same([...parseKeySet({ keys: [null, 1, nameless, { kid: 'bad', kty: 'oct' }, good] }).keys()], ['good'])
  for (const no of [undefined, null, 'keys', [], {}, { keys: {} }, { keys: null }]) {
    t.throws(() => parseKeySet(no), TypeError)
  }
})
