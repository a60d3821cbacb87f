// `fastify.tenants`: the methods by which handlers, jobs and other plugins use tenants outside their own request.
// Invariant: every client passed to a function here is released when the function has settled.

import type { FastifyRequest } from 'fastify'
import type { Tenants } from './api.js'
import type { Identifier } from './config/options.js'
import { ConfigurationInvalid, TenantIdTaken, TenantNotFound, TenantProvisioning } from './errors.js'
import { parseNewTenantId, parseTenantId } from './names.js'
import { idFor } from './provisioning/tenant-source.js'
import { findTenant, insertTenant, listTenants, setLifecycle } from './registry/tenants-table.js'
import { admitting, refuseUnlessReady, tenantOf } from './request/admission.js'
import type { Following } from './request/following.js'
import { identifyTenant } from './request/identify.js'
import { identifiersOf } from './request/route-policy.js'
import type { Tenancy } from './tenancy.js'
import type { TenantHooks } from './tenant-hooks.js'
import type { Lifecycle, NewTenant, RegistryRow } from './types.js'

const PAGE = 100
const LARGEST_PAGE = 1_000

export function createTenants(
  tenancy: Tenancy,
  identifiers: readonly Identifier[],
  following: Following,
  hooks: TenantHooks,
): Tenants {
  const { pools, directory, source, provisioner, purger, settings } = tenancy
  const central = pools.central.sql

  async function createHere(tenant: NewTenant): Promise<RegistryRow> {
    const id = tenant.id === undefined ? idFor(tenant.name) : parseNewTenantId(tenant.id)
    const { name, domain = null, settings: own = {}, lifecycle = 'active' } = tenant
    await insertTenant(central, { id, version: 0, name, domain, settings: own, lifecycle })
    const row = await provisioner.provision(id)
    if (!row) throw new TenantIdTaken()
    if (row.provisioned !== 'ready') throw new TenantProvisioning()
    return row
  }

  async function change(id: string, kind: 'suspended' | 'activated' | 'deleted', lifecycle: Lifecycle, actor?: string) {
    if (source) return source.change(id, kind, actor)
    const row = await setLifecycle(central, parseTenantId(id), lifecycle)
    if (!row) throw new TenantNotFound()
    return row
  }

  return {
    create: (tenant, once) => (source ? source.create(tenant, once) : createHere(tenant)),
    async update(id, patch, actor) {
      if (!source) {
        throw new ConfigurationInvalid(
          `${settings.service} is not where tenants are made: change the tenant in the identity service.`,
        )
      }
      return source.update(id, patch, actor)
    },
    suspend: (id, actor) => change(id, 'suspended', 'suspended', actor),
    activate: (id, actor) => change(id, 'activated', 'active', actor),
    remove: (id, actor) => change(id, 'deleted', 'deleted', actor),
    async restore(id, how, actor) {
      if (!source) {
        throw new ConfigurationInvalid(
          `${settings.service} is not where tenants are made: restore the tenant in the identity service.`,
        )
      }
      return source.restore(id, how, actor)
    },
    async retry(id, actor) {
      if (source) return source.retry(id, actor)
      const row = await provisioner.provision(parseTenantId(id))
      if (!row) throw new TenantNotFound()
      return row
    },
    purge: async id => purger.purge(parseTenantId(id)),
    async run(id, fn) {
      const entry = await directory.find(parseTenantId(id))
      refuseUnlessReady(entry, tenancy.oldestSchema)
      const admit = admitting(entry.id, directory, tenancy.oldestSchema)
      const scope = pools.clientFor(entry.id, admit)
      try {
        const { sql } = scope
        return await following.within({ sql }, () => fn({ tenant: tenantOf(entry), sql }))
      } finally {
        scope.release()
        const { leases } = scope
        if (leases > 0) tenancy.publish({ area: 'access', event: { type: 'ran', tenant: entry.id, leases } })
      }
    },
    follow: following.follow,
    onReady: hooks.onReady,
    onRemoved: hooks.onRemoved,
    find: async id => findTenant(central, parseTenantId(id)),
    list: page => listTenants(central, { ...page, limit: Math.min(LARGEST_PAGE, Math.max(1, page?.limit ?? PAGE)) }),
    identify: async (request: FastifyRequest) =>
      identifyTenant(request, identifiersOf(request) ?? identifiers, directory.findDomain),
    probe: async id => tenancy.probe(parseTenantId(id)),
    health: tenancy.health,
    figures: tenancy.figures,
    origin: tenancy.origin,
    connectionInfo: tenancy.connectionInfo,
  }
}
