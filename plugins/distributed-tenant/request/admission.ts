// The admission of a tenant by its entry in the directory: which state is served, and the tenant that handlers see.
// Invariant: a client of a request or a job is admitted again before each lease, as either may outlast its tenant.

import type { Admit } from '../../../postgres/sql/client.js'
import type { Directory } from '../directory/directory.js'
import type { DirectoryEntry } from '../directory/redis-cache.js'
import {
  TenantDatabaseUnavailable,
  TenantNotFound,
  TenantProvisioning,
  TenantSchemaOutdated,
  TenantSuspended,
} from '../errors.js'
import type { JsonValue, Tenant, TenantId } from '../types.js'

/** @throws the 403, 404 or 503 that the tenant's state asks for */
export function refuseUnlessReady(entry: DirectoryEntry | null, oldestSchema: number): asserts entry is DirectoryEntry {
  if (!entry || entry.lifecycle === 'deleted') throw new TenantNotFound()
  if (entry.lifecycle === 'suspended') throw new TenantSuspended()
  if (entry.provisioned === 'foreign') throw new TenantDatabaseUnavailable()
  if (entry.provisioned !== 'ready') throw new TenantProvisioning()
  if (entry.schemaVersion < oldestSchema) throw new TenantSchemaOutdated()
}

/** Admits a client for as long as it lives: a request or a job may outlast its tenant. */
export function admitting(id: TenantId, directory: Pick<Directory, 'findAgain'>, oldestSchema: number): Admit {
  const judge = (entry: DirectoryEntry | null): void => refuseUnlessReady(entry, oldestSchema)
  return () => {
    const entry = directory.findAgain(id)
    return entry instanceof Promise ? entry.then(judge) : judge(entry)
  }
}

const tenants = new WeakMap<DirectoryEntry, Tenant>()

/** The tenant that handlers see of an entry: the same object for as long as the directory remembers the entry. */
export function tenantOf(entry: DirectoryEntry): Tenant {
  let tenant = tenants.get(entry)
  if (!tenant) {
    tenant = frozenTenant(entry)
    tenants.set(entry, tenant)
  }
  return tenant
}

/** With its settings, which all handlers share: a change by one of them would be another request's settings. */
export function frozenTenant({ id, name, domain, settings, version }: Tenant): Tenant {
  freezeDeep(settings)
  return Object.freeze({ id, name, domain, settings, version })
}

/** The depth is bounded, as each value was decoded from an event or identity's answer. */
function freezeDeep(value: JsonValue | undefined): void {
  if (typeof value !== 'object' || value === null) return
  for (const part of Object.values(value)) freezeDeep(part)
  Object.freeze(value)
}
