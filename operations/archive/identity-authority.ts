// The calls of a restore to identity's API. Invariant: a refusal of identity's and a lost answer are different errors.

import type { TenantState } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import { ApiError, type IdentityApi } from '../identity-api.js'
import type { Authority } from './restore-plan.js'

export function authorityOf(api: IdentityApi): Authority {
  const path = (id: string): string => `/api/tenants/${encodeURIComponent(id)}`
  return {
    async find(id) {
      try {
        return await api.call<TenantState>('GET', `${path(id)}?lifecycle=deleted`)
      } catch (error) {
        if (error instanceof ApiError && error.statusCode === 404) return null
        throw error
      }
    },
    restore: (id, how) =>
      api.call<TenantState>('POST', `${path(id)}/restore`, { body: { ...how, databases: 'restored' } }),
    create: ({ id, name, domain, settings }) =>
      api.call<TenantState>('POST', '/api/tenants', {
        body: { id, name, settings, ...(domain !== null && { domain }) },
      }),
    suspend: id => api.call<TenantState>('POST', `${path(id)}/suspend`),
    refused: error => error instanceof ApiError && error.statusCode < 500,
  }
}
