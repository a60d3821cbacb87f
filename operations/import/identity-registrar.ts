// The calls of an import to identity's API. Invariant: each can be repeated after a kill with the same outcome.

import { ApiError, type IdentityApi } from '../identity-api.js'
import type { Registrar } from './parts.js'

export function registrarOf(api: IdentityApi, run: string): Registrar {
  const path = (id: string): string => `/api/tenants/${encodeURIComponent(id)}`
  return {
    async register(id, { name, domain, settings, active }) {
      try {
        await api.call('POST', '/api/tenants', {
          body: { id, name, settings, ...(domain !== null && { domain }), ...(!active && { lifecycle: 'suspended' }) },
          headers: { 'idempotency-key': `import-${run}-${id}` },
        })
      } catch (error) {
        // Asked before, so long ago that the key is forgotten.
        const taken = error instanceof ApiError && error.code === 'TENANT_ID_TAKEN'
        if (!taken || !(await known(() => api.call('GET', path(id))))) throw error
      }
    },
    suspend: id => known(() => api.call('POST', `${path(id)}/suspend`)),
    async activate(id) {
      await api.call('POST', `${path(id)}/activate`)
    },
    async remove(id) {
      await known(() => api.call('DELETE', path(id)))
    },
  }
}

/** @returns false when identity knows no such tenant, or no more */
async function known(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask()
    return true
  } catch (error) {
    if (error instanceof ApiError && error.statusCode === 404) return false
    throw error
  }
}
