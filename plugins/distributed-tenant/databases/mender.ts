// Owns the mending of a tenant's role that was refused at its login (somebody changed its password, took its LOGIN or its
// right to connect): in the background, at most once a minute for each tenant. The request that met it has failed already;
// while the central database is away nothing is mended, and the next refusal tries again.

import { LRUCache } from 'lru-cache'
import type { RoleReport } from '../diagnostics/steps.js'
import type { TenantId } from '../types.js'

export interface Mender {
  soon(id: TenantId): void
}

const MINUTE_MS = 60_000

export function createMender(mend: (id: TenantId) => Promise<void>, report: (event: RoleReport) => void): Mender {
  const lately = new LRUCache<TenantId, true>({ max: 1_000, ttl: MINUTE_MS })
  return {
    soon(id) {
      if (lately.has(id)) return
      lately.set(id, true)
      report({ type: 'kept_out', id })
      mend(id).then(
        () => report({ type: 'mended', id }),
        error => {
          lately.delete(id)
          report({ type: 'mend_failed', id, error })
        },
      )
    },
  }
}
