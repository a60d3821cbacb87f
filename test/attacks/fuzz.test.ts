// Parsers of untrusted bytes: for every input the answer is a value of the grammar, a refusal with a code, or
// nothing, and the time grows no faster than the input.
import fc from 'fast-check'
import t from 'tap'
import { encode, isTenantId, parseLifecycle, type TenantId } from '../../events/index.js'
import { parseEntry } from '../../plugins/distributed-tenant/directory/redis-cache.js'
import { parseHost } from '../../plugins/distributed-tenant/request/host.js'
import type { ServiceName } from '../../plugins/distributed-tenant/types.js'
import { parseKeySet } from '../../plugins/tokens/index.js'
import { parsePrefer } from '../../services/identity/prefer.js'

const belief = { service: 'employee' as ServiceName, since: 0, history: null }
const parse = (text: string, id: string) => parseEntry(Buffer.from(text), id as TenantId, belief)

const runs = { numRuns: 5000 }
/** Text that is nearly right, which finds more faults than random text. */
const near = (alphabet: string) => fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 80 })
const anything = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), near('aA0-._:@[]/%,\0 \u212aé'))

t.test('an id is of the grammar, byte for byte, or none', async t => {
  const label = /^[a-z0-9-]+$/
  fc.assert(
    fc.property(fc.oneof(anything, near('ab0-')), text => {
      const plain = label.test(text) && text.length <= 40 && !text.includes('--') && !/^-|-$/.test(text)
      return isTenantId(text) === plain
    }),
    runs,
  )
  fc.assert(
    fc.property(fc.anything(), value => typeof value === 'string' || !isTenantId(value)),
    runs,
  )
  t.pass()
})

t.test('a host is a plain name in lower case, none, or refused', async t => {
  const hosts = fc.oneof(anything, near('aB0-.:'), fc.webAuthority(), fc.domain(), fc.ipV6(), fc.ipV4())
  fc.assert(
    fc.property(hosts, text => {
      try {
        const host = parseHost(text)
        return (
          host === null || (/^[a-z0-9.-]+\.[a-z0-9-]+$/.test(host) && host.length <= 253 && parseHost(host) === host)
        )
      } catch (error) {
        return (error as { code?: string }).code === 'HOST_INVALID'
      }
    }),
    runs,
  )
  fc.assert(
    fc.property(fc.domain(), name => parseHost(`${name.toUpperCase()}.:8080`) === name.toLowerCase()),
    runs,
  )
  t.pass()
})

t.test('an event is whole or refused with a reason', async t => {
  const known = { id: 'acme', name: 'Acme', version: 1, domain: null, is_active: true, settings: {} }
  const events = fc.oneof(
    fc.json(),
    fc.string({ unit: 'binary' }),
    fc
      .record(
        Object.fromEntries(
          Object.entries(known).map(([key, value]) => [key, fc.oneof(fc.constant(value), fc.anything())]),
        ),
        {
          requiredKeys: [],
        },
      )
      .map(event => JSON.stringify(event, (_key, value) => (typeof value === 'bigint' ? String(value) : value)) ?? ''),
  )
  fc.assert(
    fc.property(
      events,
      fc.constantFrom('tenant.created', 'tenant.updated', 'tenant.deleted', 'tenant.else'),
      (text, subject) => {
        const seen = parseLifecycle(subject, Buffer.from(text))
        return seen.ok ? isTenantId(seen.event.id) : seen.reason.length > 0
      },
    ),
    runs,
  )
  t.ok(parseLifecycle('tenant.created', encode(known)).ok, 'and the right one is whole')
})

t.test('an entry of the cache is this tenant’s or none', async t => {
  const good = {
    id: 'acme',
    at: 1,
    service: 'employee',
    name: 'Acme',
    domain: null,
    settings: {},
    version: 1,
    revision: 1,
    lifecycle: 'active',
    provisioned: 'ready',
    schemaVersion: 1,
    incarnation: '0123456789abcdef0123456789abcdef',
    history: 'one',
  }
  const entries = fc.record(
    Object.fromEntries(Object.entries(good).map(([key, value]) => [key, fc.oneof(fc.constant(value), fc.jsonValue())])),
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.string(),
        entries.map(entry => JSON.stringify(entry)),
      ),
      text => {
        const entry = parse(text, 'acme')
        if (typeof entry === 'string') return ['garbage', 'foreign', 'oversized', 'outdated'].includes(entry)
        return entry.id === 'acme' && Number.isSafeInteger(entry.revision) && typeof entry.name === 'string'
      },
    ),
    runs,
  )
  t.equal(parse(JSON.stringify(good), 'globex'), 'foreign')
  t.match(parse(JSON.stringify(good), 'acme'), { id: 'acme' })
})

t.test('a key set holds keys or is none', async t => {
  fc.assert(
    fc.property(fc.oneof(fc.anything(), fc.record({ keys: fc.array(fc.anything()) })), document => {
      try {
        return parseKeySet(document) instanceof Map
      } catch (error) {
        return error instanceof TypeError
      }
    }),
    runs,
  )
  t.pass()
})

t.test('no parser takes longer than in proportion', async t => {
  const parsers: Record<string, (text: string) => unknown> = {
    id: isTenantId,
    host: parseHost,
    prefer: parsePrefer,
    entry: text => parse(text, 'acme'),
    event: text => parseLifecycle('tenant.created', Buffer.from(text)),
    body: text => parseLifecycle('tenant.created', encode({ id: 'acme', name: text })),
  }
  const shapes = ['a', '-', 'a-', 'a.', ' ', ',', '=', '[', '"', '\\', '{"a":', '\0', 'a,b=c;', '%']
  const time = (parse: (text: string) => unknown, text: string): number => {
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 5; round++) {
      // Processor time, not elapsed time: a busy machine makes every clock look slow.
      const started = process.cpuUsage()
      try {
        parse(text)
      } catch {
        // A refusal takes its time too.
      }
      const { user, system } = process.cpuUsage(started)
      best = Math.min(best, (user + system) / 1_000)
    }
    return best
  }
  for (const [name, parse] of Object.entries(parsers)) {
    for (const shape of shapes) {
      const [less, more] = [10_000, 160_000].map(size => shape.repeat(size / shape.length).concat('!')) as [
        string,
        string,
      ]
      const [short, long] = [time(parse, less), time(parse, more)]
      // Sixteen times as long; a square would take 256 times. Below a millisecond no growth can be measured.
      // The engine's own JSON time (70 ms for 160,000 open brackets where memory is slow) is not counted.
      t.ok(
        long < Math.max(1, short) * 64 + 2 * time(JSON.parse, more),
        `${name} of ${JSON.stringify(shape)}: ${short.toFixed(2)} ms, then ${long.toFixed(2)} ms`,
      )
    }
  }
})
