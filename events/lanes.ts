// The order of work inside one consumer: items of one key one after another, different keys side by side.
// Invariant: never more than `concurrency` running nor, while callers respect room(), more than `capacity` held.

export interface Lanes<T> {
  add(key: string, item: T): void
  /** Resolves with how many items may be added, at least 1; with 0 once `signal` is aborted. */
  room(signal: AbortSignal): Promise<number>
  /** Resolves when nothing is running or waiting. */
  idle(): Promise<void>
  /** Takes out and returns everything that has not started. */
  dropWaiting(): T[]
  /** Everything running or waiting. */
  held(): Iterable<T>
  running(): number
  size(): number
}

/** `run` must not reject: it handles the failure of an item by itself. */
export function createLanes<T>(options: {
  concurrency: number
  capacity: number
  run: (item: T) => Promise<void>
}): Lanes<T> {
  const { concurrency, capacity, run } = options
  const all = new Set<T>()
  const waiting = new Map<string, T[]>()
  const busy = new Set<string>()
  const watchers = new Set<() => void>()

  const changed = () => {
    for (const watcher of [...watchers]) watcher()
  }

  const until = (met: () => boolean, signal?: AbortSignal): Promise<void> =>
    new Promise(resolve => {
      const check = () => {
        if (!met() && signal?.aborted !== true) return
        watchers.delete(check)
        signal?.removeEventListener('abort', check)
        resolve()
      }
      watchers.add(check)
      signal?.addEventListener('abort', check)
      check()
    })

  // A map keeps the order of arrival; a lane that has just run goes to the back, so no tenant starves another.
  const pump = () => {
    for (const [key, items] of [...waiting]) {
      if (busy.size >= concurrency) return
      if (busy.has(key)) continue
      const item = items.shift() as T
      waiting.delete(key)
      if (items.length > 0) waiting.set(key, items)
      busy.add(key)
      void run(item).finally(() => {
        busy.delete(key)
        all.delete(item)
        pump()
        changed()
      })
    }
  }

  return {
    add(key, item) {
      all.add(item)
      const lane = waiting.get(key)
      if (lane === undefined) waiting.set(key, [item])
      else lane.push(item)
      pump()
    },
    async room(signal) {
      await until(() => all.size < capacity, signal)
      return signal.aborted ? 0 : capacity - all.size
    },
    idle: () => until(() => all.size === 0),
    dropWaiting() {
      const dropped = [...waiting.values()].flat()
      waiting.clear()
      for (const item of dropped) all.delete(item)
      changed()
      return dropped
    },
    held: () => all,
    running: () => busy.size,
    size: () => all.size,
  }
}
