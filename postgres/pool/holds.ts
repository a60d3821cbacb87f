// The keys of a pool that are held: their waiters, and all that come, wait by their own deadlines until the key is released.
// Invariant: a hold ends by itself after its time.
import { guarded } from '../../timing/timers.js'
import type { PoolState } from './pool-state.js'

export interface Holds {
  has(key: string): boolean
  hold(key: string, ms: number): void
  /** Without a key: those of all. */
  release(key?: string): void
}

/** @param released called when the waiters of keys may be served again */
export function createHolds<L>(state: PoolState<L>, released: () => void): Holds {
  /** Each with the timer that ends it. */
  const held = new Map<string, NodeJS.Timeout>()

  function release(key?: string): void {
    for (const one of key === undefined ? [...held.keys()] : [key]) {
      clearTimeout(held.get(one))
      const slot = held.delete(one) ? state.slots.get(one) : undefined
      if (slot && slot.queue.length > 0) state.enqueue(slot)
    }
    released()
  }

  return {
    has: key => held.has(key),
    hold(key, ms) {
      clearTimeout(held.get(key))
      held.set(key, setTimeout(() => guarded(() => release(key)), ms).unref())
      const slot = state.slots.get(key)
      if (slot) state.holdBack(slot)
    },
    release,
  }
}
