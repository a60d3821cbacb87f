import t from 'tap'
import { createRepeats } from '../../../plugins/audit/repeats.js'
import type { AuditRecord } from '../../../plugins/audit/rows.js'

function stand(sources?: number) {
  const rows: AuditRecord[] = []
  const repeats = createRepeats({
    write: row => rows.push(row),
    onError: error => t.fail(String(error)),
    windowMs: 86_400_000,
    ...(sources && { sources }),
  })
  t.teardown(() => repeats.flush())
  const refuse = (address: string, result = 'TENANT_NOT_FOUND', tenantId = 'acme') =>
    repeats.add({ kind: 'refused', result, tenantId, detail: { address } })
  return { rows, repeats, refuse }
}

t.test('the first of each result and address is a row, the others are one', async t => {
  const { rows, repeats, refuse } = stand()
  for (let n = 0; n < 100; n++) refuse('192.0.2.1')
  for (let n = 0; n < 100; n++) refuse('192.0.2.1', 'LOGIN_FAILED')
  refuse('192.0.2.2')
  t.equal(rows.length, 3)
  repeats.flush()
  t.same(
    rows.slice(3).map(({ result, detail }) => [result, detail?.address, detail?.count]),
    [
      ['TENANT_NOT_FOUND', '192.0.2.1', 99],
      ['LOGIN_FAILED', '192.0.2.1', 99],
    ],
  )
  refuse('192.0.2.1')
  t.equal(rows.length, 6, 'a window begins with a row')
  repeats.flush()
  t.equal(rows.length, 6, 'and a single one has no count')
})

t.test('a row ends the window by itself', async t => {
  const rows: AuditRecord[] = []
  const repeats = createRepeats({ write: row => rows.push(row), onError: error => t.fail(String(error)), windowMs: 20 })
  const record = { kind: 'connection', result: 'ECONNREFUSED', detail: { database: 'tenant_acme' } } as const
  repeats.add(record)
  repeats.add(record)
  // The timer of the window keeps no process alive.
  const alive = setInterval(() => {}, 1_000)
  while (rows.length < 2) await new Promise(setImmediate)
  clearInterval(alive)
  t.match(rows[1], { kind: 'connection', detail: { database: 'tenant_acme', count: 1 } })
})

t.test('rows are bounded for any number of addresses and tenants', async t => {
  const { rows, repeats, refuse } = stand(50)
  for (let n = 0; n < 20_000; n++) refuse(`198.51.${n % 250}.${Math.floor(n / 250)}`, 'TENANT_NOT_FOUND', `t${n}`)
  repeats.add({ kind: 'admin', result: '429', detail: { address: '203.0.113.1' } })
  t.equal(rows.length, 50)
  repeats.flush()
  t.same(
    rows.slice(50).map(({ kind, result, detail }) => [kind, result, detail?.sources, detail?.count]),
    [
      ['refused', 'TENANT_NOT_FOUND', 'others', 19_950],
      ['admin', '429', 'others', 1],
    ],
  )
  t.ok(JSON.stringify(rows[50]?.detail).length < 1_000)
})

t.test('a count fits into a row, whatever the names of its tenants', async t => {
  const { rows, repeats, refuse } = stand()
  for (let n = 0; n < 100; n++) refuse('192.0.2.1', 'TENANT_ID_INVALID', `${n}\u0000${'\u001b'.repeat(900)}`)
  repeats.flush()
  const [, counted] = rows
  t.equal(counted?.detail?.count, 99)
  const text = JSON.stringify(counted?.detail)
  t.ok(text.length < 4_096, `${text.length}`)
  t.notMatch(text, /\\u00/)
})
