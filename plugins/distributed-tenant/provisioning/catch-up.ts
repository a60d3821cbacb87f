// Owns provisioning what nobody else has: a set of tenants, two at a time, each once. A failure is recorded by the
// provisioner and told there; here it only makes room for the next. What is not begun when it is stopped is found again.
import type { TenantId } from '../../../events/index.js'

export interface CatchUp {
  add(ids: Iterable<TenantId>): void
  /** Begins nothing more, and waits for what runs. */
  stop(): Promise<void>
}

const SIDE_BY_SIDE = 2

export function createCatchUp(provision: (id: TenantId) => Promise<unknown>): CatchUp {
  const waiting = new Set<TenantId>()
  const running = new Map<TenantId, Promise<void>>()
  let stopped = false

  function pump(): void {
    for (const id of waiting) {
      if (stopped || running.size >= SIDE_BY_SIDE) return
      waiting.delete(id)
      running.set(id, run(id))
    }
  }

  async function run(id: TenantId): Promise<void> {
    try {
      await provision(id)
    } catch {
      // Recorded in the registry and told on the channel, with its step.
    } finally {
      running.delete(id)
      pump()
    }
  }

  return {
    add(ids) {
      for (const id of ids) if (!running.has(id)) waiting.add(id)
      pump()
    },
    async stop() {
      stopped = true
      waiting.clear()
      await Promise.all(running.values())
    },
  }
}
