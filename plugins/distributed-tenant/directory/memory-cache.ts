// The directory's first layer: this process's cache of lookups, for seconds. Invariants: bounded, and ids that do not exist
// evict none that do; an announced change makes an entry stale at once. An expired entry is kept a little longer, for when the
// registry is down: stale() returns those that may still be served.
import { LRUCache } from 'lru-cache'
import type { DirectoryEntry } from './redis-cache.js'

export interface Memory {
  /** An entry or null ("not there") while fresh, undefined when it must be looked up. */
  get(key: string): DirectoryEntry | null | undefined
  /** Caches an answer for `ttlMs`. */
  put(key: string, entry: DirectoryEntry | null, ttlMs: number): void
  /** The entry of this key must not be served any more. */
  drop(key: string): void
  /** Makes every entry stale. */
  expire(): void
  /**
   * The last answer for a tenant that was active and ready in the registry, {@link STALE_MS} ago at most; null otherwise.
   * Never a dropped one.
   */
  stale(key: string): DirectoryEntry | null
  clear(): void
}

/** Cached tenants, and as many ids that do not exist. */
const MAX_ENTRIES = 10_000
/**
 * How old an answer may be when the registry is down. A suspension must take effect within 30 s with everything but the
 * databases dead (promise 8), and the other ways of a notification need the rest of that time.
 */
export const STALE_MS = 20_000

interface Known {
  readonly entry: DirectoryEntry
  readonly confirmedAt: number
  readonly freshUntil: number
  readonly age: number
}

export function createMemory(now: () => number = () => performance.now()): Memory {
  const known = new LRUCache<string, Known>({ max: MAX_ENTRIES })
  const absent = new LRUCache<string, { readonly until: number; readonly age: number }>({ max: MAX_ENTRIES })
  /** Entries of an earlier age are not fresh: forgetting all of them is one addition. */
  let age = 0

  return {
    get(key) {
      const found = known.get(key)
      if (found) return found.age === age && now() < found.freshUntil ? found.entry : undefined
      const missing = absent.get(key)
      return missing && missing.age === age && now() < missing.until ? null : undefined
    },
    put(key, entry, ttlMs) {
      const at = now()
      if (entry) {
        known.set(key, { entry, confirmedAt: at, freshUntil: at + ttlMs, age })
        absent.delete(key)
      } else {
        known.delete(key)
        absent.set(key, { until: at + ttlMs, age })
      }
    },
    drop(key) {
      known.delete(key)
      absent.delete(key)
    },
    expire() {
      age++
    },
    stale(key) {
      const found = known.get(key)
      if (!found || now() - found.confirmedAt > STALE_MS) return null
      const { entry } = found
      return entry.lifecycle === 'active' && entry.provisioned === 'ready' ? entry : null
    },
    clear() {
      known.clear()
      absent.clear()
    },
  }
}
