// The lookup of tenants: memory for seconds, Redis for an hour, then the registry; one query per id, however many requests
// wait for it. Invariants: "absent" is answered only after the registry answered so; an entry older than an announced revision
// is a miss; domains are answered from memory and registry only.
// If the registry is down: tenants that were active are served for some seconds more (memory-cache.ts); for all others it throws.

import { LRUCache } from 'lru-cache'
import { withCause } from '../../../postgres/connections/failures.js'
import { later } from '../../../timing/timers.js'
import type { DirectoryReport, LookupSource } from '../diagnostics/steps.js'
import { TenantLookupFailed } from '../errors.js'
import { findByDomain, findTenant, findTenants, readHistory, revisionsSince } from '../registry/tenants-table.js'
import type { Notifications, RegistryRow, SqlClient, TenantId } from '../types.js'
import { createMemory, type Memory } from './memory-cache.js'
import type { DirectoryEntry, Remote } from './redis-cache.js'

export interface DirectoryOptions {
  readonly central: SqlClient
  readonly remote: Remote | null
  readonly notifications: Notifications
  /** The cache of ids. Default: a memory of this process. */
  readonly memory?: Memory
  /** Milliseconds a lookup lives in Redis: so long must revisions be remembered. */
  readonly cacheTtl: number
  readonly report: (event: DirectoryReport) => void
  /** Whether the area has a subscriber: every request calls this. */
  readonly announced: () => boolean
}

export interface Directory {
  /** At once when memory has it. @throws TENANT_LOOKUP_FAILED when the registry cannot be read */
  find(id: TenantId): Found
  /** The same for a request that has found it before: an answer of memory is no lookup of its own. */
  findAgain(id: TenantId): Found
  /** Only tenants that identity has confirmed. @throws TENANT_LOOKUP_FAILED, also when two claim one domain */
  findDomain(domain: string): Found
  close(): void
}

/** Cached entries by key, and the lookups under way. */
interface Layer {
  readonly memory: Memory
  readonly flights: Map<string, Promise<DirectoryEntry | null>>
}

export type Found = DirectoryEntry | null | Promise<DirectoryEntry | null>

/** Found: a few seconds, the backstop for a lost notification. Not found, not ready: shorter, as both end soon. */
const FOUND_MS = 5_000
const ABSENT_MS = 2_000
const UNREADY_MS = 250
const REFRESHED_AT_ONCE = 50

export function createDirectory(options: DirectoryOptions): Directory {
  const { central, remote, notifications, memory = createMemory(), report } = options
  const ids: Layer = { memory, flights: new Map() }
  const domains: Layer = { memory: createMemory(), flights: new Map() }
  /** The newest announced revision of each tenant that changed within the life of a Redis entry. */
  // By size: with `max` it would allocate for all of them at once, 4 MB.
  const announced = new LRUCache<string, number>({ maxSize: 100_000, sizeCalculation: () => 1, ttl: options.cacheTtl })
  /** Until the revisions are loaded Redis may hold older rows than can be recognised here. */
  let trustRemote = false
  /** Of the registry; null until it was read. */
  let history: string | null = null
  /** To be written to Redis, once for each notification. */
  const changed: TenantId[] = []
  let refreshing = false

  const off = notifications.subscribe('fdt_tenants', onChange, onReset, onLost)

  function onChange(payload: string): void {
    const { id, revision } = JSON.parse(payload) as { id: string; revision: number }
    announced.set(id, Math.max(revision, announced.get(id) ?? 0))
    memory.drop(id)
    ids.flights.delete(id)
    // The notification does not name the tenant's domain, old or new; domains are few and cheap to look up again.
    forget(domains)
    if (!remote) return
    changed.push(id as TenantId)
    if (!refreshing) void refresh(remote)
  }

  /**
   * The newest rows replace what Redis holds, so that other replicas' misses find them. So many at a time: after ten thousand changes
   * at once a query for each of them, all sent in one turn of the event loop, held up requests for seconds.
   */
  async function refresh(to: Remote): Promise<void> {
    refreshing = true
    while (changed.length > 0) {
      const ids = changed.splice(0, REFRESHED_AT_ONCE)
      try {
        const rows = new Map((await findTenants(central, [...new Set(ids)])).map(row => [row.id, row]))
        const of = history
        const put = async (row: RegistryRow | undefined) => (row && of !== null ? to.put(entryOf(row), of) : undefined)
        await Promise.all(ids.map(id => put(rows.get(id))))
      } catch {
        // The revisions stay in `announced`: an older entry in Redis is a miss whatever happened here.
      }
    }
    refreshing = false
  }

  /** Notifications may be lost from now on: cached entries count as stale, and Redis may be older than can be recognised. */
  function onLost(): void {
    trustRemote = false
    forget(ids)
    forget(domains)
  }

  function forget(layer: Layer): void {
    layer.memory.expire()
    layer.flights.clear()
  }

  /** The listener is back: loads the changes before Redis is trusted again. */
  function onReset(): void {
    onLost()
    if (!remote) return
    Promise.all([revisionsSince(central, options.cacheTtl), readHistory(central)]).then(
      ([rows, read]) => {
        if (history !== null && history !== read) announced.clear()
        history = read
        for (const { id, revision } of rows) announced.set(id, Math.max(revision, announced.get(id) ?? 0))
        trustRemote = true
        report({ type: 'remote_trusted' })
      },
      () => {
        // Redis stays untrusted until the next reset or retry; lookups go to the registry, which is right if slower.
        later(1_000, () => trustRemote || onReset())
      },
    )
  }

  async function load(id: TenantId): Promise<{ entry: DirectoryEntry | null; source: LookupSource }> {
    if (remote && trustRemote && history !== null) {
      const entry = await remote.get(id, history)
      if (entry && entry.revision >= (announced.get(id) ?? 0)) return { entry, source: 'remote' }
      if (entry) report({ type: 'remote_outdated' })
    }
    const row = await findTenant(central, id)
    const entry = row ? entryOf(row) : null
    // Only an entry that may be served for an hour is put into Redis; unknown ids never get a key.
    if (entry && remote && history !== null && settled(entry)) void remote.put(entry, history)
    return { entry, source: 'registry' }
  }

  /**
   * One lookup at a time per key. Its result is cached unless the flight was forgotten meanwhile: its key was announced, so
   * the result may be of before, and a lookup after the announcement starts a new flight.
   */
  function fly(
    { memory, flights }: Layer,
    key: string,
    work: () => Promise<{ entry: DirectoryEntry | null; source: LookupSource }>,
  ): Promise<DirectoryEntry | null> {
    const known = flights.get(key)
    if (known) return known
    const started = performance.now()
    const flight = work()
      .then(
        ({ entry, source }) => {
          report({ type: 'lookup', source, found: entry !== null, ms: performance.now() - started })
          if (flights.get(key) === flight) {
            const ttl = entry === null ? ABSENT_MS : settled(entry) ? FOUND_MS : UNREADY_MS
            memory.put(key, entry, ttl)
          }
          return entry
        },
        error => {
          const last = error instanceof TenantLookupFailed ? null : lastKnown(memory, key)
          if (!last) {
            report({ type: 'lookup_failed', ms: performance.now() - started })
            throw error instanceof TenantLookupFailed ? error : withCause(new TenantLookupFailed(), error)
          }
          report({ type: 'lookup', source: 'stale', found: true, ms: performance.now() - started })
          return last
        },
      )
      .finally(() => {
        if (flights.get(key) === flight) flights.delete(key)
      })
    flights.set(key, flight)
    return flight
  }

  /** One of the two caches may be behind the announced revision: a notification about a tenant names no domain. */
  function lastKnown(cache: Memory, key: string): DirectoryEntry | null {
    const entry = cache.stale(key)
    return entry && entry.revision >= (announced.get(entry.id) ?? 0) ? entry : null
  }

  function find(id: TenantId): Found {
    const remembered = memory.get(id)
    if (remembered !== undefined) {
      if (options.announced()) report({ type: 'lookup', source: 'memory', found: remembered !== null, ms: 0 })
      return remembered
    }
    return fly(ids, id, () => load(id))
  }

  function findAgain(id: TenantId): Found {
    const remembered = memory.get(id)
    return remembered === undefined ? fly(ids, id, () => load(id)) : remembered
  }

  function findDomain(domain: string): Found {
    const remembered = domains.memory.get(domain)
    if (remembered !== undefined) return remembered
    return fly(domains, domain, async () => {
      const rows = await findByDomain(central, domain)
      if (rows.length > 1) throw new TenantLookupFailed()
      return { entry: rows[0] ? entryOf(rows[0]) : null, source: 'registry' }
    })
  }

  return {
    find,
    findAgain,
    findDomain,
    close() {
      off()
      changed.length = 0
      memory.clear()
      domains.memory.clear()
    },
  }
}

const settled = (entry: DirectoryEntry): boolean => entry.lifecycle !== 'active' || entry.provisioned === 'ready'

export function entryOf(row: RegistryRow): DirectoryEntry {
  const { id, name, domain, settings, version, lifecycle, provisioned, revision, incarnation } = row
  const schemaVersion = row.schemaVersion ?? 0
  return { id, name, domain, settings, version, lifecycle, provisioned, schemaVersion, revision, incarnation }
}
