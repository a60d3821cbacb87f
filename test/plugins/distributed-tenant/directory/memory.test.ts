// In a process of its own: it measures memory.
import t from 'tap'
import { createMemory, STALE_MS } from '../../../../plugins/distributed-tenant/directory/memory-cache.js'
import type { DirectoryEntry } from '../../../../plugins/distributed-tenant/directory/redis-cache.js'
import type { TenantId } from '../../../../plugins/distributed-tenant/types.js'

const entry = (id: string, more: Partial<DirectoryEntry> = {}): DirectoryEntry => ({
  id: id as TenantId,
  name: id,
  domain: null,
  settings: {},
  version: 1,
  incarnation: null,
  lifecycle: 'active',
  provisioned: 'ready',
  schemaVersion: 1,
  revision: 1,
  ...more,
})

t.test('a cached lookup', async t => {
  let now = 1_000
  const memory = createMemory(() => now)

  t.test('is fresh for its time, and distinguished from an id that was never asked for', async t => {
    memory.put('acme', entry('acme'), 5_000)
    memory.put('unknown', null, 2_000)
    t.match(memory.get('acme'), { id: 'acme' })
    t.equal(memory.get('unknown'), null)
    t.equal(memory.get('never-asked'), undefined)
    now += 2_001
    t.equal(memory.get('unknown'), undefined)
    t.match(memory.get('acme'), { id: 'acme' })
    now += 3_000
    t.equal(memory.get('acme'), undefined)
  })

  t.test('serves an outage for a stated time, for active and ready tenants only', async t => {
    memory.put('acme', entry('acme'), 5_000)
    memory.put('late', entry('late', { lifecycle: 'suspended' }), 5_000)
    memory.put('young', entry('young', { provisioned: 'pending' }), 5_000)
    memory.put('gone', null, 5_000)
    now += STALE_MS
    t.match(memory.stale('acme'), { id: 'acme' })
    for (const id of ['late', 'young', 'gone', 'never-asked']) t.equal(memory.stale(id), null, id)
    now += 1
    t.equal(memory.stale('acme'), null)
  })

  t.test('is dropped at once at a notification about it', async t => {
    memory.put('acme', entry('acme'), 5_000)
    memory.drop('acme')
    t.equal(memory.get('acme'), undefined)
    t.equal(memory.stale('acme'), null)
  })

  t.test('is not fresh after notifications may have been lost, but outlives an outage', async t => {
    memory.put('acme', entry('acme'), 5_000)
    memory.put('unknown', null, 5_000)
    memory.expire()
    t.equal(memory.get('acme'), undefined)
    t.equal(memory.get('unknown'), undefined)
    t.match(memory.stale('acme'), { id: 'acme' })
  })

  t.test('of a tenant is not evicted by unknown ids', async t => {
    memory.put('acme', entry('acme'), 60_000)
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 1_000_000; n++) memory.put(`junk-${n}`, null, 60_000)
    globalThis.gc?.()
    t.match(memory.get('acme'), { id: 'acme' })
    t.equal(memory.get('junk-0'), undefined, 'the oldest unknown ids are forgotten')
    t.equal(memory.get('junk-999999'), null)
    const grown = (process.memoryUsage().heapUsed - before) / 1e6
    t.comment(`heap grown by ${grown.toFixed(1)} MB`)
  })
})
