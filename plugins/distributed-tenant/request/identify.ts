// Owns how a request names its tenant: sources in order, all of them heard, none silently preferred. Two that disagree are
// refused. A source that says nothing is fine; a malformed one is a 400 and changes nothing.
import type { FastifyRequest } from 'fastify'
import { isTenantId, type TenantId } from '../../../events/index.js'
import type { DirectoryEntry } from '../directory/remote.js'
import { TenantAmbiguous, TenantConflict, TenantIdInvalid } from '../errors.js'
import { hostOf } from './host.js'

/** What one source says: an id, a host name to look up, or nothing. */
export type Identified = { readonly id: string } | { readonly domain: string } | null

/** Reads a tenant from a request. @throws the 400s of identification */
export type Identifier = (request: FastifyRequest) => Identified | Promise<Identified>

/** The id in a header of its own. Default: `HRMS-Client-ID`. @throws TENANT_AMBIGUOUS when it is sent twice */
export function fromHeader(name: string): Identifier {
  const header = name.toLowerCase()
  return request => {
    const { rawHeaders } = request.raw
    let value: string | null = null
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const candidate = rawHeaders[at] as string
      if (candidate.length !== header.length || candidate.toLowerCase() !== header) continue
      if (value !== null) throw new TenantAmbiguous(name)
      value = rawHeaders[at + 1] as string
    }
    return value === null ? null : { id: value }
  }
}

/** `acme.hrms.example.com` under the base domain `hrms.example.com` is `acme`: exactly one label. */
export function fromSubdomain(baseDomain: string): Identifier {
  const suffix = `.${baseDomain}`
  return request => {
    const host = hostOf(request)
    if (!host?.endsWith(suffix)) return null
    return { id: host.slice(0, -suffix.length) }
  }
}

/** A custom domain, as registered with the tenant. A host nobody registered names no tenant. */
export function fromDomain(): Identifier {
  return request => {
    const domain = hostOf(request)
    return domain === null ? null : { domain }
  }
}

/**
 * Settles what the sources say, at once unless a source or a lookup has to be waited for. `findDomain` is asked for host
 * names only. @throws TENANT_CONFLICT and the 400s
 */
export function identifyTenant(
  request: FastifyRequest,
  identifiers: readonly Identifier[],
  findDomain: FindDomain,
): TenantId | null | Promise<TenantId | null> {
  let settled: TenantId | null = null
  for (let at = 0; at < identifiers.length; at++) {
    const said = (identifiers[at] as Identifier)(request)
    const id = said !== null && 'then' in said ? said.then(late => idOf(late, findDomain)) : idOf(said, findDomain)
    if (id instanceof Promise) return goOn(request, identifiers.slice(at + 1), findDomain, settled, id)
    settled = agree(settled, id)
  }
  return settled
}

type FindDomain = (domain: string) => DirectoryEntry | null | Promise<DirectoryEntry | null>

async function goOn(
  request: FastifyRequest,
  identifiers: readonly Identifier[],
  findDomain: FindDomain,
  before: TenantId | null,
  waitedFor: Promise<string | null>,
): Promise<TenantId | null> {
  let settled = agree(before, await waitedFor)
  for (const identifier of identifiers) settled = agree(settled, await idOf(await identifier(request), findDomain))
  return settled
}

function idOf(said: Identified, findDomain: FindDomain): string | null | Promise<string | null> {
  if (said === null) return null
  if ('id' in said) return said.id
  const entry = findDomain(said.domain)
  return entry instanceof Promise ? entry.then(late => late?.id ?? null) : (entry?.id ?? null)
}

function agree(settled: TenantId | null, id: string | null): TenantId | null {
  if (id === null) return settled
  if (!isTenantId(id)) throw new TenantIdInvalid()
  if (settled !== null && settled !== id) throw new TenantConflict()
  return id
}
