import fc from 'fast-check'
import t from 'tap'
import { isTenantId } from '../../../events/index.js'
import {
  parseNewTenantId,
  parseServiceName,
  parseTenantId,
  reservedIds,
  slugOf,
  tenantDatabaseName,
} from '../../../plugins/distributed-tenant/names.js'

const alphabet = [...'abcdefghijklmnopqrstuvwxyz0123456789-']
const id = fc.array(fc.constantFrom(...alphabet), { minLength: 1, maxLength: 45 }).map(letters => letters.join(''))
const service = fc
  .tuple(fc.constantFrom(...'abcxyz'), fc.array(fc.constantFrom(...'abc019'), { maxLength: 14 }))
  .map(([first, rest]) => first + rest.join(''))

t.test('two different tenants or services never share a name, and none is cut by PostgreSQL', async t => {
  fc.assert(
    fc.property(id, service, id, service, (id1, service1, id2, service2) => {
      if (!isTenantId(id1) || !isTenantId(id2)) return
      const a = tenantDatabaseName(id1, parseServiceName(service1))
      const b = tenantDatabaseName(id2, parseServiceName(service2))
      t.equal(a === b, id1 === id2 && service1 === service2)
      t.ok(Buffer.byteLength(a) <= 63)
    }),
    { numRuns: 2_000 },
  )
})

t.test('every accepted id is of the grammar', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), value => {
      const taken = isTenantId(value)
      const plain = /^[a-z0-9-]{1,40}$/.test(value)
      const edges = !value.startsWith('-') && !value.endsWith('-') && !value.includes('--')
      return taken === (plain && edges)
    }),
    { numRuns: 20_000 },
  )
})

t.test('folding letters are refused, never made valid', async t => {
  for (const value of ['\u212a', 'a\u017f', '\u0130d', 'acme\u00a0', ' acme', 'acme\n', 'ACME']) {
    t.throws(() => parseTenantId(value), { code: 'TENANT_ID_INVALID' })
  }
})

t.test('a reserved id is refused at creation only', async t => {
  for (const value of reservedIds) {
    t.throws(() => parseNewTenantId(value), { code: 'TENANT_ID_RESERVED' })
    t.equal(parseTenantId(value), value)
  }
})

t.test('a service is named with or without its ending', async t => {
  t.equal(parseServiceName('identity-service'), 'identity')
  t.equal(parseServiceName('identity'), 'identity')
  for (const value of ['', '-service', 'a-b', 'a_b', 'A', 'a'.repeat(16)]) {
    t.throws(() => parseServiceName(value), { code: 'CONFIGURATION_INVALID' })
  }
})

t.test('a name becomes the part of an id that people would write', async t => {
  const cases: [string, string][] = [
    ['Acme Corporation', 'acme-corporation'],
    ['Bäckers', 'backers'],
    ['BÄCKERS', 'backers'],
    ['Ba\u0308ckers', 'backers'],
    ['Café Zoë', 'cafe-zoe'],
    ['Straße', 'strasse'],
    ['Ørsted Æon Łódź', 'orsted-aeon-lodz'],
    ['İstanbul Işık', 'istanbul-isik'],
    ['O’Brien & Sons’', 'obrien-sons'],
    ['ﬁne ①', 'fine-1'],
    ['--- a --- b ---', 'a-b'],
    ['株式会社', ''],
    ['a'.repeat(50), 'a'.repeat(33)],
    [`${'a'.repeat(32)} b`, 'a'.repeat(32)],
  ]
  for (const [name, slug] of cases) t.equal(slugOf(name, 33), slug, name)
})
