import fc from 'fast-check'
import t from 'tap'
import { type AuditRecord, createChain, GENESIS, hashOf, shareDetail } from '../../../plugins/audit/rows.js'

const record: AuditRecord = { kind: 'access', result: 'ok', tenantId: 'acme', detail: { leases: 2 } }

t.test('a chain gives each row the hash of the one before it', async t => {
  const chain = createChain(() => new Date('2026-11-01T10:00:00Z'))
  const [first, second] = chain.place([record, { ...record, tenantId: 'globex' }])
  t.match(first, { seq: 1, at: '2026-11-01T10:00:00.000Z', tenantId: 'acme', actor: null, detail: '{"leases":2}' })
  t.equal(first?.hash, first && hashOf(first, GENESIS))
  t.equal(second?.hash, second && hashOf(second, first?.hash ?? ''))
})

t.test('rows of earlier releases have the hash that this release computes', async t => {
  const row = {
    chain: '0b9a4f0e-43f3-4d0a-9e53-3b1f1a2f0d11',
    seq: 7,
    at: '2026-11-01T10:00:00.000Z',
    kind: 'access',
    result: 'ok',
    tenantId: 'acmé',
    actor: null,
    requestId: 'req-1',
    detail: '{"leases":2}',
  }
  t.equal(hashOf(row, GENESIS), '6abd3e34aeb2beee5c97171065cfe061b344e7ee5d7c55dc74837b225f010fa3')
})

t.test('a shared detail has the text of its own', async t => {
  const detail = { method: 'GET', route: '/\u0000'.repeat(200), leases: 1 }
  const [own] = createChain().place([{ ...record, detail: { ...detail } }])
  const [shared] = createChain().place([{ ...record, detail: shareDetail(detail) }])
  t.equal(shared?.detail, own?.detail)
  t.throws(() => Object.assign(detail, { leases: 2 }), TypeError)
})

t.test('a place is taken only once its row is certain', async t => {
  const chain = createChain()
  chain.place([record, record])
  t.same(chain.head, { seq: 0, hash: GENESIS })
  const rows = chain.place([record])
  chain.advance(rows)
  t.match(chain.head, { seq: 1, hash: rows[0]?.hash })
  t.match(chain.place([record])[0], { seq: 2 })
})

t.test('no two rows have one hash', async () => {
  const text = fc.option(fc.string({ maxLength: 12 }), { nil: null })
  const row = fc.record({
    chain: fc.constant('c'),
    seq: fc.nat(20),
    at: fc.constant('2026-11-01T10:00:00.000Z'),
    kind: fc.string({ maxLength: 5 }),
    result: fc.string({ maxLength: 5 }),
    tenantId: text,
    actor: text,
    requestId: text,
    detail: fc.string({ maxLength: 5 }),
  })
  fc.assert(
    fc.property(row, row, (a, b) => {
      const same = JSON.stringify(a) === JSON.stringify(b)
      return (hashOf(a, GENESIS) === hashOf(b, GENESIS)) === same
    }),
    { numRuns: 2_000 },
  )
})

t.test('a text cannot break a line, a terminal or a column', async t => {
  const [row] = createChain().place([
    {
      kind: 'refused',
      result: 'x',
      actor: 'eve\r\n{"level":60}\u001b[31m\u0000',
      detail: { agent: 'a\u2028b', long: 'y'.repeat(9_000) },
    },
  ])
  t.equal(row?.actor, 'eve\ufffd\ufffd{"level":60}\ufffd[31m\ufffd')
  t.match(JSON.parse(row?.detail ?? ''), { agent: 'a\ufffdb', long: 'y'.repeat(256) })
  const [large] = createChain().place([
    {
      kind: 'access',
      result: 'ok',
      detail: Object.fromEntries(Array.from({ length: 99 }, (_, n) => [n, 'z'.repeat(99)])),
    },
  ])
  t.match(JSON.parse(large?.detail ?? ''), { omitted: /^\d+ characters/ })
})
