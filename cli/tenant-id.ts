// Tenants' ids on the command line: a malformed one is a wrong call, and is refused before anything is opened.

import { UsageError } from '../operations/outcome.js'
import { parseNewTenantId, parseTenantId } from '../plugins/distributed-tenant/names.js'
import type { TenantId } from '../plugins/distributed-tenant/types.js'
import { collect } from './context.js'

/** @throws UsageError */
export const tenantId = (text: string): TenantId => wronglyCalled(() => parseTenantId(text))

/** Of a tenant that is to be made: reserved ones are refused too. @throws UsageError */
export const newTenantId = (text: string): TenantId => wronglyCalled(() => parseNewTenantId(text))

/** Like `collect`. @throws UsageError */
export const tenantIds = (text: string, before?: readonly TenantId[]): TenantId[] => [
  ...(before ?? []),
  ...collect(text).map(tenantId),
]

function wronglyCalled<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}
