// Parsing of messages, without a server: every refusal is a short sentence, every accepted event has known fields
// only.
import t from 'tap'
import {
  encode,
  type LifecycleEvent,
  messageId,
  parseLifecycle,
  parseStatus,
  parseSubject,
  type StatusEvent,
  statusMessageId,
  statusSubject,
} from '../../events/index.js'

const bytes = (value: unknown): Uint8Array =>
  value instanceof Uint8Array ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))

const lifecycle = (value: unknown, kind = 'created') => parseLifecycle(`tenant.${kind}`, bytes(value))
const nested = (depth: number) => `{"id":"acme","settings":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`
const long = (length: number) => 'x'.repeat(length)

const badLifecycle: [what: string, body: unknown, kind?: string][] = [
  ['empty', ''],
  ['blank', '   '],
  ['not JSON', 'acme'],
  ['cut short', '{"id":"acme"'],
  ['two values', '{"id":"acme"}{"id":"acme"}'],
  ['not UTF-8', new Uint8Array([0x7b, 0xff, 0xfe, 0x7d])],
  [
    'half a UTF-8 sequence',
    Buffer.concat([Buffer.from('{"id":"acme","name":"'), Buffer.from([0xc3]), Buffer.from('"}')]),
  ],
  ['more than 1 MiB', `{"id":"acme","name":"${long(1024 * 1024)}"}`],
  ['a string', '"acme"'],
  ['a number', '1'],
  ['null', 'null'],
  ['a list', '[{"id":"acme"}]'],
  ['no id', { name: 'Acme' }],
  ['id null', { id: null }],
  ['id a number', { id: 7 }],
  ['id an object', { id: { a: 1 } }],
  ['id a list', { id: ['acme'] }],
  ['id empty', { id: '' }],
  ['id upper case', { id: 'Acme' }],
  ['id with a space', { id: 'ac me' }],
  ['id padded', { id: ' acme' }],
  ['id with a line end', { id: 'acme\n' }],
  ['id with _', { id: 'ac_me' }],
  ['id with .', { id: 'ac.me' }],
  ['id with --', { id: 'ac--me' }],
  ['id begins with -', { id: '-acme' }],
  ['id ends with -', { id: 'acme-' }],
  ['id of 41 characters', { id: long(41) }],
  ['id with SQL', { id: "a'; DROP DATABASE postgres; --" }],
  ['id a path', { id: '../etc/passwd' }],
  ['id Cyrillic', { id: 'аcme' }],
  ['id __proto__', { id: '__proto__' }],
  ['version 0', { id: 'acme', version: 0, name: 'A' }],
  ['version negative', { id: 'acme', version: -1, name: 'A' }],
  ['version a fraction', { id: 'acme', version: 1.5, name: 'A' }],
  ['version a string', { id: 'acme', version: '1', name: 'A' }],
  ['version null', { id: 'acme', version: null, name: 'A' }],
  ['version beyond exact integers', '{"id":"acme","version":9007199254740993,"name":"A"}'],
  ['version infinite', '{"id":"acme","version":1e999,"name":"A"}'],
  ['created with version, no name', { id: 'acme', version: 1 }],
  ['name empty', { id: 'acme', name: '' }],
  ['name blank', { id: 'acme', name: '  ' }],
  ['name null', { id: 'acme', name: null }],
  ['name a number', { id: 'acme', name: 1 }],
  ['name of 201 characters', { id: 'acme', name: long(201) }],
  ['name with NUL', '{"id":"acme","name":"a\\u0000b"}'],
  ['name with half a surrogate pair', '{"id":"acme","name":"a\\ud800b"}'],
  ['domain without a dot', { id: 'acme', domain: 'localhost' }],
  ['domain upper case', { id: 'acme', domain: 'Acme.example' }],
  ['domain not ASCII', { id: 'acme', domain: 'äcme.example' }],
  ['domain with a port', { id: 'acme', domain: 'acme.example:80' }],
  ['domain an address', { id: 'acme', domain: '10.0.0.1' }],
  ['domain with an empty label', { id: 'acme', domain: 'acme..example' }],
  ['domain of 254 characters', { id: 'acme', domain: `${`${long(60)}.`.repeat(4)}${long(10)}` }],
  ['domain a number', { id: 'acme', domain: 1 }],
  ['is_active a string', { id: 'acme', is_active: 'true' }],
  ['settings a list', { id: 'acme', settings: [] }],
  ['settings a string', { id: 'acme', settings: 'x' }],
  ['settings null', { id: 'acme', settings: null }],
  ['settings of more than 64 KiB', { id: 'acme', settings: { a: long(64 * 1024) } }],
  ['settings with __proto__', '{"id":"acme","settings":{"__proto__":{"admin":true}}}'],
  ['__proto__ deep inside', '{"id":"acme","settings":{"a":[{"__proto__":1}]}}'],
  ['__proto__ at the top', '{"id":"acme","__proto__":{"version":1}}'],
  ['a key with NUL', '{"id":"acme","settings":{"a\\u0000":1}}'],
  ['settings with an infinite number', '{"id":"acme","settings":{"a":-1e999}}'],
  ['33 levels', nested(32)],
  ['100,000 levels', nested(100_000)],
  ['half a million brackets', '['.repeat(500_000)],
  ['closed brackets', `${'['.repeat(300_000)}${']'.repeat(300_000)}`],
  ['actor a number', { id: 'acme', actor: 1 }],
  ['actor of 201 characters', { id: 'acme', actor: long(201) }],
  ['updated without version', { id: 'acme', name: 'A' }, 'updated'],
  ['suspended without version', { id: 'acme' }, 'suspended'],
  ['activated without version', { id: 'acme' }, 'activated'],
  ['deleted without version', { id: 'acme' }, 'deleted'],
  ['an unknown kind', { id: 'acme' }, 'exploded'],
  ['a status subject', { id: 'acme' }, 'ready.employee'],
]

t.test('every malformed lifecycle event is refused with one short printable sentence', async t => {
  t.ok(badLifecycle.length >= 40)
  for (const [what, body, kind] of badLifecycle) {
    const parsed = lifecycle(body, kind)
    t.equal(parsed.ok, false, what)
    if (!parsed.ok) t.match(parsed.reason, /^[\x20-\x7e]{5,300}$/, `${what}: ${parsed.reason}`)
  }
  t.equal(({} as { admin?: unknown }).admin, undefined, 'no prototype was changed')
})

t.test('a reason echoes at most 64 escaped characters of the input', async t => {
  for (const id of [long(100_000), '\u0001'.repeat(100_000), `${'A"\\'.repeat(50)}\n`]) {
    const parsed = lifecycle({ id })
    if (parsed.ok) throw new Error('accepted')
    const echo = parsed.reason.match(/^id "(.*)" must/)?.[1] ?? ''
    t.ok(echo.length > 10 && echo.length <= 64, echo)
  }
  const secret = lifecycle({ id: 'acme', name: 'hunter2'.repeat(50) })
  t.notMatch(secret, { reason: /hunter2/ })
})

t.test('a bare request is named after its id', async t => {
  t.strictSame(lifecycle('{"id":"acme"}'), { ok: true, event: { kind: 'created', id: 'acme', name: 'acme' } })
})

t.test('known fields are copied and unknown ones are not', async t => {
  const known = {
    id: 'acme',
    version: 3,
    name: 'Acme "GmbH" 日本',
    domain: 'acme.hrms.local',
    is_active: true,
    settings: { locale: 'de', limits: { users: 5 } },
    actor: 'ops',
  }
  t.strictSame(lifecycle({ ...known, plan: 'gold', toString: 1, constructor: {} }, 'updated'), {
    ok: true,
    event: { kind: 'updated', ...known },
  })
  t.strictSame(lifecycle({ id: 'acme', version: 4, domain: null }, 'deleted'), {
    ok: true,
    event: { kind: 'deleted', id: 'acme', version: 4, domain: null },
  })
})

t.test('values at their limits are accepted', async t => {
  for (const body of [
    { id: long(40) },
    { id: 'a' },
    { id: 'acme', name: '日'.repeat(200) },
    { id: 'acme', version: 1, name: 'A' },
    { id: 'acme', settings: { a: long(64 * 1024 - 8) } },
    nested(30),
  ]) {
    t.equal(lifecycle(body).ok, true)
  }
  t.equal(lifecycle({ id: 'acme', version: Number.MAX_SAFE_INTEGER }, 'updated').ok, true)
  t.match(lifecycle({ id: 'acme', version: 2, name: 'A' }), { ok: false, reason: /^version 2 is not a creation/ })
})

const status: StatusEvent = {
  id: 'acme' as StatusEvent['id'],
  service: 'employee',
  revision: 3,
  version: 1,
  status: 'ready',
  step: 'ready',
  attempts: 1,
  steps: [{ step: 'claimed', at: '2026-01-02T03:04:05.678Z' }],
  schemaVersion: 3,
  at: '2026-01-02T03:04:06Z',
}

t.test('an encoded event is parsed to the same value', async t => {
  t.strictSame(parseStatus('tenant.ready.employee', encode(status)), { ok: true, event: status })
  const event = { kind: 'updated', id: 'acme', version: 2, settings: {} } as unknown as LifecycleEvent
  t.strictSame(parseLifecycle('tenant.updated', encode(event)), { ok: true, event })
  t.equal(Buffer.from(encode(event)).toString(), '{"id":"acme","version":2,"settings":{}}')
})

t.test('every malformed or contradicting status event is refused', async t => {
  const bad: [string, unknown, string?][] = [
    ['another service', { ...status, service: 'core' }],
    ['another status', { ...status, status: 'failed' }],
    ['an unknown status', { ...status, status: 'exploded' }],
    ['no version', { ...status, version: undefined }],
    ['version negative', { ...status, version: -1 }],
    ['no at', { ...status, at: undefined }],
    ['no revision', { ...status, revision: undefined }],
    ['a negative revision', { ...status, revision: -1 }],
    ['at a number', { ...status, at: 1 }],
    ['at no date', { ...status, at: 'yesterday' }],
    ['at an impossible date', { ...status, at: '2026-13-45T99:00:00Z' }],
    ['at without a zone', { ...status, at: '2026-01-02T03:04:05' }],
    ['steps an object', { ...status, steps: {} }],
    ['a step without a time', { ...status, steps: [{ step: 'x' }] }],
    ['101 steps', { ...status, steps: Array(101).fill({ step: 'x', at: status.at }) }],
    ['attempts a fraction', { ...status, attempts: 0.5 }],
    ['error too long', { ...status, error: long(2001) }],
    ['service upper case', { ...status, service: 'Employee' }],
    ['bad id', { ...status, id: 'A' }],
    ['not an object', 'null'],
    ['a lifecycle subject', status, 'tenant.created'],
    ['an unknown kind', status, 'tenant.exploded.employee'],
  ]
  for (const [what, body, subject] of bad) {
    const parsed = parseStatus(subject ?? 'tenant.ready.employee', bytes(body))
    t.equal(parsed.ok, false, what)
    if (!parsed.ok) t.match(parsed.reason, /^[\x20-\x7e]{5,200}$/, `${what}: ${parsed.reason}`)
  }
})

t.test('subjects are read exactly', async t => {
  t.strictSame(parseSubject('tenant.created'), { type: 'lifecycle', kind: 'created' })
  t.strictSame(parseSubject('tenant.failed.core'), { type: 'status', kind: 'failed', service: 'core' })
  t.strictSame(parseSubject('dead.tenant.core'), { type: 'dead', service: 'core' })
  const foreign = [
    '',
    'tenant',
    'tenant.',
    'tenant.*',
    'tenant.>',
    'tenant.Created',
    'tenant.created.core',
    'tenant.ready',
  ]
  const more = [
    'tenant.ready.core.x',
    'tenant.ready.',
    'tenant.ready.Core',
    'dead.core',
    'dead.tenant.',
    'tenants.created',
  ]
  for (const subject of [...foreign, ...more, 'tenant.constructor', 'tenant.ready.a-b'])
    t.equal(parseSubject(subject), null, subject)
})

t.test('a service name that would change a subject is a programming error', async t => {
  for (const service of ['', 'a.b', '*', '>', 'a b', 'employee-service'])
    t.throws(() => statusSubject('ready', service), TypeError)
})

t.test('message ids distinguish versions and deliberate repeats', async t => {
  t.equal(messageId('created', 'acme', 1), 'tenant.created:acme:1')
  t.equal(messageId('created', 'acme', 1, 'retry-2'), 'tenant.created:acme:1:retry-2')
  t.equal(statusMessageId('failed', 'core', 'acme', 1, 2), 'tenant.failed.core:acme:1:2')
})
