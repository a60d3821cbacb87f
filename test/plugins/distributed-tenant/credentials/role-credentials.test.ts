import t from 'tap'
import {
  createCredentials,
  parseRoleKeys,
  scramVerifier,
} from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'

const [one, two] = ['a'.repeat(32), 'b'.repeat(32)]
const acme = parseTenantId('acme')
const employee = parseServiceName('employee')

t.test('a secret is key ids and secrets, the current first', async t => {
  t.same(parseRoleKeys(`k2:${two},k1:${one}:x`), [
    { id: 'k2', secret: two },
    { id: 'k1', secret: `${one}:x` },
  ])
})

for (const bad of [one, `k1:${'a'.repeat(31)}`, `K1:${one}`, `k1:${one},`, `k1:${one} `, `k1:${one},k1:${two}`, '']) {
  t.test(`"${bad.slice(0, 12)}…" is refused without being repeated`, async t => {
    const error = t.throws(() => parseRoleKeys(bad), { code: 'CONFIGURATION_INVALID' }) as Error
    t.match(error.message, /^TENANT_ROLE_SECRET /)
    t.notMatch(error.message, /aaaa|bbbb/)
  })
}

t.test('a password is of its key, service and tenant alone', async t => {
  const credentials = createCredentials(employee, parseRoleKeys(`k1:${one},k2:${two}`))
  const current = (service: typeof employee, text: string) => {
    const made = createCredentials(service, parseRoleKeys(text))
    return made.password(acme, made.current)
  }
  const [k1, k2] = credentials.keys as [string, string]
  const others = [
    credentials.password(acme, k2),
    credentials.password(parseTenantId('acme2'), k1),
    current(parseServiceName('core'), `k1:${one}`),
    current(employee, `k1:${two}`),
    current(employee, `k9:${one}`),
  ]
  const password = credentials.password(acme, k1)
  t.match(password, /^[0-9a-f]{64}$/)
  t.equal(new Set([password, ...others]).size, 6)
  t.equal(current(employee, `k1:${one}`), password)
})

t.test('a key has a name that differs for another secret of the same id, and does not reveal the secret', async t => {
  const { current, keys } = createCredentials(employee, parseRoleKeys(`k1:${one},k2:${two}`))
  t.equal(current, keys[0])
  t.match(current, /^k1\.[0-9a-f]{8}$/)
  t.match(keys[1], /^k2\.[0-9a-f]{8}$/)
  t.not(createCredentials(employee, parseRoleKeys(`k1:${two}`)).current, current)
})

t.test('a verifier is RFC 5802’s, and reveals nothing about the password', async t => {
  const verifier = scramVerifier('pencil', Buffer.from('00112233445566778899aabbccddeeff', 'hex'))
  t.match(verifier, /^SCRAM-SHA-256\$1:ABEiM0RVZneImaq7zN3u\/w==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/)
  const credentials = createCredentials(employee, parseRoleKeys(`k1:${one}`))
  t.equal(credentials.verifier(acme), credentials.verifier(acme))
  t.equal(credentials.userListLine(acme), `"tenant_acme_employee" "${credentials.verifier(acme)}"`)
  t.notMatch(credentials.userListLine(acme), credentials.password(acme, credentials.current))
})
