// The choice of the password for a tenant's database: the current key's, and after a refusal the next older one's, so that
// keys can be changed while everything runs. While they are, another process may change a role back and forth between two
// tries, so the round ends with the key it began with. When all are refused, or the role lacks LOGIN or CONNECT, that is
// reported once per refusal to the repair, and the connect fails as it is.

import { tenantDatabaseName } from '../names.js'
import type { ServiceName, TenantId } from '../types.js'
import type { Credentials } from './role-credentials.js'

export interface Login {
  readonly user: string
  readonly password: string
  /** To be called with the reason when the connection is lost, at any time. */
  lost(error: Error): void
  accepted(): void
}

export interface Logins {
  of(tenant: TenantId): Login
  /** True, once, when another password is left to try after the last refusal. */
  again(tenant: TenantId): boolean
}

const WRONG_PASSWORD = '28P01'
/** The role lacks LOGIN, or its right to connect. */
const KEPT_OUT = new Set(['28000', '42501'])

export function createLogins(
  service: ServiceName,
  credentials: Credentials,
  onKeptOut: (tenant: TenantId) => void,
): Logins {
  const { keys } = credentials
  const most = keys.length > 1 ? keys.length + 1 : 1
  /** Tenants with another password to try after their last refusal. */
  const left = new Set<TenantId>()
  /** Only of tenants where the current key was refused: the next key, and the number of refusals in a row. */
  const refusals = new Map<TenantId, { key: number; refused: number }>()

  function lost(tenant: TenantId, key: number, error: Error): void {
    const { code = '' } = error as { code?: string }
    left.delete(tenant)
    if (KEPT_OUT.has(code)) onKeptOut(tenant)
    if (code !== WRONG_PASSWORD) return
    const state = refusals.get(tenant) ?? { key: 0, refused: 0 }
    // Several were opened at once: the first refusal has moved on for all of them, and this one tries the next.
    if (state.key !== key) {
      left.add(tenant)
      return
    }
    state.key = (key + 1) % keys.length
    state.refused++
    refusals.set(tenant, state)
    if (state.refused < most) {
      left.add(tenant)
      return
    }
    refusals.delete(tenant)
    onKeptOut(tenant)
  }

  return {
    of(tenant) {
      const key = refusals.get(tenant)?.key ?? 0
      return {
        user: tenantDatabaseName(tenant, service),
        password: credentials.password(tenant, keys[key] as string),
        lost: error => lost(tenant, key, error),
        accepted() {
          const state = refusals.get(tenant)
          if (state?.key !== key) return
          if (key === 0) refusals.delete(tenant)
          else state.refused = 0
        },
      }
    },
    again: tenant => left.delete(tenant),
  }
}
