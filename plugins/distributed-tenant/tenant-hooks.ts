// `tenants.onReady` and `tenants.onRemoved`: functions of the application that run after a tenant became ready here, or its
// database was dropped here, in the process that has done it. Invariants: one function runs at a time, so that a hundred new
// tenants take one connection of the budget; a failure is published, keeps no tenant from being ready, and stops no other.
// If the database is down: the function fails as its query does. It is not called again.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Tenants } from './api.js'
import { subscribe } from './diagnostics/channels.js'
import { findTenant } from './registry/tenants-table.js'
import { frozenTenant } from './request/admission.js'
import type { Tenancy } from './tenancy.js'
import type { TenantId } from './types.js'

type OnReady = Parameters<Tenants['onReady']>[0]
type OnRemoved = Parameters<Tenants['onRemoved']>[0]

export interface TenantHooks {
  onReady(fn: OnReady): void
  onRemoved(fn: OnRemoved): void
  /** No further function is called; the running one is awaited, for as long as the deadline. */
  close(deadlineMs: number): Promise<void>
}

type Parts = Pick<Tenancy, 'pools' | 'origin' | 'publish'>

export function createTenantHooks({ pools, origin, publish }: Parts): TenantHooks {
  const ready: OnReady[] = []
  const removed: OnRemoved[] = []
  let last: Promise<void> = Promise.resolve()
  let unsubscribe: (() => void) | null = null
  let closed = false

  function follow(): void {
    unsubscribe ??= subscribe(
      step => {
        if (step.area === 'provision' && step.event.step === 'ready') {
          const { id } = step.event
          for (const fn of ready) enqueue(id, () => callReady(fn, id))
        }
        if (step.area === 'purge' && step.event.step === 'removed') {
          const { id } = step.event
          for (const fn of removed) enqueue(id, async () => void (await fn({ id })))
        }
      },
      origin,
      ['provision', 'purge'],
    )
  }

  function enqueue(id: TenantId, call: () => Promise<void>): void {
    last = last.then(async () => {
      if (closed) return
      try {
        await call()
      } catch (error) {
        publish({ area: 'provision', event: { step: 'hook_failed', id, ms: 0, error } })
      }
    })
  }

  /** Not through the directory, which may still remember the tenant as it was, and refuses one that is made suspended. */
  async function callReady(fn: OnReady, id: TenantId): Promise<void> {
    const row = await findTenant(pools.central.sql, id)
    if (row?.provisioned !== 'ready' || row.lifecycle === 'deleted') return
    const scope = pools.clientFor(id)
    try {
      await fn({ tenant: frozenTenant(row), sql: scope.sql })
    } finally {
      scope.release()
    }
  }

  return {
    onReady(fn) {
      ready.push(fn)
      follow()
    },
    onRemoved(fn) {
      removed.push(fn)
      follow()
    },
    async close(deadlineMs) {
      closed = true
      unsubscribe?.()
      await Promise.race([last, sleep(deadlineMs, undefined, { ref: false })])
    },
  }
}
