// Judges the registries: identity's row is the truth, every other service must have the same, and the ledger that
// the API shows must agree.
import type { ServiceName } from '../../stack/names.js'
import type { InstanceFacts, TenantFact } from './instance-facts.js'
import type { Facts } from './ledger-check.js'

export interface ListedTenant {
  readonly id: string
  readonly lifecycle: string
  readonly version: number
  readonly status: string
  readonly services: Readonly<Record<string, { readonly status: string; readonly lastError: string | null }>>
}

const fields = ['name', 'domain', 'settings', 'version', 'lifecycle'] as const

export function judgeRegistry(service: ServiceName, facts: Facts): string[] {
  const truths = new Map(facts.identity.tenants.map(tenant => [tenant.id, tenant]))
  const here = new Map(facts[service].tenants.map(tenant => [tenant.id, tenant]))
  const found: string[] = []
  for (const id of truths.keys()) if (!here.has(id)) found.push(`${service} does not have ${id}`)
  for (const [id, tenant] of here) {
    const truth = truths.get(id)
    if (truth) found.push(...judgeTenant(service, tenant, truth))
    else found.push(`${service} has ${id}, which identity does not`)
  }
  return found
}

function judgeTenant(service: ServiceName, tenant: TenantFact, truth: TenantFact): string[] {
  const { id, provisioned, lastError, certificate } = tenant
  const found = fields
    .filter(field => tenant[field] !== truth[field])
    .map(field => `${service} has ${field} ${tenant[field]} of ${id}, identity ${truth[field]}`)
  // A deleted one keeps the provisioning state it had when it was deleted.
  if (truth.lifecycle === 'deleted') return found
  if (provisioned !== 'ready') found.push(`${id} is ${provisioned} in ${service}${lastError ? `: ${lastError}` : ''}`)
  else if (!certificate) found.push(`${id} is ready in ${service} without a certificate`)
  return found
}

export function judgeLedger(identity: InstanceFacts, listed: readonly ListedTenant[]): string[] {
  const shown = new Map(listed.map(tenant => [tenant.id, tenant]))
  const found: string[] = []
  for (const { id, version, lifecycle } of identity.tenants) {
    const tenant = shown.get(id)
    if (!tenant) found.push(`the API does not list ${id}`)
    else if (tenant.version !== version) found.push(`the API shows version ${tenant.version} of ${id}, not ${version}`)
    else if (lifecycle !== 'deleted' && tenant.status !== 'ready') {
      const services = Object.entries(tenant.services).map(([name, { status }]) => `${name} ${status}`)
      found.push(`the ledger shows ${id} as ${tenant.status}: ${services.join(', ')}`)
    }
  }
  for (const id of shown.keys()) {
    if (!identity.tenants.some(tenant => tenant.id === id)) found.push(`the API lists ${id}, the registry has it not`)
  }
  return found
}
