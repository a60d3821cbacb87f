// Counters of fixed windows, shared between replicas through Redis. Invariant: no request waits for Redis; local counts are
// sent there ten times a second, and its answer has the counts of the others. Memory is bounded: the least recently counted
// keys are dropped. If Redis is down: each replica counts for itself.
import { LRUCache } from 'lru-cache'
import { later } from '../../timing/timers.js'

/** The part of an ioredis client that is used here: `Redis` or `Cluster`. */
export interface SharedCounters {
  readonly status: string
  /** Then its keys are in different slots, and a pipeline may have the keys of one. */
  readonly isCluster?: boolean
  pipeline(commands: (string | number)[][]): { exec(): Promise<[error: Error | null, result: unknown][] | null> }
}

export interface Counted {
  /** In this window, this one included. */
  readonly current: number
  /** Milliseconds until the window ends. */
  readonly ttl: number
}

export interface Counters {
  count(key: string, windowMs: number): Counted
  close(): void
}

interface Window {
  bucket: number
  windowMs: number
  /** Of all replicas, as far as this one knows. */
  shared: number
  /** Counted here and not sent yet. */
  unsent: number
}

interface Reported {
  readonly key: string
  readonly window: Window
  readonly bucket: number
  readonly by: number
}

const TELL_MS = 100
const MAX_KEYS = 10_000

export function createCounters(redis: SharedCounters | null, prefix = 'fdt:v1:limit'): Counters {
  const windows = new LRUCache<string, Window>({ max: MAX_KEYS })
  const dirty = new Set<string>()
  let stop: (() => void) | null = null
  /** The client may have no deadline: a frozen server gets no second pipeline. */
  let reporting = false

  function soon(): void {
    stop ??= later(TELL_MS, async () => {
      stop = null
      if (reporting) return soon()
      reporting = true
      await report()
      reporting = false
    })
  }

  async function report(): Promise<void> {
    const reported = [...dirty].flatMap(key => {
      const window = windows.get(key)
      return window && window.unsent > 0 ? [{ key, window, bucket: window.bucket, by: window.unsent }] : []
    })
    dirty.clear()
    for (const { window, by } of reported) {
      window.unsent -= by
      window.shared += by
    }
    if (redis?.status !== 'ready' || reported.length === 0) return
    await Promise.all((redis.isCluster ? reported.map(one => [one]) : [reported]).map(part => send(redis, part)))
  }

  async function send(to: SharedCounters, reported: readonly Reported[]): Promise<void> {
    const commands = reported.flatMap(({ key, window, bucket, by }) => {
      const name = `${prefix}:${key}:${bucket}`
      return [
        ['incrby', name, by],
        ['pexpire', name, window.windowMs * 2],
      ]
    })
    try {
      const answers = (await to.pipeline(commands).exec()) ?? []
      reported.forEach(({ window, bucket }, at) => {
        const [error, total] = answers[at * 2] ?? []
        // Counts made while Redis was down are known here alone.
        if (!error && typeof total === 'number' && window.bucket === bucket)
          window.shared = Math.max(window.shared, total)
      })
    } catch {
      // The local count is kept.
    }
  }

  return {
    count(key, windowMs) {
      const now = Date.now()
      const bucket = Math.floor(now / windowMs)
      let window = windows.get(key)
      if (!window || window.bucket !== bucket) {
        window = { bucket, windowMs, shared: 0, unsent: 0 }
        windows.set(key, window)
      }
      window.unsent++
      dirty.add(key)
      soon()
      return { current: window.shared + window.unsent, ttl: (bucket + 1) * windowMs - now }
    },
    close() {
      stop?.()
      stop = null
      dirty.clear()
    },
  }
}
