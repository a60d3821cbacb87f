// The identification of a request's tenant: sources in order, all of them read, none silently preferred. Two that disagree
// are refused: with 400 where both are claims, with 403 where one is verified. A source may name no tenant; a malformed one is
// a 400 and changes nothing.

import type { FastifyRequest } from 'fastify'
import { isTenantId, type TenantId } from '../../../events/index.js'
import type { Identified, Identifier } from '../config/options.js'
import type { Settings } from '../config/settings.js'
import type { DirectoryEntry } from '../directory/redis-cache.js'
import { TenantAmbiguous, TenantConflict, TenantForbidden, TenantIdInvalid } from '../errors.js'
import { hostOf } from './host.js'

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

/** A custom domain, as registered with the tenant. A host that is not registered names no tenant. */
export function fromDomain(): Identifier {
  return request => {
    const domain = hostOf(request)
    return domain === null ? null : { domain }
  }
}

/** The id in a parameter of the route, like `/:tenant/orders`. Written plainly: percent-encoded it is another spelling. */
export function fromPath(param = 'tenant'): Identifier {
  return request => {
    const value = (request.params as Record<string, string | undefined> | null)?.[param]
    if (value === undefined) return null
    if (!pathOf(request.url).split('/').includes(value)) throw new TenantIdInvalid()
    return { id: value }
  }
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end < 0 ? url : url.slice(0, end)
}

/** The plugin's own sources: those of `identifyBy`, or a header, a domain and a subdomain. */
export const identifiersBy = ({
  identifyBy,
  header,
  baseDomain,
}: Pick<Settings, 'identifyBy' | 'header' | 'baseDomain'>): readonly Identifier[] =>
  identifyBy ?? [fromHeader(header), fromDomain(), ...(baseDomain ? [fromSubdomain(baseDomain)] : [])]

/**
 * Combines the sources, at once unless a source or a lookup has to be awaited. `findDomain` is called for host names only.
 * `identification` holds the result of each source, also when they are refused.
 * @throws TENANT_CONFLICT when two claims disagree, TENANT_FORBIDDEN when one disagrees with a verified one, and the 400s
 */
export function identifyTenant(
  request: FastifyRequest,
  identifiers: readonly Identifier[],
  findDomain: FindDomain,
  identification: Identification = { claimed: null, verified: null },
): TenantId | null | Promise<TenantId | null> {
  for (let at = 0; at < identifiers.length; at++) {
    const identified = (identifiers[at] as Identifier)(request)
    if (identified === null) continue
    const waited =
      'then' in identified
        ? identified.then(late => collect(identification, late, findDomain))
        : collect(identification, identified, findDomain)
    if (waited instanceof Promise) return goOn(request, identifiers.slice(at + 1), findDomain, identification, waited)
  }
  return settle(identification)
}

type FindDomain = (domain: string) => DirectoryEntry | null | Promise<DirectoryEntry | null>

/** The tenants named so far: by claims, and by a verified source. */
export interface Identification {
  claimed: TenantId | null
  verified: TenantId | null
}

async function goOn(
  request: FastifyRequest,
  identifiers: readonly Identifier[],
  findDomain: FindDomain,
  identification: Identification,
  waitedFor: Promise<void>,
): Promise<TenantId | null> {
  await waitedFor
  for (const identifier of identifiers) await collect(identification, await identifier(request), findDomain)
  return settle(identification)
}

function collect(identification: Identification, identified: Identified, findDomain: FindDomain): void | Promise<void> {
  if (identified === null) return
  if ('id' in identified) return merge(identification, identified.id, identified.verified === true)
  const entry = findDomain(identified.domain)
  if (entry instanceof Promise) return entry.then(late => merge(identification, late?.id ?? null, false))
  merge(identification, entry?.id ?? null, false)
}

function merge(identification: Identification, id: string | null, proof: boolean): void {
  if (id === null) return
  if (!isTenantId(id)) throw new TenantIdInvalid()
  if (proof) {
    if (identification.verified !== null && identification.verified !== id) throw new TenantForbidden()
    identification.verified = id
  } else {
    if (identification.claimed !== null && identification.claimed !== id) throw new TenantConflict()
    identification.claimed = id
  }
}

function settle({ claimed, verified }: Identification): TenantId | null {
  if (claimed !== null && verified !== null && claimed !== verified) throw new TenantForbidden()
  return verified ?? claimed
}
